"""D: what is known of an object without its bytes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from storage_conformance.cases import Need, case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of
from storage_conformance.watch import no_requests
from storage_core import Bucket, InvalidRequestError, ObjectInfo, ObjectNotFoundError, Storage
from storage_core.checksum import digest
from storage_core.model import Attributes, Capabilities

HEADERS = Need(
    "content headers",
    lambda c: c.content_headers,
    lambda b: b.put("key", b"", content_encoding="gzip"),
)
EXPIRY = Need(
    "object expiry",
    lambda c: c.object_expiry,
    lambda b: b.put("key", b"", expires_at=datetime.now(UTC) + timedelta(hours=1)),
)


def summary(bucket: Bucket, key: str) -> ObjectInfo:
    """What a listing tells of a key."""
    (item,) = [item for item in bucket.list(key) if item.key == key]
    assert not item.is_prefix
    return item  # type: ignore[return-value]


class Head(Suite):
    """Head."""

    @case("D01", "head tells key and size", clause="Objects")
    def test_d01_size(self, bucket: Bucket) -> None:
        for size in (0, 1, 100_000):
            bucket.put(f"size/{size}", b"x" * size)
            info = bucket.head(f"size/{size}")
            assert (info.key, info.size) == (f"size/{size}", size)

    @case("D02", "the content type is kept", clause="Objects")
    def test_d02_content_type(self, bucket: Bucket) -> None:
        for number, kind in enumerate(
            ("text/plain", "text/html; charset=utf-8", "application/x-none", 'a/b; c="d, e"')
        ):
            bucket.put(f"key-{number}", b"", content_type=kind)
            assert bucket.head(f"key-{number}").content_type == kind

    @case("D03", "the content encoding is kept", clause="Objects", needs=HEADERS)
    def test_d03_encoding(self, bucket: Bucket) -> None:
        bucket.put("key", b"", content_encoding="gzip, br")
        assert bucket.head("key").content_encoding == "gzip, br"

    @case("D04", "the content disposition is kept", clause="Objects", needs=HEADERS)
    def test_d04_disposition(self, bucket: Bucket) -> None:
        text = "attachment; filename=\"a b.csv\"; filename*=UTF-8''%C3%A4.csv"
        bucket.put("key", b"", content_disposition=text)
        assert bucket.head("key").content_disposition == text

    @case("D05", "the content language is kept", clause="Objects", needs=HEADERS)
    def test_d05_language(self, bucket: Bucket) -> None:
        bucket.put("key", b"", content_language="de, en-GB")
        assert bucket.head("key").content_language == "de, en-GB"

    @case("D06", "the cache control is kept", clause="Objects", needs=HEADERS)
    def test_d06_cache_control(self, bucket: Bucket) -> None:
        bucket.put("key", b"", cache_control="public, max-age=31536000, immutable")
        assert bucket.head("key").cache_control == "public, max-age=31536000, immutable"

    @case("D07", "headers that were not given are absent", clause="Objects")
    def test_d07_absent(self, bucket: Bucket) -> None:
        bucket.put("key", b"bytes")
        info = bucket.head("key")
        for name in Attributes.HEADERS[1:]:
            assert not getattr(info, name), f"{name} {getattr(info, name)!r} came from nowhere"
        assert dict(info.metadata) == {}
        assert info.expires_at is None

    @case("D08", "the content type is not guessed from the key", clause="Objects")
    def test_d08_not_guessed(self, bucket: Bucket) -> None:
        found = set()
        for key in ("page.html", "table.csv", "picture.png", "none"):
            bucket.put(key, b"<html></html>")
            found.add(bucket.head(key).content_type)
        assert len(found) == 1, f"content types {found} for bodies that are the same"
        assert "text/html" not in found

    @case("D09", "put, head, get and list tell the same etag", clause="Objects")
    def test_d09_etag(self, bucket: Bucket) -> None:
        result = bucket.put("key", b"bytes")
        assert bucket.head("key").etag == result.etag
        with bucket.get("key") as reader:
            assert reader.info.etag == result.etag
        assert summary(bucket, "key").etag in {result.etag, None}

    @case("D10", "the time of modification is aware UTC and does not run back", clause="Objects")
    def test_d10_modified(self, bucket: Bucket) -> None:
        times = []
        for key in ("one", "two", "one"):
            bucket.put(key, b"bytes")
            times.append(bucket.head(key).modified)
        assert all(moment.utcoffset() == timedelta(0) for moment in times), times
        assert times == sorted(times)
        assert abs(times[0] - datetime.now(UTC)) < timedelta(minutes=15), "the clock is wrong"

    @case("D11", "head, get and list tell the same time of modification", clause="Objects")
    def test_d11_same_time(self, bucket: Bucket) -> None:
        bucket.put("key", b"bytes")
        head = bucket.head("key").modified
        with bucket.get("key") as reader:
            assert reader.info.modified == head
        # HTTP dates have whole seconds, listings often more.
        listed = summary(bucket, "key").modified
        assert listed.utcoffset() == timedelta(0)
        assert abs(listed - head) < timedelta(seconds=1)

    @case("D12", "head and list tell the same size", clause="Objects")
    def test_d12_same_size(self, bucket: Bucket) -> None:
        for size in (0, 7, 123_456):
            bucket.put("key", b"x" * size)
            assert bucket.head("key").size == summary(bucket, "key").size == size

    @case("D13", "checksums in head are those of the bytes", clause="Objects")
    def test_d13_checksums(self, bucket: Bucket, capabilities: Capabilities) -> None:
        data = b"some bytes"
        bucket.put("key", data, checksums={"sha256": hashlib.sha256(data).hexdigest()})
        kept = bucket.head("key").checksums
        for algorithm, value in kept.items():
            assert value == digest(algorithm, data).hex(), algorithm
        if capabilities.default_checksum:
            assert capabilities.default_checksum in kept
        if "sha256" in capabilities.checksums:
            assert "sha256" in kept

    @case("D14", "the version is told where versions are kept, and only there", clause="Objects")
    def test_d14_version(self, bucket: Bucket, capabilities: Capabilities) -> None:
        result = bucket.put("key", b"bytes")
        assert (result.version is not None) == capabilities.versions
        assert bucket.head("key").version == result.version

    @case("D15", "head of a missing object raises ObjectNotFoundError", clause="Objects")
    def test_d15_missing(self, bucket: Bucket) -> None:
        with pytest.raises(ObjectNotFoundError) as found:
            bucket.head("missing")
        assert (found.value.bucket, found.value.key) == (bucket.name, "missing")
        assert isinstance(found.value, FileNotFoundError)

    @case("D16", "exists is head without the error", clause="Objects")
    def test_d16_exists(self, bucket: Bucket) -> None:
        assert bucket.exists("key") is False
        bucket.put("key", b"")
        assert bucket.exists("key") is True
        bucket.delete("key")
        assert bucket.exists("key") is False

    @case("D17", "a prefix of keys is not an object", clause="Keys")
    def test_d17_prefix(self, bucket: Bucket) -> None:
        bucket.put("a/b/c", b"bytes")
        for key in ("a", "a/", "a/b", "a/b/", "a/b/c/", "/a/b/c", "A/B/C", "a//b/c"):
            assert not bucket.exists(key), key

    @case("D18", "what head returned does not change with the object", clause="Objects")
    def test_d18_no_aliasing(self, bucket: Bucket) -> None:
        given = {"a": "1"}
        bucket.put("key", b"bytes", metadata=given)
        given["a"] = "changed"
        before = bucket.head("key")
        assert dict(before.metadata) == {"a": "1"}
        bucket.put("key", b"other bytes", metadata={"a": "2"})
        assert (before.size, dict(before.metadata)) == (5, {"a": "1"})

    @case("D19", "reading changes nothing that head tells", clause="Objects")
    def test_d19_unchanged(self, bucket: Bucket) -> None:
        bucket.put("key", b"bytes", metadata={"a": "1"})
        before = bucket.head("key")
        with bucket.get("key") as reader:
            reader.read()
        list(bucket.list())
        assert bucket.head("key") == before

    @case("D20", "the expiry is told", clause="Objects", needs=EXPIRY)
    def test_d20_expires_at(self, bucket: Bucket) -> None:
        moment = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
        bucket.put("key", b"bytes", expires_at=moment)
        assert bucket.head("key").expires_at == moment
        bucket.put("key", b"bytes")
        assert bucket.head("key").expires_at is None

    @case("D21", "an expired object is gone for every call", clause="Objects", needs=EXPIRY)
    def test_d21_expired(self, bucket: Bucket) -> None:
        bucket.put("stays", b"bytes")
        for seconds in (1, 10):
            moment = datetime.now(UTC) + timedelta(seconds=seconds)
            try:
                bucket.put("key", b"bytes", expires_at=moment)
                break
            except InvalidRequestError:  # it was past when the request came to be made
                assert moment <= datetime.now(UTC)
        limit = time.monotonic() + 30
        while bucket.exists("key"):
            assert time.monotonic() < limit, "the object is still there 30 s later"
            time.sleep(0.05)
        with pytest.raises(ObjectNotFoundError):
            bucket.head("key")
        with pytest.raises(ObjectNotFoundError):
            bucket.get("key").close()
        with pytest.raises(ObjectNotFoundError):
            bucket.copy("key", "copy")
        assert keys_of(bucket.list()) == ["stays"]
        bucket.put("key", b"new")
        assert bucket.head("key").size == 3

    @case("D22", "an expiry that is naive or past is refused", clause="Objects", needs=EXPIRY)
    def test_d22_bad_expiry(self, storage: Storage, bucket: Bucket) -> None:
        now = datetime.now(UTC)
        for moment in (now - timedelta(seconds=1), (now + timedelta(days=1)).replace(tzinfo=None)):
            with no_requests(storage), pytest.raises(InvalidRequestError):
                bucket.put("key", b"", expires_at=moment)

    @case("D23", "a later clock refuses what is past by then", clause="Objects", needs=EXPIRY)
    def test_d23_clock(self, bucket: Bucket, opener: Callable[..., Storage]) -> None:
        moment = datetime.now(UTC) + timedelta(hours=1)
        later = opener(now=lambda: moment + timedelta(seconds=1)).bucket(bucket.name)
        with pytest.raises(InvalidRequestError):
            later.put("key", b"", expires_at=moment)
        bucket.put("key", b"", expires_at=moment)
