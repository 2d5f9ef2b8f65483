"""`S3Storage` and `AzureStorage` by keg-storage's own arguments, on real servers."""

from __future__ import annotations

import gzip
import io
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
import requests

import storage_core
from storage_core.compat.keg import AzureStorage, S3Storage, ShareLinkOperation
from tests.servers import Server

SOON = timedelta(minutes=5)
BLOB = {"x-ms-blob-type": "BlockBlob", "content-type": "application/octet-stream"}


def soon() -> datetime:
    return datetime.now(UTC) + SOON


@pytest.fixture
def container(request: pytest.FixtureRequest) -> Iterator[storage_core.Bucket]:
    """A bucket of the server that the test names first."""
    server = request.getfixturevalue("moto" if "moto" in request.fixturenames else "azurite")
    name = f"keg-{uuid.uuid4().hex[:16]}"
    with storage_core.open(config=server.profile) as storage:
        yield storage.create_bucket(name)
        storage.delete_bucket(name, force=True)


@pytest.fixture
def s3(moto: Server, container: storage_core.Bucket) -> Iterator[S3Storage]:
    profile = moto.profile
    backend = S3Storage(
        container.name,
        profile["region"],
        profile["access_key_id"],
        profile["secret_access_key"],
        endpoint_url=moto.endpoint,
    )
    yield backend
    backend.close()


def test_s3_files(s3: S3Storage, container: storage_core.Bucket):
    assert (s3.name, str(s3)) == ("s3", "S3Storage")
    data = bytes(range(256)) * 50_000  # more than one part
    s3.upload(io.BytesIO(data), "a/b", extra_args={"ContentType": "text/x-demo"})
    assert container.head("a/b").content_type == "text/x-demo"
    with s3.open("a/b", "r") as file:
        assert file.read(len(data)) == data
    s3.upload(io.BytesIO(), "/a")  # another key than "a", as in S3
    s3.copy("/a", "a/c")
    assert [(entry.name, entry.size) for entry in s3.list("a/")] == [("a/b", len(data)), ("a/c", 0)]
    assert [entry.name for entry in s3.list("/")] == ["/a", "a/b", "a/c"]
    s3.delete("/a")
    assert not container.exists("/a")


def test_s3_links_are_its_own(s3: S3Storage):
    octets = {"content-type": "application/octet-stream"}
    url = s3.link_to("a", "u", soon())
    assert "X-Amz-Signature" in url
    assert requests.put(url, b"red", headers=octets, timeout=60).status_code == 200
    url = s3.link_to("a", "d", soon(), output_path="b.txt", content_type="text/plain")
    answer = requests.get(url, timeout=60)
    assert answer.content == b"red"
    assert answer.headers["content-type"].startswith("text/plain")
    assert "b.txt" in answer.headers["content-disposition"]
    assert requests.delete(s3.link_to("a", "r", soon()), timeout=60).ok
    assert s3.list("") == []
    with pytest.raises(NotImplementedError):
        s3.link_to("a", ShareLinkOperation.download | ShareLinkOperation.upload, soon())


def test_s3_links_with_an_encoding(s3: S3Storage, container: storage_core.Bucket):
    """Requests to S3 that say another encoding than what was signed have another signature."""
    url = s3.link_to("a b", "u", soon(), content_encoding="gzip", content_type="text/csv")
    assert "X-Amz-SignedHeaders=content-encoding%3Bcontent-type%3Bhost" in url
    headers = {"content-encoding": "gzip", "content-type": "text/csv"}
    assert requests.put(url, gzip.compress(b"red"), headers=headers, timeout=60).status_code == 200
    assert container.head("a b").content_encoding == "gzip"
    url = s3.link_to("a b", "d", soon(), "b.csv", "text/plain", content_encoding="identity")
    answer = requests.get(url, timeout=60)
    assert answer.headers["content-encoding"] == "identity"
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-disposition"] == 'attachment; filename="b.csv"'
    assert requests.delete(s3.link_to("a b", "r", soon(), content_encoding="x"), timeout=60).ok


def test_s3_links_with_an_encoding_are_made_once(s3: S3Storage, monkeypatch: pytest.MonkeyPatch):
    sessions = []

    class Counted(botocore.session.Session):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            sessions.append(self)

    def second(*_: object) -> str:
        raise AssertionError("our own link is not the one")

    monkeypatch.setattr("botocore.session.Session", Counted)
    monkeypatch.setattr(s3, "_presign", second)
    urls = {s3.link_to(f"{n}", "u", soon(), content_encoding="gzip") for n in range(3)}
    assert len(urls) == 3
    assert len(sessions) == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("", "d", SOON), storage_core.InvalidKeyError),
        (("a/../b", "u", SOON), storage_core.InvalidKeyError),
        (("a", "d", timedelta(days=8)), storage_core.InvalidRequestError),
        (("a", "d", -SOON), ValueError),
        (("a", "du", SOON), NotImplementedError),
    ],
)
def test_s3_links_with_an_encoding_that_can_not_be(
    s3: S3Storage, arguments: tuple[str, str, timedelta], error: type[Exception]
):
    path, letters, delta = arguments
    with pytest.raises(error):
        s3.link_to(path, letters, datetime.now(UTC) + delta, content_encoding="gzip")


