"""Category J: preconditions of reads and writes, one call at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, read
from storage_conformance.needs import MULTIPART, condition
from storage_conformance.watch import no_requests
from storage_core import (
    Bucket,
    InvalidRequestError,
    NotModifiedError,
    ObjectNotFoundError,
    PreconditionFailedError,
)

OLD = datetime(2001, 2, 3, tzinfo=UTC)
OTHER = "0123456789abcdef-other"


class Conditions(Suite):
    """Cases J01 to J29."""

    @case(
        "J01",
        "get with if_match reads just the expected object",
        clause="Objects",
        needs=condition("get", "if_match"),
    )
    def test_j01_get_if_match(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"1").etag
        with bucket.get("a", if_match=old) as reader:
            assert reader.read() == b"1"
        bucket.put("a", b"2")
        with pytest.raises(PreconditionFailedError):
            bucket.get("a", if_match=old)

    @case(
        "J02",
        "head with if_match tells of just the expected object",
        clause="Objects",
        needs=condition("head", "if_match"),
    )
    def test_j02_head_if_match(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"1").etag
        assert bucket.head("a", if_match=old).etag == old
        bucket.put("a", b"2")
        with pytest.raises(PreconditionFailedError):
            bucket.head("a", if_match=old)

    @case(
        "J03",
        "get with if_none_match of the known object is NotModifiedError",
        clause="Objects",
        needs=condition("get", "if_none_match"),
    )
    def test_j03_get_if_none_match(self, bucket: Bucket) -> None:
        known = bucket.put("a", b"1").etag
        with pytest.raises(NotModifiedError):
            bucket.get("a", if_none_match=known)
        bucket.put("a", b"2")
        with bucket.get("a", if_none_match=known) as reader:
            assert reader.read() == b"2"

    @case(
        "J04",
        "head with if_none_match of the known object is NotModifiedError",
        clause="Objects",
        needs=condition("head", "if_none_match"),
    )
    def test_j04_head_if_none_match(self, bucket: Bucket) -> None:
        known = bucket.put("a", b"1").etag
        with pytest.raises(NotModifiedError):
            bucket.head("a", if_none_match=known)
        new = bucket.put("a", b"2").etag
        assert bucket.head("a", if_none_match=known).etag == new

    @case(
        "J05",
        "get with if_modified_since reads just what is newer",
        clause="Objects",
        needs=condition("get", "if_modified_since"),
    )
    def test_j05_get_if_modified_since(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        modified = bucket.head("a").modified
        with bucket.get("a", if_modified_since=OLD) as reader:
            assert reader.read() == b"1"
        for since in (modified, modified + timedelta(hours=1)):
            with pytest.raises(NotModifiedError):
                bucket.get("a", if_modified_since=since)

    @case(
        "J06",
        "head with if_modified_since tells of just what is newer",
        clause="Objects",
        needs=condition("head", "if_modified_since"),
    )
    def test_j06_head_if_modified_since(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        modified = bucket.head("a").modified
        assert bucket.head("a", if_modified_since=OLD).size == 1
        with pytest.raises(NotModifiedError):
            bucket.head("a", if_modified_since=modified)

    @case(
        "J07",
        "get with if_unmodified_since reads just what is not newer",
        clause="Objects",
        needs=condition("get", "if_unmodified_since"),
    )
    def test_j07_get_if_unmodified_since(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        modified = bucket.head("a").modified
        with pytest.raises(PreconditionFailedError):
            bucket.get("a", if_unmodified_since=OLD)
        for since in (modified, modified + timedelta(hours=1)):
            with bucket.get("a", if_unmodified_since=since) as reader:
                assert reader.read() == b"1"

    @case(
        "J08",
        "head with if_unmodified_since tells of just what is not newer",
        clause="Objects",
        needs=condition("head", "if_unmodified_since"),
    )
    def test_j08_head_if_unmodified_since(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        modified = bucket.head("a").modified
        with pytest.raises(PreconditionFailedError):
            bucket.head("a", if_unmodified_since=OLD)
        assert bucket.head("a", if_unmodified_since=modified).size == 1

    @case(
        "J09",
        "conditions in another time zone mean the same moment",
        clause="Objects",
        needs=condition("head", "if_unmodified_since"),
    )
    def test_j09_time_zones(self, bucket: Bucket) -> None:
        from datetime import timezone

        bucket.put("a", b"1")
        later = bucket.head("a").modified + timedelta(minutes=5)
        west, east = timezone(timedelta(hours=-11)), timezone(timedelta(hours=13))
        for zone in (west, east):
            assert bucket.head("a", if_unmodified_since=later.astimezone(zone)).size == 1
            with pytest.raises(PreconditionFailedError):
                bucket.head("a", if_unmodified_since=OLD.astimezone(zone))

    @case(
        "J10",
        "a condition with a naive datetime is refused",
        clause="Objects",
        needs=(condition("get", "if_modified_since"), condition("get", "if_unmodified_since")),
    )
    def test_j10_naive_time(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        naive = datetime(2020, 1, 1)  # noqa: DTZ001 - what is refused
        with pytest.raises(InvalidRequestError, match="if_modified_since"):
            bucket.get("a", if_modified_since=naive)
        with pytest.raises(InvalidRequestError, match="if_unmodified_since"):
            bucket.head("a", if_unmodified_since=naive)

    @case(
        "J11",
        "an etag condition decides before a time (RFC 9110 section 13.2.2)",
        clause="Objects",
        needs=(
            condition("get", "if_match"),
            condition("get", "if_none_match"),
            condition("get", "if_modified_since"),
            condition("get", "if_unmodified_since"),
        ),
    )
    def test_j11_precedence(self, bucket: Bucket) -> None:
        etag = bucket.put("a", b"1").etag
        with bucket.get("a", if_match=etag, if_unmodified_since=OLD) as reader:
            assert reader.read() == b"1"
        later = bucket.head("a").modified + timedelta(hours=1)
        with bucket.get("a", if_none_match=OTHER, if_modified_since=later) as reader:
            assert reader.read() == b"1"

    @case(
        "J12",
        "if_match and if_none_match hold together",
        clause="Objects",
        needs=(condition("get", "if_match"), condition("get", "if_none_match")),
    )
    def test_j12_both(self, bucket: Bucket) -> None:
        etag = bucket.put("a", b"1").etag
        with bucket.get("a", if_match=etag, if_none_match=OTHER) as reader:
            assert reader.read() == b"1"
        with pytest.raises(PreconditionFailedError):
            bucket.get("a", if_match=OTHER, if_none_match=OTHER)
        with pytest.raises(NotModifiedError):
            bucket.get("a", if_match=etag, if_none_match=etag)

    @case(
        "J13",
        "a conditional read of a missing object is ObjectNotFoundError",
        clause="Objects",
        needs=(condition("get", "if_match"), condition("get", "if_none_match")),
    )
    def test_j13_missing(self, bucket: Bucket) -> None:
        for wanted in ({"if_match": OTHER}, {"if_none_match": OTHER}):
            with pytest.raises(ObjectNotFoundError):
                bucket.get("a", **wanted)  # type: ignore[arg-type]

    @case(
        "J14",
        "conditions hold for ranges too",
        clause="Objects",
        needs=(condition("get", "if_match"), condition("get", "if_none_match")),
    )
    def test_j14_ranges(self, bucket: Bucket) -> None:
        etag = bucket.put("a", b"0123456789").etag
        with bucket.get("a", range=(2, 5), if_match=etag) as reader:
            assert reader.read() == b"234"
        with pytest.raises(PreconditionFailedError):
            bucket.get("a", range=(2, 5), if_match=OTHER)
        with pytest.raises(NotModifiedError):
            bucket.get("a", range=(2, 5), if_none_match=etag)

    @case(
        "J15",
        "put with if_absent creates and never replaces",
        clause="Objects",
        needs=condition("put", "if_absent"),
    )
    def test_j15_put_if_absent(self, bucket: Bucket) -> None:
        bucket.put("a", b"first", if_absent=True)
        for body in (b"second", b"first", b""):
            with pytest.raises(PreconditionFailedError):
                bucket.put("a", body, if_absent=True)
        assert read(bucket, "a") == b"first"
        bucket.delete("a")
        bucket.put("a", b"third", if_absent=True)
        assert read(bucket, "a") == b"third"

    @case(
        "J16",
        "put with if_match replaces just the expected object",
        clause="Objects",
        needs=condition("put", "if_match"),
    )
    def test_j16_put_if_match(self, bucket: Bucket) -> None:
        first = bucket.put("a", b"1").etag
        second = bucket.put("a", b"2", if_match=first).etag
        assert second != first
        with pytest.raises(PreconditionFailedError):
            bucket.put("a", b"3", if_match=first)
        assert read(bucket, "a") == b"2"

    @case(
        "J17",
        "put with if_match of a missing object creates nothing",
        clause="Objects",
        needs=condition("put", "if_match"),
    )
    def test_j17_put_if_match_missing(self, bucket: Bucket) -> None:
        etag = bucket.put("a", b"1").etag
        bucket.delete("a")
        for key in ("a", "never"):
            with pytest.raises(PreconditionFailedError):
                bucket.put(key, b"2", if_match=etag)
        assert keys_of(bucket.list()) == []

    @case(
        "J18",
        "an etag from before a delete does not match the object written anew",
        clause="Objects",
        needs=condition("put", "if_match"),
    )
    def test_j18_written_anew(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"same").etag
        bucket.put("a", b"other")
        with pytest.raises(PreconditionFailedError):
            bucket.put("a", b"lost", if_match=old)
        assert read(bucket, "a") == b"other"

    @case(
        "J19",
        "if_absent and if_match together are refused before I/O",
        clause="Objects",
        needs=(condition("put", "if_absent"), condition("put", "if_match")),
    )
    def test_j19_contradiction(self, bucket: Bucket) -> None:
        with no_requests(bucket.storage), pytest.raises(InvalidRequestError):
            bucket.put("a", b"1", if_absent=True, if_match=OTHER)
        assert not bucket.exists("a")

    @case(
        "J20",
        "a failed condition leaves headers and metadata as they were",
        clause="Objects",
        needs=(condition("put", "if_absent"), condition("put", "if_match")),
    )
    def test_j20_attributes_stay(self, bucket: Bucket) -> None:
        bucket.put("a", b"1", content_type="text/plain", metadata={"k": "old"})
        before = bucket.head("a")
        for wanted in ({"if_absent": True}, {"if_match": OTHER}):
            with pytest.raises(PreconditionFailedError):
                bucket.put("a", b"2", content_type="a/b", metadata={"k": "new"}, **wanted)
        assert bucket.head("a") == before

    @case(
        "J21",
        "a writer with if_absent learns of the object at commit at the latest",
        clause="Objects",
        needs=condition("put", "if_absent"),
    )
    def test_j21_writer_if_absent(self, bucket: Bucket) -> None:
        bucket.put("b", b"kept")
        with pytest.raises(PreconditionFailedError), bucket.writer("b", if_absent=True) as writer:
            writer.write(b"lost")
        with bucket.writer("a", if_absent=True) as writer:
            writer.write(b"new")
        assert (read(bucket, "a"), read(bucket, "b")) == (b"new", b"kept")

    @case(
        "J22",
        "a condition is judged when the object is published, not when it begins",
        clause="Objects",
        needs=condition("put", "if_absent"),
    )
    def test_j22_judged_at_the_end(self, bucket: Bucket) -> None:
        writer = bucket.writer("a", if_absent=True)
        writer.write(b"slow")
        bucket.put("a", b"quick")
        with pytest.raises(PreconditionFailedError):
            writer.commit()
        assert read(bucket, "a") == b"quick"

    @case(
        "J23",
        "a writer with if_match replaces just the expected object",
        clause="Objects",
        needs=condition("put", "if_match"),
    )
    def test_j23_writer_if_match(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"1").etag
        with bucket.writer("a", if_match=old) as writer:
            writer.write(b"2")
        with pytest.raises(PreconditionFailedError), bucket.writer("a", if_match=old) as writer:
            writer.write(b"3")
        assert read(bucket, "a") == b"2"

    @case(
        "J24",
        "complete with if_absent never replaces; the session stays open",
        clause="Multipart",
        needs=(MULTIPART, condition("complete", "if_absent")),
    )
    def test_j24_complete_if_absent(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a")
        upload.put_part(1, b"session")
        bucket.put("a", b"kept")
        with pytest.raises(PreconditionFailedError):
            upload.complete(if_absent=True)
        assert read(bucket, "a") == b"kept"
        bucket.delete("a")
        upload.complete(if_absent=True)
        assert read(bucket, "a") == b"session"

    @case(
        "J25",
        "complete with if_match replaces just the expected object; the session stays",
        clause="Multipart",
        needs=(MULTIPART, condition("complete", "if_match")),
    )
    def test_j25_complete_if_match(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"1").etag
        new = bucket.put("a", b"2").etag
        upload = bucket.create_upload("a")
        upload.put_part(1, b"session")
        with pytest.raises(PreconditionFailedError):
            upload.complete(if_match=old)
        assert read(bucket, "a") == b"2"
        upload.complete(if_match=new)
        assert read(bucket, "a") == b"session"

    @case("J26", "a new etag with every change of the bytes, whatever the way", clause="Objects")
    def test_j26_etags_differ(self, bucket: Bucket) -> None:
        etags = [bucket.put("a", body).etag for body in (b"1", b"2", b"", b"12", b"21")]
        with bucket.writer("a") as writer:
            writer.write(b"3")
        etags.append(bucket.head("a").etag)
        bucket.put("b", b"4")
        etags.append(bucket.copy("b", "a").etag)
        assert len(set(etags)) == len(etags)
        assert bucket.head("a").etag == etags[-1]
