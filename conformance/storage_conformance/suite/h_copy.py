"""Category H: copy, move and metadata updates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, read
from storage_conformance.needs import (
    CONTENT_HEADERS,
    MULTIPART,
    TAGS,
    UPDATE_IF_MATCH,
    UPDATE_METADATA,
    VERSIONS,
    condition,
)
from storage_core import (
    Attributes,
    Bucket,
    BucketNotFoundError,
    InvalidMetadataError,
    NotModifiedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    Storage,
)
from storage_core.model import Capabilities

OLD = datetime(2001, 2, 3, tzinfo=UTC)
HEADERS = {
    "content_type": "text/csv; charset=utf-8",
    "content_encoding": "identity",
    "content_disposition": 'attachment; filename="a.csv"',
    "content_language": "en",
    "cache_control": "max-age=60",
}


def put_full(bucket: Bucket, key: str, data: bytes = b"some,thing\n") -> None:
    """An object with every attribute that all drivers keep."""
    headers = HEADERS if bucket.storage.capabilities.content_headers else {"content_type": "a/b"}
    attributes = Attributes(**headers, metadata={"year": "2012", "name": "Ünïcode"})  # type: ignore[arg-type]
    with bucket.writer(key) as writer:
        writer.attributes = attributes
        writer.write(data)


def attributes_of(bucket: Bucket, key: str) -> Attributes:
    """What a copy keeps."""
    return bucket.head(key).attributes()


class Copy(Suite):
    """Cases H."""

    @case("H01", "a copy has the bytes, headers and metadata of its source", clause="Objects")
    def test_h01_keeps_all(self, bucket: Bucket) -> None:
        put_full(bucket, "a")
        result = bucket.copy("a", "b")
        info = bucket.head("b")
        assert read(bucket, "b") == read(bucket, "a") == b"some,thing\n"
        assert attributes_of(bucket, "b") == attributes_of(bucket, "a")
        assert (result.key, result.etag, result.size) == ("b", info.etag, 11)

    @case("H02", "attributes given to a copy replace all of the source's", clause="Objects")
    def test_h02_replaces_attributes(self, bucket: Bucket) -> None:
        put_full(bucket, "a")
        wanted = Attributes(content_type="text/plain", metadata={"new": "1"})
        bucket.copy("a", "b", attributes=wanted)
        assert attributes_of(bucket, "b") == wanted
        assert attributes_of(bucket, "a").metadata == {"year": "2012", "name": "Ünïcode"}

    @case("H03", "a copy replaces its target as a whole", clause="Objects")
    def test_h03_overwrites(self, bucket: Bucket) -> None:
        put_full(bucket, "b", b"a longer object that must vanish")
        bucket.put("a", b"short")
        bucket.copy("a", "b")
        assert read(bucket, "b") == b"short"
        assert attributes_of(bucket, "b").metadata == {}, "metadata of the old object shows"

    @case("H04", "a copy of a missing object changes nothing", clause="Objects")
    def test_h04_missing_source(self, bucket: Bucket) -> None:
        bucket.put("b", b"kept")
        with pytest.raises(ObjectNotFoundError):
            bucket.copy("a", "b")
        with pytest.raises(ObjectNotFoundError):
            bucket.copy("a", "c")
        assert keys_of(bucket.list()) == ["b"]
        assert read(bucket, "b") == b"kept"

    @case("H05", "copies go from bucket to bucket", clause="Objects")
    def test_h05_across_buckets(self, bucket: Bucket, make_bucket: Callable[[], Bucket]) -> None:
        other = make_bucket()
        put_full(bucket, "a")
        bucket.copy("a", "a", target=other)
        assert read(other, "a") == b"some,thing\n"
        assert attributes_of(other, "a") == attributes_of(bucket, "a")
        bucket.delete("a")
        assert read(other, "a") == b"some,thing\n"

    @case("H06", "a missing bucket on either side of a copy is told as such", clause="Buckets")
    def test_h06_missing_bucket(self, storage: Storage, bucket: Bucket) -> None:
        missing = storage.bucket(f"{bucket.name[:50]}-none")
        bucket.put("a", b"1")
        with pytest.raises(BucketNotFoundError):
            bucket.copy("a", "b", target=missing)
        with pytest.raises(BucketNotFoundError):
            missing.copy("a", "b", target=bucket)
        with pytest.raises(BucketNotFoundError):
            bucket.move("a", "b", target=missing)
        assert keys_of(bucket.list()) == ["a"]

    @case(
        "H07",
        "a copy onto itself keeps the object; with attributes it changes only those",
        clause="Objects",
    )
    def test_h07_onto_itself(self, bucket: Bucket) -> None:
        put_full(bucket, "a")
        before = attributes_of(bucket, "a")
        bucket.copy("a", "a")
        assert read(bucket, "a") == b"some,thing\n"
        assert attributes_of(bucket, "a") == before
        bucket.copy("a", "a", attributes=Attributes(metadata={"only": "this"}))
        assert read(bucket, "a") == b"some,thing\n"
        assert attributes_of(bucket, "a") == Attributes(metadata={"only": "this"})

    @case("H08", "source and copy do not share their fate", clause="Objects")
    def test_h08_independent(self, bucket: Bucket) -> None:
        body = b"x" * 300_000
        bucket.put("a", body)
        bucket.copy("a", "b")
        bucket.copy("b", "c")
        bucket.put("a", b"y" * 300_000)
        assert read(bucket, "b") == body
        bucket.delete("b")
        assert read(bucket, "c") == body
        assert read(bucket, "a") == b"y" * 300_000

    @case("H09", "an empty object is copied", clause="Objects")
    def test_h09_empty(self, bucket: Bucket) -> None:
        bucket.put("a", b"", content_type="text/plain")
        assert bucket.copy("a", "b").size == 0
        assert read(bucket, "b") == b""
        assert bucket.head("b").content_type == "text/plain"

    @case("H10", "a copy keeps the tags of its source", clause="Objects", needs=TAGS)
    def test_h10_tags(self, bucket: Bucket) -> None:
        bucket.put("a", b"1", tags={"team": "fruit"})
        bucket.copy("a", "b")
        assert bucket.get_tags("b") == {"team": "fruit"}
        bucket.put_tags("b", {"team": "other"})
        assert bucket.get_tags("a") == {"team": "fruit"}

    @case("H11", "a version can be the source of a copy", clause="Objects", needs=VERSIONS)
    def test_h11_version(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"old").version
        bucket.put("a", b"new")
        bucket.copy("a", "b", version=old)
        assert read(bucket, "b") == b"old"
        bucket.copy("a", "a", version=old)
        assert read(bucket, "a") == b"old", "an old version was not restored onto its key"

    @case(
        "H12",
        "a copy longer than one request may be is done in parts",
        clause="Objects",
        needs=MULTIPART,
    )
    def test_h12_over_the_limit(
        self, bucket: Bucket, capabilities: Capabilities, opener: Callable[..., Storage]
    ) -> None:
        least = max(capabilities.min_part_size, 1024)
        body = b"0123456789abcdef" * (least // 16 + 7)
        bucket.put("a", body, content_type="text/plain", metadata={"k": "v"})
        narrow = opener(capabilities={"max_put_size": least}).bucket(bucket.name)
        result = narrow.copy("a", "b")
        assert result.size == len(body)
        assert read(bucket, "b") == body
        assert attributes_of(bucket, "b") == attributes_of(bucket, "a")

    @case(
        "H13",
        "a copy with if_absent never replaces an object",
        clause="Objects",
        needs=condition("copy", "if_absent"),
    )
    def test_h13_if_absent(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        bucket.copy("a", "b", if_absent=True)
        with pytest.raises(PreconditionFailedError):
            bucket.copy("a", "b", if_absent=True)
        with pytest.raises(PreconditionFailedError):
            bucket.copy("a", "a", if_absent=True)
        assert read(bucket, "b") == b"1"

    @case(
        "H14",
        "a copy with if_match replaces just the expected object",
        clause="Objects",
        needs=condition("copy", "if_match"),
    )
    def test_h14_if_match(self, bucket: Bucket) -> None:
        bucket.put("a", b"new")
        old = bucket.put("b", b"old").etag
        other = bucket.put("c", b"other").etag
        for etag, target in ((other, "b"), (old, "missing")):
            with pytest.raises(PreconditionFailedError):
                bucket.copy("a", target, if_match=etag)
        assert read(bucket, "b") == b"old"
        bucket.copy("a", "b", if_match=old)
        assert read(bucket, "b") == b"new"
        assert not bucket.exists("missing")

    @case(
        "H15",
        "source_if_match copies just the expected object",
        clause="Objects",
        needs=condition("copy_source", "if_match"),
    )
    def test_h15_source_if_match(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"old").etag
        bucket.copy("a", "b", source_if_match=old)
        bucket.put("a", b"new")
        with pytest.raises(PreconditionFailedError):
            bucket.copy("a", "b", source_if_match=old)
        assert read(bucket, "b") == b"old"

    @case(
        "H16",
        "source_if_none_match does not copy the object that is known",
        clause="Objects",
        needs=condition("copy_source", "if_none_match"),
    )
    def test_h16_source_if_none_match(self, bucket: Bucket) -> None:
        known = bucket.put("a", b"1").etag
        with pytest.raises((PreconditionFailedError, NotModifiedError)):
            bucket.copy("a", "b", source_if_none_match=known)
        assert not bucket.exists("b")
        bucket.put("a", b"2")
        bucket.copy("a", "b", source_if_none_match=known)
        assert read(bucket, "b") == b"2"

    @case(
        "H17",
        "times of a copy's source are conditions",
        clause="Objects",
        needs=(
            condition("copy_source", "if_modified_since"),
            condition("copy_source", "if_unmodified_since"),
        ),
    )
    def test_h17_source_times(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        later = bucket.head("a").modified + timedelta(seconds=1)
        with pytest.raises((PreconditionFailedError, NotModifiedError)):
            bucket.copy("a", "b", source_if_modified_since=later)
        with pytest.raises(PreconditionFailedError):
            bucket.copy("a", "b", source_if_unmodified_since=OLD)
        assert not bucket.exists("b")
        bucket.copy("a", "b", source_if_modified_since=OLD)
        bucket.copy("a", "c", source_if_unmodified_since=later)
        assert read(bucket, "b") == read(bucket, "c") == b"1"

    @case("H18", "a move leaves the object under its new key alone", clause="Objects")
    def test_h18_move(self, bucket: Bucket, make_bucket: Callable[[], Bucket]) -> None:
        other = make_bucket()
        put_full(bucket, "a")
        before = attributes_of(bucket, "a")
        assert bucket.move("a", "b/c").key == "b/c"
        assert keys_of(bucket.list()) == ["b/c"]
        assert read(bucket, "b/c") == b"some,thing\n"
        assert attributes_of(bucket, "b/c") == before
        bucket.move("b/c", "d", target=other)
        assert keys_of(bucket.list()) == []
        assert read(other, "d") == b"some,thing\n"
        assert attributes_of(other, "d") == before

    @case("H19", "a move replaces its target", clause="Objects")
    def test_h19_move_overwrites(self, bucket: Bucket) -> None:
        bucket.put("a", b"new")
        put_full(bucket, "b")
        bucket.move("a", "b")
        assert keys_of(bucket.list()) == ["b"]
        assert read(bucket, "b") == b"new"
        assert attributes_of(bucket, "b").metadata == {}

    @case("H20", "a move onto itself changes nothing", clause="Objects")
    def test_h20_move_onto_itself(self, bucket: Bucket) -> None:
        put_full(bucket, "a")
        before = attributes_of(bucket, "a")
        result = bucket.move("a", "a")
        assert result.size == 11
        assert read(bucket, "a") == b"some,thing\n"
        assert attributes_of(bucket, "a") == before

    @case("H21", "a move of a missing object changes nothing", clause="Objects")
    def test_h21_move_missing(self, bucket: Bucket) -> None:
        bucket.put("b", b"kept")
        with pytest.raises(ObjectNotFoundError):
            bucket.move("a", "b")
        with pytest.raises(ObjectNotFoundError):
            bucket.move("a", "a")
        assert read(bucket, "b") == b"kept"

    @case(
        "H22",
        "a move with if_absent never replaces an object, and keeps its source then",
        clause="Objects",
        needs=condition("copy", "if_absent"),
    )
    def test_h22_move_if_absent(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        bucket.put("b", b"2")
        with pytest.raises(PreconditionFailedError):
            bucket.move("a", "b", if_absent=True)
        assert (read(bucket, "a"), read(bucket, "b")) == (b"1", b"2")
        bucket.move("a", "c", if_absent=True)
        assert keys_of(bucket.list()) == ["b", "c"]

    @case(
        "H23",
        "update_metadata changes what is given and keeps the rest",
        clause="Objects",
        needs=(UPDATE_METADATA, CONTENT_HEADERS),
    )
    def test_h23_update_metadata(self, bucket: Bucket) -> None:
        put_full(bucket, "a")
        before = attributes_of(bucket, "a")
        bucket.update_metadata("a", content_type="text/plain")
        after = attributes_of(bucket, "a")
        assert after.content_type == "text/plain"
        assert (after.metadata, after.cache_control) == (before.metadata, before.cache_control)
        bucket.update_metadata("a", metadata={"Fresh": "1"}, cache_control=None)
        after = attributes_of(bucket, "a")
        assert after.metadata == {"fresh": "1"}, "metadata is replaced as a whole"
        assert after.cache_control is None
        assert after.content_type == "text/plain"
        assert read(bucket, "a") == b"some,thing\n"

    @case("H24", "update_metadata keeps tags", clause="Objects", needs=(UPDATE_METADATA, TAGS))
    def test_h24_update_keeps_tags(self, bucket: Bucket) -> None:
        bucket.put("a", b"1", tags={"team": "fruit"})
        bucket.update_metadata("a", metadata={"k": "v"})
        assert bucket.get_tags("a") == {"team": "fruit"}

    @case(
        "H25",
        "update_metadata of a missing object, or with bad metadata, changes nothing",
        clause="Objects",
        needs=UPDATE_METADATA,
    )
    def test_h25_update_refused(self, bucket: Bucket) -> None:
        with pytest.raises(ObjectNotFoundError):
            bucket.update_metadata("missing", content_type="text/plain")
        assert keys_of(bucket.list()) == []
        bucket.put("a", b"1", metadata={"k": "v"})
        for metadata in ({"bad key": "v"}, {"k": "v" * 2048}):
            with pytest.raises(InvalidMetadataError):
                bucket.update_metadata("a", metadata=metadata)
        assert bucket.head("a").metadata == {"k": "v"}

    @case(
        "H26",
        "update_metadata with if_match changes just the expected object",
        clause="Objects",
        needs=UPDATE_IF_MATCH,
    )
    def test_h26_update_if_match(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"1").etag
        bucket.put("a", b"2")
        with pytest.raises(PreconditionFailedError):
            bucket.update_metadata("a", metadata={"k": "v"}, if_match=old)
        assert bucket.head("a").metadata == {}
        bucket.update_metadata("a", metadata={"k": "v"}, if_match=bucket.head("a").etag)
        assert bucket.head("a").metadata == {"k": "v"}
