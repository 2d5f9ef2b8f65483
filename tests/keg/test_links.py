"""K1 and K11: upload links and their rules, redeemed by plain clients, over every driver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

import storage_core
from storage_core.compat import keg
from storage_core.compat.keg import ShareLinkOperation, StorageOperations
from tests.clients import SNIPPETS
from tests.clients.fixtures import Node
from tests.keg.conftest import Served

OCTETS = {"content-type": "application/octet-stream"}


def soon(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**(delta or {"minutes": 5}))


def test_k1_the_published_snippet_uploads(
    registry: keg.Storage, bucket: storage_core.Bucket, node: Node, tmp_path: Path
):
    file = tmp_path / "file"
    data = bytes(range(256)) * 1000
    file.write_bytes(data)
    url, name = StorageOperations.storage_get_upload_link("data.bin", 5)
    done = node(SNIPPETS / "keg_upload.js", url, file)
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
    with bucket.get(name) as reader:
        assert reader.read() == data
        assert reader.info.content_type == OCTETS["content-type"]


@pytest.mark.parametrize(
    "sent", [None, "", "text/plain", "application/octet-stream2", "application/octet-stream; x=1"]
)
def test_k1_another_or_no_content_type_is_400(
    registry: keg.Storage, bucket: storage_core.Bucket, sent: str | None
):
    url, name = StorageOperations.storage_get_upload_link("data.bin", 5)
    headers = {} if sent is None else {"content-type": sent}
    answer = requests.put(url, b"red", headers=headers, timeout=60)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "content_type_mismatch"
    assert not bucket.exists(name)


def test_k1_axios_without_the_header_is_400(
    registry: keg.Storage, bucket: storage_core.Bucket, node: Node, tmp_path: Path
):
    """What axios sends of itself is another type."""
    snippet = (SNIPPETS / "keg_upload.js").read_text("utf-8")
    other = tmp_path / "other.js"
    other.write_text(snippet.replace("application/octet-stream", "text/csv"), "utf-8")
    (tmp_path / "file").write_bytes(b"red")
    url, name = StorageOperations.storage_get_upload_link("data.bin", 5)
    done = node(other, url, tmp_path / "file")
    assert (done.returncode, done.stderr) == (1, "400\n")
    assert not bucket.exists(name)


def test_k1_another_type_can_be_asked_for(backend: keg.StorageProfile, bucket: storage_core.Bucket):
    url = backend.link_to("a.csv", "u", soon(), content_type="text/csv")
    assert requests.put(url, b"a", headers=OCTETS, timeout=60).status_code == 400
    assert (
        requests.put(url, b"a", headers={"content-type": "Text/CSV"}, timeout=60).status_code == 200
    )
    assert bucket.head("a.csv").content_type == "text/csv"


def test_k11_an_expired_link_is_403(served: Served, backend: keg.StorageProfile):
    backend.upload(BytesIO(b"red"), "a")
    links = [
        ("GET", backend.link_to("a", "d", soon())),
        ("PUT", backend.link_to("a", "u", soon())),
        ("DELETE", backend.link_to("a", "r", soon())),
    ]
    served.clock.ahead = timedelta(minutes=5, seconds=1)
    for method, url in links:
        answer = requests.request(method, url, data=b"x", headers=OCTETS, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (403, "link_expired")
    served.clock.ahead = timedelta(0)
    assert requests.get(links[0][1], timeout=60).content == b"red"


@pytest.mark.parametrize("letter", ["d", "u", "r"])
def test_k11_another_method_is_403(backend: keg.StorageProfile, letter: str):
    backend.upload(BytesIO(b"red"), "a")
    good = {"d": "GET", "u": "PUT", "r": "DELETE"}[letter]
    url = backend.link_to("a", letter, soon())
    for method in {"GET", "PUT", "DELETE", "HEAD"} - {good}:
        answer = requests.request(method, url, data=b"x", headers=OCTETS, timeout=60)
        assert answer.status_code == 403, method
    with backend.open("a", "r") as file:
        assert file.read() == b"red"
    assert requests.request(good, url, data=b"x", headers=OCTETS, timeout=60).ok


def test_k11_an_upload_link_can_not_read(registry: keg.Storage):
    url, name = StorageOperations.storage_get_upload_link("a.txt", 5)
    assert requests.put(url, b"red", headers=OCTETS, timeout=60).status_code == 200
    assert requests.get(url, timeout=60).status_code == 403
    assert StorageOperations.storage_download_file(name).read() == b"red"


def test_a_removal_link_removes(backend: keg.StorageProfile, bucket: storage_core.Bucket):
    backend.upload(BytesIO(b"red"), "a")
    url = backend.link_to("a", ShareLinkOperation.remove, soon())
    assert requests.delete(url, timeout=60).ok
    assert not bucket.exists("a")


def test_what_can_not_be_linked_is_told(backend: keg.StorageProfile):
    past = soon(seconds=-1)
    with pytest.raises(ValueError, match="Expiration time is in the past"):
        backend.link_to("a", "d", past)
    with pytest.raises(ValueError, match="Expiration time is in the past"):
        backend.link_to("a", "d", past.replace(tzinfo=None))
    with pytest.raises(NotImplementedError, match="one for each"):
        backend.link_to("a", "du", soon())
    for wrong in ("", "upload", "x", ShareLinkOperation(0)):
        with pytest.raises(ValueError, match="operation"):
            backend.link_to("a", wrong, soon())
    with pytest.raises(ValueError, match="expires_in"):
        backend.link_to("a", "d", soon(days=8))
    with pytest.raises(TypeError, match="point in time"):
        backend.link_to("a", "d", 3600)  # type: ignore[arg-type]


def test_moments_of_other_libraries_are_taken(backend: keg.StorageProfile):
    backend.upload(BytesIO(b"red"), "a")
    for moment in (SimpleNamespace(datetime=soon()), soon().replace(tzinfo=None)):
        assert requests.get(backend.link_to("a", "d", moment), timeout=60).content == b"red"
