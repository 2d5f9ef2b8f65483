"""The driver against the strict double: what the suite can not see."""

import asyncio
import json
import pickle
import time
import warnings
from dataclasses import dataclass
from typing import Any

import pytest

import storage_core
from storage_core import aio
from storage_core.checksum import digest
from storage_core.errors import (
    AuthenticationError,
    IntegrityError,
    PreconditionFailedError,
    UploadNotFoundError,
)
from storage_core.model import NO_ATTRIBUTES
from storage_core.runtime import drive
from storage_gcs import errors, multipart, requests
from storage_gcs.content import NoBytes
from storage_gcs.names import HIDDEN
from storage_gcs.writing import publish, upload

LONG = "ä" * 512
NOTHING = requests.resource(NO_ATTRIBUTES, {})
PART = b"p" * (5 * 1024**2)


@pytest.fixture
def storage(strict_gcs):
    with storage_core.open(config=dict(strict_gcs.profile)) as opened:
        yield opened


@pytest.fixture
def bucket(storage):
    made = storage.create_bucket(f"gate-{time.time_ns()}")
    yield made
    storage.delete_bucket(made.name, force=True)


@dataclass
class Raw:
    """Requests past the driver, with its credentials."""

    storage: Any

    @property
    def wire(self):
        return self.storage.driver._wire

    def names(self, bucket):
        """All names in a bucket, hidden ones too."""
        path = f"{self.wire.place(bucket).json}/o"
        page = drive(self.wire.json(errors.LIST, bucket, "GET", path))
        return [item["name"] for item in page.get("items", ())]


def test_a_key_as_long_as_may_be_has_sessions(storage, bucket):
    session = bucket.create_upload(LONG, metadata={"a": "ü"})
    assert [info.key for info in bucket.list_uploads("ä")] == [LONG]
    assert [info.id for info in bucket.list_uploads(LONG)] == [session.id]
    assert list(bucket.list_uploads(LONG[:-1] + "b")) == []
    assert len(Raw(storage).names(bucket.name)) == 1
    session.complete([session.put_part(1, b"x")])
    assert bucket.head(LONG).metadata == {"a": "ü"}
    assert Raw(storage).names(bucket.name) == [LONG]
    other = bucket.create_upload(LONG)
    other.abort()
    assert Raw(storage).names(bucket.name) == [LONG]


def test_digests_and_write_id_come_with_a_completion(bucket):
    with bucket.writer("a", compute=("sha256", "md5")) as writer:
        writer.write(PART * 2)
        writer.write(b"end")
    info = bucket.head("a")
    body = PART * 2 + b"end"
    assert info.checksums["sha256"] == digest("sha256", body).hex()
    assert info.checksums["md5"] == digest("md5", body).hex()
    assert info.checksums["crc32c"] == digest("crc32c", body).hex()
    assert info.write_id


def test_a_condition_that_fails_at_the_last_moment_leaves_the_session(storage, bucket, monkeypatch):
    session = bucket.create_upload("a", content_type="text/csv")
    part = session.put_part(1, b"mine")

    async def late(wire, *args):
        monkeypatch.setattr(multipart, "publish", publish)
        with storage_core.open(config=pickle.loads(config)) as other:
            other.bucket(bucket.name).put("a", b"theirs")
        return await publish(wire, *args)

    settings = storage.driver.settings
    config = pickle.dumps(
        {
            "driver": "gcs",
            "endpoint_url": settings.endpoint_url,
            "project": settings.project,
            "token": settings.source,
        }
    )
    monkeypatch.setattr(multipart, "publish", late)
    with pytest.raises(PreconditionFailedError):
        session.complete([part], if_absent=True)
    assert bucket.get("a").read() == b"theirs"
    bucket.delete("a")
    session.complete([part], if_absent=True)
    assert bucket.get("a").read() == b"mine"
    assert bucket.head("a").content_type == "text/csv"
    with pytest.raises(UploadNotFoundError):
        session.complete([part])
    assert Raw(storage).names(bucket.name) == ["a"]


