"""Category I: delete, one by one and many at once."""

from __future__ import annotations

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, read, together
from storage_conformance.needs import VERSIONS, condition
from storage_core import (
    Bucket,
    BucketNotFoundError,
    IntegrityError,
    InvalidKeyError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    Storage,
)


def put_many(bucket: Bucket, count: int, prefix: str = "k") -> list[str]:
    """Small objects, their keys in order."""
    keys = [f"{prefix}{number:05}" for number in range(count)]
    for start in range(0, count, 8):
        batch = keys[start : start + 8]
        together(*(lambda key=key: bucket.put(key, b"") for key in batch))
    return keys


class Delete(Suite):
    """Cases I."""

    @case("I01", "a deleted object is gone from get, head, exists and list", clause="Objects")
    def test_i01_present(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        bucket.put("b", b"2")
        result = bucket.delete("a")
        assert (result.key, result.error) == ("a", None)
        for call in (bucket.get, bucket.head):
            with pytest.raises(ObjectNotFoundError):
                call("a")
        assert not bucket.exists("a")
        assert keys_of(bucket.list()) == ["b"]
        assert read(bucket, "b") == b"2"

    @case("I02", "deleting what is not there succeeds", clause="Objects")
    def test_i02_missing(self, bucket: Bucket) -> None:
        for _ in range(2):
            assert bucket.delete("never").error is None
        bucket.put("a", b"1")
        for _ in range(2):
            assert bucket.delete("a").error is None

    @case(
        "I03", "deleting in a missing bucket is BucketNotFoundError, many as well", clause="Buckets"
    )
    def test_i03_missing_bucket(self, storage: Storage, bucket: Bucket) -> None:
        missing = storage.bucket(f"{bucket.name[:50]}-none")
        with pytest.raises(BucketNotFoundError):
            missing.delete("a")
        with pytest.raises(BucketNotFoundError):
            missing.delete_many(["a", "b"])

    @case("I04", "a deleted key can be written anew, with nothing of the old", clause="Objects")
    def test_i04_again(self, bucket: Bucket) -> None:
        bucket.put("a", b"old and longer", content_type="text/plain", metadata={"k": "v"})
        bucket.delete("a")
        bucket.put("a", b"new")
        info = bucket.head("a")
        assert read(bucket, "a") == b"new"
        assert (info.size, info.metadata) == (3, {})

    @case("I05", "delete_many takes none and one", clause="Objects")
    def test_i05_none_and_one(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        assert list(bucket.delete_many([])) == []
        (result,) = bucket.delete_many(["a"])
        assert (result.key, result.error) == ("a", None)
        assert keys_of(bucket.list()) == []

    @case("I06", "delete_many takes 1000, a whole request on most services", clause="Objects")
    def test_i06_thousand(self, bucket: Bucket) -> None:
        keys = put_many(bucket, 1000)
        bucket.put("kept", b"")
        results = bucket.delete_many(keys)
        assert [result.key for result in results] == keys
        assert all(result.error is None for result in results)
        assert keys_of(bucket.list()) == ["kept"]

    @case("I07", "delete_many takes 1001, one more than most services do", clause="Objects")
    def test_i07_thousand_and_one(self, bucket: Bucket) -> None:
        present = put_many(bucket, 40)
        keys = [f"absent{number:05}" for number in range(961)] + present
        results = bucket.delete_many(iter(keys))
        assert [result.key for result in results] == keys
        assert all(result.error is None for result in results)
        assert keys_of(bucket.list()) == []

    @case(
        "I08",
        "delete_many answers for present, missing and repeated keys in their order",
        clause="Objects",
    )
    def test_i08_mixed(self, bucket: Bucket) -> None:
        for key in ("a", "b", "c", "d/e"):
            bucket.put(key, b"")
        keys = ["c", "missing", "a", "c", "d/e", "d", "d/"]
        results = bucket.delete_many(keys)
        assert [result.key for result in results] == keys
        assert all(result.error is None for result in results)
        assert keys_of(bucket.list()) == ["b"]

    @case("I09", "delete_many refuses a bad key before anything is deleted", clause="Keys")
    def test_i09_bad_key(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        for bad in ("", "\ud800"):
            with pytest.raises(InvalidKeyError):
                bucket.delete_many(["a", bad])
        assert read(bucket, "a") == b"1"

    @case(
        "I10",
        "delete with if_match deletes just the expected object",
        clause="Objects",
        needs=condition("delete", "if_match"),
    )
    def test_i10_if_match(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"1").etag
        new = bucket.put("a", b"2").etag
        with pytest.raises(PreconditionFailedError):
            bucket.delete("a", if_match=old)
        assert read(bucket, "a") == b"2"
        bucket.delete("a", if_match=new)
        assert not bucket.exists("a")

    @case(
        "I11",
        "delete with if_match of a missing object is a failed precondition",
        clause="Objects",
        needs=condition("delete", "if_match"),
    )
    def test_i11_if_match_missing(self, bucket: Bucket) -> None:
        etag = bucket.put("a", b"1").etag
        bucket.delete("a")
        for key in ("a", "never"):
            with pytest.raises(PreconditionFailedError):
                bucket.delete(key, if_match=etag)

    @case("I12", "delete_many takes versions beside plain keys", clause="Objects", needs=VERSIONS)
    def test_i12_versions(self, bucket: Bucket) -> None:
        first = bucket.put("a", b"1").version
        second = bucket.put("a", b"2").version
        bucket.put("b", b"3")
        results = bucket.delete_many([("a", first), "b"])
        assert [(result.key, result.error) for result in results] == [("a", None), ("b", None)]
        assert [item.version for item in bucket.list_versions("a")] == [second]
        assert read(bucket, "a") == b"2"
        assert not bucket.exists("b")

    @case("I13", "concurrent deletes of one key all succeed", clause="Objects")
    def test_i13_concurrent(self, bucket: Bucket) -> None:
        bucket.put("a", b"1")
        results = together(*([lambda: bucket.delete("a").error] * 8))
        assert results == [None] * 8
        assert not bucket.exists("a")

    @case("I14", "a reader opened before the delete ends whole or says so", clause="Objects")
    def test_i14_under_a_reader(self, bucket: Bucket) -> None:
        body = bytes(range(256)) * 4096 * 3
        bucket.put("a", body)
        with bucket.get("a") as reader:
            start = reader.read(1000)
            bucket.delete("a")
            try:
                rest = reader.read()
            except (ObjectNotFoundError, ObjectChangedError, IntegrityError):
                return  # an honest end: the bytes are gone
        assert start + rest == body, "the reader ended well, with other bytes"
