"""B: writing an object bit by bit."""

from __future__ import annotations

import dataclasses
import gc
import hashlib

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, read
from storage_conformance.needs import MULTIPART, condition
from storage_conformance.suite.b_write import MIB, nothing_left, pattern
from storage_core import Bucket, ClosedError, IntegrityError, PreconditionFailedError
from storage_core.model import Capabilities


class Writers(Suite):
    """Writers."""

    @case("B40", "a writer publishes on commit what was written", clause="Objects")
    def test_b40_commit(self, bucket: Bucket) -> None:
        writer = bucket.writer("key", content_type="text/plain")
        assert writer.write(b"one ") == 4
        writer.write(bytearray(b"two"))
        result = writer.commit()
        assert (result.key, result.size) == ("key", 7)
        info = bucket.head("key")
        assert (info.etag, info.content_type) == (result.etag, "text/plain")
        assert read(bucket, "key") == b"one two"

    @case("B41", "nothing is visible before the commit", clause="Objects")
    def test_b41_invisible(self, bucket: Bucket) -> None:
        with bucket.writer("key") as writer:
            writer.write(pattern(MIB))
            nothing_left(bucket, "key")
        assert bucket.exists("key")

    @case("B42", "leaving a writer's block commits", clause="Objects")
    def test_b42_block(self, bucket: Bucket) -> None:
        with bucket.writer("key") as writer:
            writer.write(b"bytes")
        assert read(bucket, "key") == b"bytes"
        assert writer.result is not None
        assert writer.result.etag == bucket.head("key").etag

    @case("B43", "an exception in a writer's block aborts", clause="Objects")
    def test_b43_exception(self, bucket: Bucket) -> None:
        with pytest.raises(ZeroDivisionError), bucket.writer("key") as writer:
            writer.write(b"bytes")
            raise ZeroDivisionError
        nothing_left(bucket, "key")
        assert writer.result is None

    @case("B44", "an aborted writer leaves nothing", clause="Objects")
    def test_b44_abort(self, bucket: Bucket) -> None:
        writer = bucket.writer("key")
        writer.write(b"bytes")
        writer.abort()
        nothing_left(bucket, "key")

    @case("B45", "an aborted writer leaves the old object", clause="Objects")
    def test_b45_abort_over_old(self, bucket: Bucket) -> None:
        bucket.put("key", b"old")
        writer = bucket.writer("key")
        writer.write(b"new")
        assert read(bucket, "key") == b"old"
        writer.abort()
        assert read(bucket, "key") == b"old"

    @case("B46", "an abandoned writer leaves nothing", clause="Objects")
    def test_b46_abandoned(self, bucket: Bucket) -> None:
        writer = bucket.writer("key")
        writer.write(b"bytes")
        del writer
        gc.collect()
        nothing_left(bucket, "key")

    @case("B47", "attributes can change until the commit", clause="Objects")
    def test_b47_attributes(self, bucket: Bucket) -> None:
        with bucket.writer("key", metadata={"state": "begun"}) as writer:
            writer.write(b"bytes")
            writer.attributes = dataclasses.replace(
                writer.attributes, content_type="text/css", metadata={"State": "done"}
            )
        info = bucket.head("key")
        assert (info.content_type, dict(info.metadata)) == ("text/css", {"state": "done"})

    @case("B48", "a writer of many mebibytes publishes them whole", clause="Objects")
    def test_b48_large(self, bucket: Bucket) -> None:
        data = pattern(19 * MIB + 11)
        with bucket.writer("key", metadata={"size": "large"}) as writer:
            for start in range(0, len(data), 3_000_000):
                writer.write(data[start : start + 3_000_000])
            assert not bucket.exists("key")
        assert writer.result is not None
        assert writer.result.size == len(data)
        assert dict(bucket.head("key").metadata) == {"size": "large"}
        assert read(bucket, "key") == data

    @case(
        "B49", "an aborted large writer leaves no open session", clause="Objects", needs=MULTIPART
    )
    def test_b49_large_abort(self, bucket: Bucket) -> None:
        writer = bucket.writer("key")
        for _ in range(10):
            writer.write(pattern(MIB))
        writer.abort()
        nothing_left(bucket, "key")
        assert list(bucket.list_uploads()) == []

    @case("B50", "an empty writer makes an empty object", clause="Objects")
    def test_b50_empty(self, bucket: Bucket) -> None:
        with bucket.writer("key"):
            pass
        assert read(bucket, "key") == b""

    @case("B51", "a writer that has ended takes nothing more", clause="Objects")
    def test_b51_ended(self, bucket: Bucket) -> None:
        writer = bucket.writer("key")
        writer.write(b"bytes")
        writer.commit()
        with pytest.raises(ClosedError):
            writer.write(b"more")
        with pytest.raises(ClosedError):
            writer.commit()
        aborted = bucket.writer("other")
        aborted.abort()
        with pytest.raises(ClosedError):
            aborted.write(b"more")
        with pytest.raises(ClosedError):
            aborted.commit()
        assert keys_of(bucket.list()) == ["key"]

    @case("B52", "a writer holds what it writes to the declared digest", clause="Objects")
    def test_b52_declared(self, bucket: Bucket) -> None:
        digest = hashlib.sha256(b"bytes").hexdigest()
        with bucket.writer("right", checksums={"sha256": digest}) as writer:
            writer.write(b"bytes")
        assert writer.result is not None
        assert writer.result.checksums["sha256"] == digest
        wrong = bucket.writer("wrong", checksums={"sha256": digest})
        wrong.write(b"other")
        with pytest.raises(IntegrityError):
            wrong.commit()
        assert keys_of(bucket.list()) == ["right"]

    @case(
        "B53",
        "a writer with if_absent does not replace",
        clause="Objects",
        needs=condition("put", "if_absent"),
    )
    def test_b53_if_absent(self, bucket: Bucket) -> None:
        writer = bucket.writer("key", if_absent=True)
        writer.write(b"late")
        bucket.put("key", b"early")
        with pytest.raises(PreconditionFailedError):
            writer.commit()
        assert read(bucket, "key") == b"early"

    @case(
        "B54",
        "a large writer with if_absent does not replace",
        clause="Objects",
        needs=condition("complete", "if_absent"),
    )
    def test_b54_large_if_absent(self, bucket: Bucket, capabilities: Capabilities) -> None:
        writer = bucket.writer("key", if_absent=True)
        for _ in range(10):
            writer.write(pattern(MIB))
        bucket.put("key", b"early")
        with pytest.raises(PreconditionFailedError):
            writer.commit()
        assert read(bucket, "key") == b"early"
        if capabilities.multipart:
            assert list(bucket.list_uploads()) == []

    @case("B55", "two writers of one key do not mix", clause="Objects")
    def test_b55_two(self, bucket: Bucket) -> None:
        first, second = bucket.writer("key"), bucket.writer("key")
        first.write(b"first ")
        second.write(b"second ")
        first.write(b"one")
        second.write(b"one")
        second.commit()
        assert read(bucket, "key") == b"second one"
        first.commit()
        assert read(bucket, "key") == b"first one"
