"""Category N: versions of objects and delete markers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, read
from storage_conformance.needs import DELETE_MARKERS, MULTIPART, VERSIONS, condition
from storage_core import (
    Bucket,
    BucketNotEmptyError,
    InvalidRequestError,
    ObjectNotFoundError,
    PreconditionFailedError,
    Storage,
    VersionNotFoundError,
    VersionSummary,
)
from storage_core.model import Capabilities


def versions_of(bucket: Bucket, key: str) -> list[VersionSummary]:
    """Versions and markers of one key, newest first."""
    return [item for item in bucket.list_versions(key) if item.key == key]


class Versions(Suite):
    """Cases N01 to N29."""

    @case(
        "N01",
        "every write makes a version of its own, told by put and head",
        clause="Objects",
        needs=VERSIONS,
    )
    def test_n01_put(self, bucket: Bucket) -> None:
        made = []
        for body in (b"1", b"2", b"2"):
            result = bucket.put("a", body)
            assert result.version
            assert bucket.head("a").version == result.version
            made.append(result.version)
        assert len(set(made)) == 3
        assert read(bucket, "a") == b"2"

    @case(
        "N02", "a version keeps its bytes, headers and metadata", clause="Objects", needs=VERSIONS
    )
    def test_n02_old_version(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"old", content_type="text/plain", metadata={"k": "old"})
        new = bucket.put("a", b"newer", content_type="text/csv", metadata={"k": "new"})
        assert old.version is not None
        assert read(bucket, "a", version=old.version) == b"old"
        info = bucket.head("a", version=old.version)
        assert (info.version, info.etag, info.size) == (old.version, old.etag, 3)
        assert (info.content_type, info.metadata) == ("text/plain", {"k": "old"})
        assert bucket.head("a").version == new.version
        with bucket.get("a", version=old.version, range=(1, 2)) as reader:
            assert reader.read() == b"l"
            assert reader.info.version == old.version

    @case(
        "N03",
        "versions are listed newest first, the current one marked",
        clause="Listing",
        needs=VERSIONS,
    )
    def test_n03_listed(self, bucket: Bucket) -> None:
        made = [bucket.put("a", b"x" * size) for size in (1, 2, 3)]
        found = versions_of(bucket, "a")
        assert [item.version for item in found] == [item.version for item in reversed(made)]
        assert [item.is_latest for item in found] == [True, False, False]
        assert [item.size for item in found] == [3, 2, 1]
        assert not any(item.is_delete_marker for item in found)

    @case("N04", "a delete leaves all versions", clause="Objects", needs=VERSIONS)
    def test_n04_delete(self, bucket: Bucket) -> None:
        old = [bucket.put("a", b"%d" % number).version for number in range(2)]
        bucket.delete("a")
        with pytest.raises(ObjectNotFoundError):
            bucket.get("a")
        assert keys_of(bucket.list()) == []
        assert [read(bucket, "a", version=one) for one in old] == [b"0", b"1"]
        found = [item for item in versions_of(bucket, "a") if not item.is_delete_marker]
        assert [(i.version, i.is_latest) for i in found] == [(old[1], False), (old[0], False)]
        bucket.copy("a", "a", version=old[1])
        assert read(bucket, "a") == b"1"

    @case("N21", "a delete leaves a marker", clause="Objects", needs=DELETE_MARKERS)
    def test_n21_marker(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        result = bucket.delete("a")
        assert result.delete_marker
        found = versions_of(bucket, "a")
        assert [(i.is_delete_marker, i.is_latest) for i in found] == [(True, True), (False, False)]
        assert found[0].version == result.version

    @case(
        "N05",
        "deleting a delete marker brings the object back",
        clause="Objects",
        needs=DELETE_MARKERS,
    )
    def test_n05_undelete(self, bucket: Bucket) -> None:
        bucket.put("a", b"1", metadata={"k": "v"})
        marker = bucket.delete("a").version
        bucket.delete("a", version=marker)
        assert read(bucket, "a") == b"1"
        assert bucket.head("a").metadata == {"k": "v"}
        assert keys_of(bucket.list()) == ["a"]

    @case(
        "N06",
        "deleting an old version removes it for good, and no other",
        clause="Objects",
        needs=VERSIONS,
    )
    def test_n06_delete_version(self, bucket: Bucket) -> None:
        made = [bucket.put("a", b"%d" % number).version for number in range(3)]
        result = bucket.delete("a", version=made[1])
        assert (result.version, result.delete_marker) == (made[1], False)
        with pytest.raises(VersionNotFoundError):
            bucket.get("a", version=made[1])
        assert read(bucket, "a") == b"2"
        assert read(bucket, "a", version=made[0]) == b"0"
        assert [item.version for item in versions_of(bucket, "a")] == [made[2], made[0]]

    @case(
        "N07",
        "deleting the current version makes the one before it current",
        clause="Objects",
        needs=DELETE_MARKERS,
    )
    def test_n07_delete_current(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"old")
        new = bucket.put("a", b"new").version
        bucket.delete("a", version=new)
        assert read(bucket, "a") == b"old"
        assert bucket.head("a").etag == old.etag
        assert [item.is_latest for item in versions_of(bucket, "a")] == [True]
        bucket.delete("a", version=old.version)
        assert versions_of(bucket, "a") == []
        assert not bucket.exists("a")

    @case(
        "N08",
        "a version that is not there is VersionNotFoundError; to delete it is fine",
        clause="Objects",
        needs=VERSIONS,
    )
    def test_n08_missing(self, bucket: Bucket) -> None:
        gone = bucket.put("a", b"1").version
        bucket.put("a", b"2")
        bucket.delete("a", version=gone)
        for call in (bucket.get, bucket.head):
            with pytest.raises(VersionNotFoundError):
                call("a", version=gone)
        assert not bucket.exists("a", version=gone)
        assert bucket.delete("a", version=gone).error is None
        assert read(bucket, "a") == b"2"

    @case("N09", "a version of one key is none of another", clause="Objects", needs=VERSIONS)
    def test_n09_other_key(self, bucket: Bucket) -> None:
        version = bucket.put("a", b"1").version
        bucket.put("b", b"2")
        with pytest.raises(VersionNotFoundError):
            bucket.get("b", version=version)
        with pytest.raises(VersionNotFoundError):
            bucket.get("c", version=version)
        bucket.delete("b", version=version)
        assert (read(bucket, "a"), read(bucket, "b")) == (b"1", b"2")

    @case(
        "N10",
        "an identifier that never was a version is refused or unknown",
        clause="Objects",
        needs=VERSIONS,
    )
    def test_n10_made_up(self, bucket: Bucket) -> None:
        real = bucket.put("a", b"1").version
        assert real is not None
        for version in ("x", "0", real + "0", real[:-1], "../a", "a/b", "\0", "é", " " + real):
            with pytest.raises((VersionNotFoundError, InvalidRequestError)):
                bucket.get("a", version=version)

    @case(
        "N11",
        "listings of versions go by key and page without gap or repeat",
        clause="Listing",
        needs=VERSIONS,
    )
    def test_n11_pages(self, bucket: Bucket, capabilities: Capabilities) -> None:
        for key in ("b", "a", "a/b", "a b", "c"):
            for number in range(3):
                bucket.put(key, b"%d" % number)
        bucket.delete("b")
        whole = [(item.key, item.version) for item in bucket.list_versions()]
        assert len(whole) == len(set(whole)) == 15 + capabilities.delete_markers
        keys = [key for key, _ in whole]
        assert keys == sorted(keys, key=str.encode)
        for size in (1, 2, 3, 5, 16, 100):
            paged = [(item.key, item.version) for item in bucket.list_versions(page_size=size)]
            assert paged == whole, f"pages of {size}"
        below = {item.key for item in bucket.list_versions("a")}
        assert below == {"a", "a/b", "a b"}
        assert list(bucket.list_versions("none")) == []

    @case("N12", "list shows each key once, as it is now", clause="Listing", needs=VERSIONS)
    def test_n12_current_only(self, bucket: Bucket) -> None:
        for key in ("a", "b", "c"):
            bucket.put(key, b"1")
            bucket.put(key, b"22")
        bucket.delete("b")
        found = list(bucket.list())
        assert [(item.key, item.size) for item in found if not item.is_prefix] == [
            ("a", 2),
            ("c", 2),
        ]

    @case(
        "N13",
        "an object written after a delete keeps its history",
        clause="Objects",
        needs=VERSIONS,
    )
    def test_n13_written_anew(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"old").version
        bucket.delete("a")
        new = bucket.put("a", b"new").version
        found = [item for item in versions_of(bucket, "a") if not item.is_delete_marker]
        assert [(i.version, i.is_latest) for i in found] == [(new, True), (old, False)]
        assert read(bucket, "a", version=old) == b"old"

    @case(
        "N14",
        "if_absent looks at the current object, not at its history",
        clause="Objects",
        needs=(VERSIONS, condition("put", "if_absent")),
    )
    def test_n14_if_absent(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        with pytest.raises(PreconditionFailedError):
            bucket.put("a", b"2", if_absent=True)
        bucket.delete("a")
        bucket.put("a", b"3", if_absent=True)
        assert read(bucket, "a") == b"3"

    @case(
        "N15",
        "if_match of an old version's etag does not hold",
        clause="Objects",
        needs=(VERSIONS, condition("put", "if_match")),
    )
    def test_n15_if_match(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"1").etag
        new = bucket.put("a", b"2").etag
        with pytest.raises(PreconditionFailedError):
            bucket.put("a", b"3", if_match=old)
        bucket.delete("a")
        with pytest.raises(PreconditionFailedError):
            bucket.put("a", b"3", if_match=new)

    @case(
        "N16",
        "a bucket of nothing but old versions is not empty; force removes them",
        clause="Buckets",
        needs=VERSIONS,
    )
    def test_n16_bucket(self, storage: Storage, make_bucket: Callable[[], Bucket]) -> None:
        bucket = make_bucket()
        bucket.put("a", b"1")
        bucket.delete("a")
        assert keys_of(bucket.list()) == []
        with pytest.raises(BucketNotEmptyError):
            storage.delete_bucket(bucket.name)
        storage.delete_bucket(bucket.name, force=True)
        assert not storage.bucket_exists(bucket.name)

    @case(
        "N17",
        "a completed session makes a version",
        clause="Multipart",
        needs=(VERSIONS, MULTIPART),
    )
    def test_n17_multipart(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"old").version
        upload = bucket.create_upload("a")
        result = upload.complete([upload.put_part(1, b"new")])
        assert result.version not in {None, old}
        assert [i.version for i in versions_of(bucket, "a")] == [result.version, old]
        assert read(bucket, "a", version=old) == b"old"

    @case(
        "N18", "copies and moves make versions of their targets", clause="Objects", needs=VERSIONS
    )
    def test_n18_copy(self, bucket: Bucket) -> None:
        old = bucket.put("b", b"old").version
        bucket.put("a", b"new")
        result = bucket.copy("a", "b")
        assert result.version not in {None, old}
        assert read(bucket, "b", version=old) == b"old"
        bucket.put("c", b"moved")
        bucket.move("c", "b")
        assert read(bucket, "b") == b"moved"
        assert read(bucket, "b", version=result.version) == b"new"
        assert not bucket.exists("c")

    @case(
        "N19",
        "a large version outlives the objects that replaced it",
        clause="Objects",
        needs=VERSIONS,
    )
    def test_n19_large(self, bucket: Bucket) -> None:
        bodies = [bytes([65 + number]) * 400_000 for number in range(3)]
        made = [bucket.put("a", body).version for body in bodies]
        bucket.delete("a")
        for version, body in zip(made, bodies, strict=True):
            assert read(bucket, "a", version=version) == body
        bucket.delete("a", version=made[1])
        assert read(bucket, "a", version=made[0]) == bodies[0]
        assert read(bucket, "a", version=made[2]) == bodies[2]

    @case("N20", "versions of an odd key are its own", clause="Keys", needs=VERSIONS)
    def test_n20_odd_keys(self, bucket: Bucket) -> None:
        keys = ("a", "a/", "a//", "a?versionId=1", "a b", "ä", "a\u0308", "a%20b", "A", "a.")
        made = {}
        for key in keys:
            made[key] = [bucket.put(key, key.encode() + mark).version for mark in (b"1", b"2")]
        for key in keys:
            assert [i.version for i in versions_of(bucket, key)] == made[key][::-1], repr(key)
            assert read(bucket, key, version=made[key][0]) == key.encode() + b"1"