def test_what_a_dead_process_completed_is_taken_over_in_time(storage, bucket, monkeypatch):
    session = bucket.create_upload("a")
    part = session.put_part(1, b"x")

    async def dies(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(multipart, "publish", dies)
    with pytest.raises(KeyboardInterrupt):
        session.complete([part])
    monkeypatch.undo()
    with pytest.raises(UploadNotFoundError):
        session.complete([part])  # perhaps it is only slow
    monkeypatch.setattr(multipart, "ABANDONED", -5.0)
    session.complete([part])
    assert bucket.get("a").read() == b"x"
    again = bucket.create_upload("b")
    part = again.put_part(1, b"x")
    monkeypatch.setattr(multipart, "publish", dies)
    with pytest.raises(KeyboardInterrupt):
        again.complete([part])
    again.abort()
    with pytest.raises(UploadNotFoundError):
        again.abort()
    assert Raw(storage).names(bucket.name) == ["a"]


def test_parts_put_together_wrong_are_not_published(storage, bucket):
    session = bucket.create_upload("a")
    part = session.put_part(1, b"x")
    core = session._core
    with pytest.raises(IntegrityError):
        drive(core.complete([part], None, storage_core.model.NO_CONDITIONS, None, {
            "crc32c": "00000000"
        }))  # fmt: skip
    assert Raw(storage).names(bucket.name) == []


def test_leftovers_do_not_keep_a_bucket(storage):
    bucket = storage.create_bucket(f"left-{time.time_ns()}")
    wire = storage.driver._wire
    drive(upload(wire, bucket.name, f"{HIDDEN}p/x", NoBytes(), NOTHING))
    assert list(bucket.list()) == []
    storage.delete_bucket(bucket.name)
    assert not storage.bucket_exists(bucket.name)


def test_hidden_objects_of_others_do_not_go_with_a_full_bucket(storage, bucket):
    wire = storage.driver._wire
    bucket.put("zzz", b"")
    drive(upload(wire, bucket.name, f"{HIDDEN}p/x", NoBytes(), NOTHING))
    with pytest.raises(storage_core.BucketNotEmptyError):
        storage.delete_bucket(bucket.name)
    assert Raw(storage).names(bucket.name) == [f"{HIDDEN}p/x", "zzz"]


def test_copies_of_parts_stream(bucket):
    body = bytes(range(256)) * 4096 * 6
    bucket.put("source", body)
    session = bucket.create_upload("a")
    parts = [session.copy_part(1, "source", range=(0, 5 * 1024**2)), session.copy_part(2, "source")]
    session.complete(parts)
    assert bucket.get("a").read() == body[: 5 * 1024**2] + body


def test_update_metadata_keeps_digests_and_explicit_headers(bucket):
    bucket.put("a", b"abc", compute=("sha256",), content_type="application/octet-stream")
    before = bucket.head("a")
    assert before.content_type == "application/octet-stream"
    bucket.update_metadata("a", metadata={"k": "v"})
    after = bucket.head("a")
    assert after.checksums == before.checksums
    assert after.content_type == before.content_type
    assert after.etag != before.etag
    bucket.update_metadata("a", content_type=None)
    assert bucket.head("a").content_type is None
    with pytest.raises(PreconditionFailedError):
        bucket.update_metadata("a", cache_control="no-store", if_match=before.etag)


def test_get_and_head_agree(bucket):
    given = {
        "content_type": "text/csv",
        "content_encoding": "gzip",
        "content_disposition": 'attachment; filename="x"',
        "content_language": "de",
        "cache_control": "private, max-age=0",
        "metadata": {"k": "ü", "plain": "x"},
        "compute": ("sha256",),
    }
    for attributes in ({}, given, {"content_type": "application/octet-stream"}):
        bucket.put("a", b"abc", **attributes)
        with bucket.get("a") as reader:
            assert reader.info == bucket.head("a")
            assert reader.read() == b"abc"


def test_renewed_tokens(storage, strict_gcs):
    account = storage.driver._wire.account
    first = drive(account.get())
    assert drive(account.get()) is first
    assert not account.refused(first), "a new token is not given up"
    account._renewed = -1000.0
    assert account.refused(first)
    assert drive(account.get()) is not first


def test_a_key_that_was_deleted(strict_gcs):
    info = dict(strict_gcs.profile["token"])
    info["client_email"] = "nobody@example.org"
    profile = {**strict_gcs.profile, "token": info}
    with storage_core.open(config=profile) as storage:
        with pytest.raises(AuthenticationError, match="gives no token") as caught:
            list(storage.list_buckets())
        assert "PRIVATE KEY" not in str(caught.value)


def test_other_libraries_get_a_filesystem(storage, bucket, strict_gcs):
    bucket.put("a/b", b"abc")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filesystem = storage.driver.filesystem()
        assert type(filesystem).__module__ == "gcsfs.core"
        assert filesystem.cat(f"{bucket.name}/a/b") == b"abc"


def test_two_loops_one_after_the_other(strict_gcs, bucket):
    async def use():
        async with aio.open(config=dict(strict_gcs.profile)) as storage:
            await storage.bucket(bucket.name).put("a", b"abc")
            async with storage.bucket(bucket.name).get("a") as reader:
                return await reader.read()

    assert [asyncio.run(use()) for _ in range(2)] == [b"abc"] * 2


def test_a_plain_object_is_stored_as_users_expect(storage, bucket):
    """No metadata of ours where it is not needed, and types other tools see."""
    bucket.put("a", b"abc", content_type="text/plain")
    wire = storage.driver._wire
    path = wire.place(bucket.name).resource("a")
    found = drive(wire.json(errors.GET, bucket.name, "GET", path))
    assert found["contentType"] == "text/plain"
    assert "metadata" not in found
    assert json.dumps(found)
    assert requests.RESERVED_METADATA < requests.MAX_METADATA


def test_part_links_bind_their_length(bucket):
    import urllib.error
    import urllib.request

    session = bucket.create_upload("a")
    link = session.presign_part(1, content_length=3)

    def redeem(body):
        request = urllib.request.Request(
            link.url, body, {**link.headers, "Content-Length": str(len(body))}, method="PUT"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status

    with pytest.raises(urllib.error.HTTPError) as caught:
        redeem(b"abcd")
    caught.value.close()
    assert 400 <= caught.value.code < 500
    assert list(session.list_parts()) == []
    assert redeem(b"abc") == 200
    session.complete()
    assert bucket.get("a").read() == b"abc"
