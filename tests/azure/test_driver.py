"""The driver on Azurite: what the conformance suite can not see."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from secrets import token_hex
from typing import Any
from urllib.error import HTTPError

import pytest
from azure.storage.blob import BlobServiceClient

import storage_core
from storage_azure.keys import HIDDEN
from storage_core import Bucket, Storage, aio
from storage_core.errors import (
    AuthenticationError,
    InvalidRangeError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    UploadNotFoundError,
)
from tests.servers import Server
from tests.servers.azurite import account_sas


@pytest.fixture
def storage(azurite: Server) -> Iterator[Storage]:
    with storage_core.open(config=dict(azurite.profile)) as opened:
        yield opened


@pytest.fixture
def bucket(storage: Storage) -> Iterator[Bucket]:
    made = storage.create_bucket(f"azure-{token_hex(6)}")
    yield made
    storage.delete_bucket(made.name, force=True)


@pytest.fixture
def client(azurite: Server) -> Iterator[BlobServiceClient]:
    """Microsoft's own client of the same account."""
    profile = azurite.profile
    credential = {"account_name": profile["account_name"], "account_key": profile["account_key"]}
    with BlobServiceClient(profile["endpoint_url"], credential) as made:
        yield made


def http(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body of a plain request."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def names(client: BlobServiceClient, bucket: Bucket) -> list[str]:
    """Names of all blobs, hidden ones too."""
    return [str(name) for name in client.get_container_client(bucket.name).list_blob_names()]


# --- together with other programs -----------------------------------------------------


def test_what_other_programs_write_is_read(bucket: Bucket, client: BlobServiceClient) -> None:
    blob = client.get_blob_client(bucket.name, "their own/ü %41")
    blob.upload_blob(b"bytes", metadata={"Their_Key": "value"}, tags={"t": "1"})
    info = bucket.head("their own/ü %41")
    assert (info.size, dict(info.metadata)) == (5, {"their_key": "value"})
    assert bucket.get("their own/ü %41").read() == b"bytes"
    assert bucket.get_tags("their own/ü %41") == {"t": "1"}
    assert [item.key for item in bucket.list("their own/ü %4")] == ["their own/ü %41"]


def test_what_we_write_is_read_by_others(bucket: Bucket, client: BlobServiceClient) -> None:
    bucket.put("a/ü", b"bytes", content_type="text/csv", metadata={"my_key": "value"})
    blob = client.get_blob_client(bucket.name, "a/ü")
    found = blob.get_blob_properties()
    assert blob.download_blob().readall() == b"bytes"
    assert found.content_settings.content_type == "text/csv"
    assert found.metadata["my_key"] == "value"


def test_keys_the_service_would_mangle_are_names_it_keeps(
    bucket: Bucket, client: BlobServiceClient
) -> None:
    for key in ("a\\b", "a.", "a/b./c", "%storagecore/x", "%5C"):
        bucket.put(key, key.encode())
    assert sorted(names(client, bucket)) == sorted(
        ["a%5Cb", "a%2E", "a/b%2E/c", "%25storagecore/x", "%255C"]
    )
    assert sorted(item.key for item in bucket.list()) == sorted(
        ["a\\b", "a.", "a/b./c", "%storagecore/x", "%5C"]
    )


# --- reading and writing --------------------------------------------------------------


def test_ranges_the_service_does_not_know(bucket: Bucket) -> None:
    bucket.put("a", b"0123456789")
    bucket.put("empty", b"")
    assert bucket.get("a", range=(-3, None)).read() == b"789"
    assert bucket.get("a", range=(-30, None)).read() == b"0123456789"
    assert bucket.get("empty", range=(-3, None)).read() == b""
    for key, start in (("a", 10), ("a", 11), ("empty", 0)):
        with pytest.raises(InvalidRangeError):
            bucket.get(key, range=(start, None))


def test_streams_become_blocks_with_their_digests(bucket: Bucket) -> None:
    pieces = [bytes([n]) * 700_001 for n in range(30)]
    body = b"".join(pieces)
    for size in (None, len(body)):
        bucket.put("a", iter(pieces), size=size, compute=("md5", "sha256"))
        info = bucket.head("a")
        assert info.size == len(body)
        assert info.checksums.keys() == {"crc32c", "md5", "sha256"}
        assert bucket.get("a").read() == body


def test_two_streams_onto_one_key_do_not_mix(bucket: Bucket) -> None:
    """Whoever commits first drops the other's blocks; that one says so and writes nothing."""

    def outer() -> Iterator[bytes]:
        yield b"o" * 20_000_000
        bucket.put("a", iter([b"i" * 2_000_000] * 2))
        yield b"o" * 20_000_000

    with pytest.raises(StorageError, match="nothing was written"):
        bucket.put("a", outer())
    assert bucket.get("a").read() == b"i" * 4_000_000
    bucket.delete("a")
    with pytest.raises(PreconditionFailedError):
        bucket.put("a", outer(), if_absent=True)


def test_metadata_and_headers_change_by_one_request_each(bucket: Bucket) -> None:
    bucket.put("a", b"bytes", content_type="text/csv", metadata={"k": "v"}, compute=("sha256",))
    digests = bucket.head("a").checksums
    bucket.update_metadata("a", metadata={"k": "w"}, content_type="application/octet-stream")
    info = bucket.head("a")
    assert (info.content_type, dict(info.metadata)) == ("application/octet-stream", {"k": "w"})
    assert info.checksums == digests, "digests of the bytes stay"
    before = info.etag
    assert bucket.update_metadata("a", metadata={"k": "w"}).etag == before, "nothing to change"


# --- sessions -------------------------------------------------------------------------


def test_a_session_leaves_nothing_behind(bucket: Bucket, client: BlobServiceClient) -> None:
    upload = bucket.create_upload("a", metadata={"k": "v"})
    upload.put_part(1, iter([b"x" * 6_000_000] * 4))
    upload.put_part(2, b"")
    hidden = names(client, bucket)
    assert len(hidden) == 2
    assert all(name.startswith(HIDDEN) for name in hidden)
    assert list(bucket.list()) == []
    upload.complete()
    assert names(client, bucket) == ["a"]
    assert bucket.head("a").size == 24_000_000
    upload = bucket.create_upload("b")
    upload.put_part(1, b"")
    upload.abort()
    assert names(client, bucket) == ["a"]


def test_a_session_is_not_to_be_had_as_a_key(bucket: Bucket, client: BlobServiceClient) -> None:
    bucket.create_upload("a")
    (hidden,) = names(client, bucket)
    assert not bucket.exists(hidden)
    bucket.delete(hidden)
    assert list(bucket.list(hidden)) == []
    assert names(client, bucket) == [hidden]


def test_a_part_by_link_and_one_by_hand_become_one_object(bucket: Bucket) -> None:
    upload = bucket.create_upload("a")
    first = upload.put_part(1, b"x" * 5 * 1024**2)
    link = upload.presign_part(2)
    assert http("PUT", link.url, b"by link", **link.headers)[0] == 201
    parts = list(upload.list_parts())
    assert [(p.number, p.size) for p in parts] == [(1, first.size), (2, 7)]
    upload.complete(parts)
    assert bucket.get("a", range=(-8, None)).read() == b"xby link"


def test_a_part_link_that_comes_too_late_can_be_cleared_away(bucket: Bucket) -> None:
    upload = bucket.create_upload("a")
    link = upload.presign_part(1)
    upload.abort()
    assert http("PUT", link.url, b"late", **link.headers)[0] == 201
    (info,) = bucket.list_uploads()
    late = bucket.resume_upload(info.id)
    with pytest.raises(UploadNotFoundError):
        late.put_part(1, b"x")
    late.abort()
    assert list(bucket.list_uploads()) == []


def test_a_session_whose_completion_died_can_be_aborted(
    bucket: Bucket, client: BlobServiceClient
) -> None:
    upload = bucket.create_upload("a")
    upload.put_part(1, b"x")
    (hidden,) = names(client, bucket)
    client.get_blob_client(bucket.name, hidden).acquire_lease(60)
    upload.abort()
    assert names(client, bucket) == []


def test_a_refused_completion_leaves_the_session(bucket: Bucket) -> None:
    bucket.put("a", b"old")
    upload = bucket.create_upload("a")
    part = upload.put_part(1, b"new")
    with pytest.raises(PreconditionFailedError):
        upload.complete([part], if_absent=True)
    assert list(upload.list_parts()) == [part]
    upload.complete([part])
    assert bucket.get("a").read() == b"new"


# --- links ----------------------------------------------------------------------------


def test_links_are_redeemed_by_plain_http(bucket: Bucket) -> None:
    key = "a b/ü+%.txt"
    put = bucket.presign(key, method="PUT")
    assert put.headers["x-ms-blob-type"] == "BlockBlob"
    assert http("PUT", put.url, b"bytes", **put.headers)[0] == 201
    assert http("GET", bucket.presign(key, filename="ä.txt").url) == (200, b"bytes")
    assert http("HEAD", bucket.presign(key, method="HEAD").url)[0] == 200
    assert http("DELETE", bucket.presign(key).url)[0] == 403
    assert http("DELETE", bucket.presign(key, method="DELETE").url)[0] == 202
    assert not bucket.exists(key)


def test_a_link_that_creates_does_not_replace(bucket: Bucket) -> None:
    link = bucket.presign("a", method="PUT", if_absent=True)
    assert http("PUT", link.url, b"first", **link.headers)[0] == 201
    assert http("PUT", link.url, b"again", **link.headers)[0] in {403, 409, 412}
    # It is the signature that refuses: a holder who leaves the header out gets no further.
    assert http("PUT", link.url, b"again", x_ms_blob_type="BlockBlob")[0] == 403
    assert bucket.get("a").read() == b"first"


# --- credentials ----------------------------------------------------------------------


def with_sas(server: Server, permissions: str) -> dict[str, Any]:
    """The profile, with a SAS in place of the key."""
    profile = {n: v for n, v in server.profile.items() if n != "account_key"}
    return {**profile, "sas_token": account_sas(permissions=permissions, resources="sco")}


def test_a_sas_is_enough(azurite: Server, bucket: Bucket) -> None:
    with storage_core.open(config=with_sas(azurite, "rwdlactf")) as storage:
        other = storage.bucket(bucket.name)
        other.put("a b", b"bytes", tags={"t": "1"})
        assert other.copy("a b", "c").size == 5
        assert other.get("c").read() == b"bytes"
        assert sorted(item.key for item in other.list()) == ["a b", "c"]
        upload = other.create_upload("d")
        upload.complete([upload.put_part(1, b"x")])


def test_a_sas_that_only_reads_says_what_it_lacks(azurite: Server, bucket: Bucket) -> None:
    bucket.put("a", b"bytes")
    with storage_core.open(config=with_sas(azurite, "r")) as storage:
        other = storage.bucket(bucket.name)
        assert other.get("a").read() == b"bytes"
        with pytest.raises(PermissionDeniedError, match="permission"):
            other.put("a", b"new")


def test_an_altered_sas_is_no_permission(azurite: Server, bucket: Bucket) -> None:
    profile = with_sas(azurite, "r")
    profile["sas_token"] = profile["sas_token"].replace("sp=r", "sp=rw")
    with (
        storage_core.open(config=profile) as storage,
        pytest.raises((AuthenticationError, PermissionDeniedError)),
    ):
        storage.bucket(bucket.name).put("a", b"bytes")


def test_public_buckets_are_read_without_credentials(
    azurite: Server, bucket: Bucket, client: BlobServiceClient
) -> None:
    bucket.put("a", b"bytes")
    profile = {n: v for n, v in azurite.profile.items() if n != "account_key"}
    with storage_core.open(config={**profile, "anonymous": True}) as storage:
        other = storage.bucket(bucket.name)
        with pytest.raises((PermissionDeniedError, AuthenticationError)):
            other.head("a")
        client.get_container_client(bucket.name).set_container_access_policy({}, "blob")
        assert other.get("a").read() == b"bytes"


def test_the_account_is_handed_out_as_a_filesystem(azurite: Server, bucket: Bucket) -> None:
    bucket.put("a/b", b"bytes")
    for profile in (dict(azurite.profile), with_sas(azurite, "rl")):
        with storage_core.open(config=profile) as storage:
            filesystem = storage.driver.filesystem()
            assert filesystem.cat_file(f"{bucket.name}/a/b") == b"bytes"


def test_one_driver_on_one_loop_after_another(azurite: Server, bucket: Bucket) -> None:
    async def use() -> bytes:
        async with aio.open(config=dict(azurite.profile)) as storage:
            other = storage.bucket(bucket.name)
            await other.put("a", b"bytes")
            async with other.get("a") as reader:
                return await reader.read()

    assert [asyncio.run(use()) for _ in range(2)] == [b"bytes"] * 2