def test_s3_the_type_of_an_upload_is_signed(s3: S3Storage):
    """moto checks no signature: what is signed is in the link."""
    assert "content-type" in s3.link_to("a", "u", soon())
    assert "content-type" not in s3.link_to("a", "r", soon())


def azure_arguments(azurite: Server, name: str) -> dict[str, Any]:
    profile = azurite.profile
    return {
        "account": profile["account_name"],
        "key": profile["account_key"],
        "bucket": name,
        "endpoint_url": azurite.endpoint,
    }


@pytest.fixture
def azure(azurite: Server, container: storage_core.Bucket) -> Iterator[AzureStorage]:
    backend = AzureStorage(**azure_arguments(azurite, container.name))
    yield backend
    backend.close()


def test_azure_files(azure: AzureStorage):
    data = bytes(range(256)) * 50_000
    azure.upload(io.BytesIO(data), "//a/b")
    with azure.open("a/b", "r") as file:
        assert file.read(len(data)) == data
    azure.upload(io.BytesIO(), "top")
    azure.copy("/a/b", "a/sub/c")
    assert [(entry.name, entry.size) for entry in azure.list("/")] == [("a/", 0), ("top", 0)]
    assert azure.list("/")[0].last_modified is None
    assert [entry.name for entry in azure.list("a")] == ["a/b", "a/sub/"]
    assert [entry.name for entry in azure.list("//a/")] == ["a/b", "a/sub/"]
    azure.delete("/a/b")
    azure.delete("/a/b")
    assert [entry.name for entry in azure.list("a")] == ["a/sub/"]


def test_azure_links(azure: AzureStorage):
    url = azure.link_to("a b", "u", soon())
    assert requests.put(url, b"red", headers=BLOB, timeout=60).status_code == 201
    assert requests.get(url, timeout=60).status_code == 403
    url = azure.link_to("a b", "d", soon(), output_path="c.txt")
    answer = requests.get(url, timeout=60)
    assert answer.content == b"red"
    assert "c.txt" in answer.headers["content-disposition"]
    with pytest.raises(NotImplementedError, match="content_type"):
        azure.link_to("a b", "u", soon(), content_type="text/plain")
    with pytest.raises(ValueError, match="in the past"):
        azure.link_to("a b", "du", datetime.now(UTC) - SOON)


def test_azure_links_for_several_operations(azure: AzureStorage):
    url = azure.link_to("a/ü b", "dur", soon(), output_path="ü.txt")
    assert requests.put(url, b"red", headers=BLOB, timeout=60).status_code == 201
    answer = requests.get(url, timeout=60)
    assert answer.content == b"red"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%BC.txt"
    )
    assert requests.delete(url, timeout=60).status_code == 202
    assert requests.delete(azure.link_to("a", "du", soon()), timeout=60).status_code == 403


def test_azure_deprecated_links(azure: AzureStorage):
    with pytest.warns(DeprecationWarning, match="create_upload_url is deprecated"):
        url = azure.create_upload_url("a", soon())
    assert requests.put(url, b"red", headers=BLOB, timeout=60).status_code == 201
    with pytest.warns(DeprecationWarning, match="create_download_url is deprecated"):
        url = azure.create_download_url("a", soon())
    assert requests.get(url, timeout=60).content == b"red"


def test_azure_by_the_url_of_a_container(azure: AzureStorage):
    url = azure.create_container_url(soon())
    given = AzureStorage(sas_container_url=url)
    given.upload(io.BytesIO(b"red"), "a/b")
    assert [entry.name for entry in given.list("a")] == ["a/b"]
    for attempt in (
        lambda: given.link_to("a/b", "d", soon()),
        lambda: given.create_container_url(soon()),
    ):
        with pytest.raises(ValueError, match="without account credentials"):
            attempt()
    given.close()
    # Azurite looks at no address.
    assert "sip=192.0.2.1" in azure.create_container_url(soon(), ip="192.0.2.1")


def test_azure_by_the_url_of_a_blob(azure: AzureStorage):
    given = AzureStorage(sas_blob_url=azure.link_to("a/ü b", "du", soon()))
    given.upload(io.BytesIO(b"red"), "/a/ü b")
    with given.open("a/ü b", "r") as file:
        assert file.read() == b"red"
    with pytest.raises(ValueError, match="Invalid path for the configured SAS blob URL"):
        given.open("a/other", "r")
    with pytest.raises(ValueError, match="Cannot perform list operation"):
        given.list("a")
    given.close()


@pytest.mark.parametrize("arguments", [{}, {"account": "a", "bucket": "b"}, {"key": "k"}])
def test_azure_arguments_that_are_not_enough(arguments: dict[str, Any]):
    with pytest.raises(ValueError, match="Must provide a sas_container_url"):
        AzureStorage(**arguments)


def test_azure_a_bad_url_is_not_shown():
    for url in ("https://a.blob.core.windows.net/?sig=hidden", "x?sig=hidden", "https://a/b"):
        with pytest.raises(ValueError, match="SAS URL") as caught:
            AzureStorage(sas_container_url=url)
        assert "hidden" not in str(caught.value)
