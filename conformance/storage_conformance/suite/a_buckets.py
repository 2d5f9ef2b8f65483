"""A: the life of a bucket."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, read, together
from storage_conformance.needs import ATOMIC_BUCKET_DELETE, MULTIPART, VERSIONS
from storage_conformance.watch import no_requests
from storage_core import (
    Bucket,
    BucketExistsError,
    BucketNotEmptyError,
    BucketNotFoundError,
    InvalidBucketNameError,
    Storage,
    StorageError,
)
from storage_core.model import Capabilities

MakeBucket = Callable[[], Bucket]
Name = Callable[[], str]


def refused(storage: Storage, names: list[str]) -> None:
    """All of these names are refused, and nothing is sent."""
    for name in names:
        with no_requests(storage), pytest.raises(InvalidBucketNameError):
            storage.create_bucket(name)


class Buckets(Suite):
    """Bucket life."""

    @case("A01", "a created bucket exists and tells its name", clause="Buckets")
    def test_a01_create(self, storage: Storage, bucket_name: Name) -> None:
        name = bucket_name()
        bucket = storage.create_bucket(name)
        assert bucket.name == name
        assert storage.bucket_exists(name)
        assert bucket.info().name == name

    @case("A02", "creating an existing bucket raises BucketExistsError", clause="Buckets")
    def test_a02_create_twice(self, storage: Storage, bucket: Bucket) -> None:
        bucket.put("kept", b"bytes")
        with pytest.raises(BucketExistsError):
            storage.create_bucket(bucket.name)
        assert read(bucket, "kept") == b"bytes"

    @case("A03", "with exist_ok an existing bucket is returned as it is", clause="Buckets")
    def test_a03_exist_ok(self, storage: Storage, bucket: Bucket) -> None:
        bucket.put("kept", b"bytes")
        again = storage.create_bucket(bucket.name, exist_ok=True)
        assert again.name == bucket.name
        assert read(again, "kept") == b"bytes"

    @case("A04", "with exist_ok a missing bucket is created", clause="Buckets")
    def test_a04_exist_ok_creates(self, storage: Storage, bucket_name: Name) -> None:
        bucket = storage.create_bucket(bucket_name(), exist_ok=True)
        bucket.put("key", b"bytes")
        assert read(bucket, "key") == b"bytes"

    @case("A05", "a bucket that was never created does not exist", clause="Buckets")
    def test_a05_missing(self, storage: Storage, bucket_name: Name) -> None:
        assert storage.bucket_exists(bucket_name()) is False

    @case("A06", "an empty bucket can be deleted and is gone", clause="Buckets")
    def test_a06_delete(self, storage: Storage, bucket: Bucket) -> None:
        storage.delete_bucket(bucket.name)
        assert not storage.bucket_exists(bucket.name)
        assert bucket.name not in [info.name for info in storage.list_buckets()]

    @case("A07", "a bucket with objects is not deleted", clause="Buckets")
    def test_a07_delete_full(self, storage: Storage, bucket: Bucket) -> None:
        bucket.put("a/b", b"bytes")
        with pytest.raises(BucketNotEmptyError):
            storage.delete_bucket(bucket.name)
        assert read(bucket, "a/b") == b"bytes"

    @case("A08", "an emptied bucket can be deleted", clause="Buckets")
    def test_a08_delete_emptied(
        self, storage: Storage, bucket: Bucket, capabilities: Capabilities
    ) -> None:
        result = bucket.put("key", b"bytes")
        bucket.delete("key", version=result.version)
        storage.delete_bucket(bucket.name)
        assert not storage.bucket_exists(bucket.name)

    @case("A09", "force empties the bucket first", clause="Buckets")
    def test_a09_force(self, storage: Storage, bucket: Bucket) -> None:
        for number in range(25):
            bucket.put(f"many/{number}", b"bytes")
        storage.delete_bucket(bucket.name, force=True)
        assert not storage.bucket_exists(bucket.name)

    @case("A10", "force aborts open uploads", clause="Buckets", needs=MULTIPART)
    def test_a10_force_uploads(self, storage: Storage, bucket: Bucket) -> None:
        bucket.create_upload("open").put_part(1, b"part")
        storage.delete_bucket(bucket.name, force=True)
        assert not storage.bucket_exists(bucket.name)

    @case("A11", "force deletes versions and delete markers", clause="Buckets", needs=VERSIONS)
    def test_a11_force_versions(self, storage: Storage, bucket: Bucket) -> None:
        bucket.put("key", b"old")
        bucket.put("key", b"new")
        bucket.delete("key")
        storage.delete_bucket(bucket.name, force=True)
        assert not storage.bucket_exists(bucket.name)

    @case("A12", "a bucket with old versions only is not empty", clause="Buckets", needs=VERSIONS)
    def test_a12_versions_count(self, storage: Storage, bucket: Bucket) -> None:
        result = bucket.put("key", b"old")
        bucket.delete("key")
        with pytest.raises(BucketNotEmptyError):
            storage.delete_bucket(bucket.name)
        with bucket.get("key", version=result.version) as reader:
            assert reader.read() == b"old"

    @case("A13", "deleting a missing bucket raises BucketNotFoundError", clause="Buckets")
    def test_a13_delete_missing(self, storage: Storage, bucket_name: Name) -> None:
        name = bucket_name()
        with pytest.raises(BucketNotFoundError):
            storage.delete_bucket(name)
        with pytest.raises(BucketNotFoundError):
            storage.delete_bucket(name, force=True)

    @case("A14", "a bucket created anew is empty", clause="Buckets")
    def test_a14_recreated(self, storage: Storage, bucket: Bucket) -> None:
        bucket.put("old", b"bytes")
        storage.delete_bucket(bucket.name, force=True)
        again = storage.create_bucket(bucket.name)
        assert list(again.list()) == []
        assert not again.exists("old")

    @case("A15", "created buckets are listed", clause="Buckets")
    def test_a15_list(self, storage: Storage, make_bucket: MakeBucket) -> None:
        made = {make_bucket().name for _ in range(3)}
        listed = [info.name for info in storage.list_buckets()]
        assert made <= set(listed)
        assert len(listed) == len(set(listed)), "a bucket is listed twice"

    @case("A16", "buckets are listed in ascending order", clause="Buckets")
    def test_a16_list_order(self, storage: Storage, make_bucket: MakeBucket) -> None:
        made = {make_bucket().name for _ in range(4)}
        listed = [info.name for info in storage.list_buckets() if info.name in made]
        assert listed == sorted(made)

    @case("A17", "a listing of buckets can be narrowed by prefix", clause="Buckets")
    def test_a17_list_prefix(self, storage: Storage, make_bucket: MakeBucket) -> None:
        one, other = make_bucket().name, make_bucket().name
        assert [info.name for info in storage.list_buckets(prefix=one)] == [one]
        assert one not in [info.name for info in storage.list_buckets(prefix=other)]

    @case("A18", "what is listed of a bucket is what info tells", clause="Buckets")
    def test_a18_info(self, storage: Storage, bucket: Bucket) -> None:
        (listed,) = storage.list_buckets(prefix=bucket.name)
        info = bucket.info()
        assert listed.name == info.name == bucket.name
        for created in (listed.created, info.created):
            if created is not None:
                assert created.utcoffset() == timedelta(0), "the time is not aware UTC"

    @case("A19", "naming a bucket sends nothing and creates nothing", clause="Buckets")
    def test_a19_no_io(self, storage: Storage, bucket_name: Name) -> None:
        name = bucket_name()
        with no_requests(storage):
            assert storage.bucket(name).name == name
        assert not storage.bucket_exists(name)

    @case("A20", "a put never creates its bucket", clause="Buckets")
    def test_a20_put_missing(self, storage: Storage, bucket_name: Name) -> None:
        name = bucket_name()
        with pytest.raises(BucketNotFoundError):
            storage.bucket(name).put("key", b"bytes")
        assert not storage.bucket_exists(name)

    @case("A21", "a body of unknown length never creates its bucket", clause="Buckets")
    def test_a21_stream_missing(self, storage: Storage, bucket_name: Name) -> None:
        name = bucket_name()
        with pytest.raises(BucketNotFoundError):
            storage.bucket(name).put("key", (piece for piece in [b"by", b"tes"]))
        assert not storage.bucket_exists(name)

    @case("A22", "get, head and exists tell a missing bucket", clause="Buckets")
    def test_a22_read_missing(self, storage: Storage, bucket_name: Name) -> None:
        bucket = storage.bucket(bucket_name())
        with pytest.raises(BucketNotFoundError):
            bucket.get("key").close()
        with pytest.raises(BucketNotFoundError):
            bucket.head("key")
        with pytest.raises(BucketNotFoundError):
            bucket.exists("key")

    @case("A23", "delete and delete_many tell a missing bucket", clause="Buckets")
    def test_a23_delete_in_missing(self, storage: Storage, bucket_name: Name) -> None:
        bucket = storage.bucket(bucket_name())
        with pytest.raises(BucketNotFoundError):
            bucket.delete("key")
        try:
            results = bucket.delete_many(["key", "other"])
        except BucketNotFoundError:
            return
        assert [type(result.error) for result in results] == [BucketNotFoundError] * 2

    @case("A24", "a listing tells a missing bucket", clause="Buckets")
    def test_a24_list_missing(self, storage: Storage, bucket_name: Name) -> None:
        with pytest.raises(BucketNotFoundError):
            list(storage.bucket(bucket_name()).list())

    @case("A25", "copies tell which bucket is missing", clause="Buckets")
    def test_a25_copy_missing(self, storage: Storage, bucket: Bucket, bucket_name: Name) -> None:
        bucket.put("key", b"bytes")
        missing = storage.bucket(bucket_name())
        with pytest.raises(BucketNotFoundError):
            missing.copy("key", "copy", target=bucket)
        with pytest.raises(BucketNotFoundError):
            bucket.copy("key", "copy", target=missing)
        assert keys_of(bucket.list()) == ["key"]

    @case("A26", "sessions tell a missing bucket", clause="Buckets", needs=MULTIPART)
    def test_a26_upload_missing(self, storage: Storage, bucket_name: Name) -> None:
        bucket = storage.bucket(bucket_name())
        with pytest.raises(BucketNotFoundError):
            bucket.create_upload("key")
        with pytest.raises(BucketNotFoundError):
            list(bucket.list_uploads())

    @case("A27", "info of a missing bucket raises BucketNotFoundError", clause="Buckets")
    def test_a27_info_missing(self, storage: Storage, bucket_name: Name) -> None:
        with pytest.raises(BucketNotFoundError):
            storage.bucket(bucket_name()).info()

    @case("A28", "names that are too short or too long are refused before I/O", clause="Buckets")
    def test_a28_name_length(self, storage: Storage, capabilities: Capabilities) -> None:
        most = capabilities.max_bucket_name
        assert 3 <= most <= 63
        refused(storage, ["", "a" * (most + 1), "a" * 64, "a" * 255])
        if most == 63:  # a bucket_prefix lends a short name its length
            refused(storage, ["a", "ab"])

    @case("A29", "names of other characters are refused before I/O", clause="Buckets")
    def test_a29_name_characters(self, storage: Storage) -> None:
        refused(
            storage,
            ["Upper-case", "under_score", "with.dot", "with space", "sla/sh", "tilde~x", "ümlaut",
             "new\nline", "nul\0name", "..", "plus+plus", "per%20cent", "\uff11\uff12\uff13"],
        )  # fmt: skip

    @case("A30", "names with hyphens out of place are refused before I/O", clause="Buckets")
    def test_a30_name_hyphens(self, storage: Storage) -> None:
        refused(storage, ["ends-", "two--hyphens", "---"])

    @case("A31", "a name of the greatest length works", clause="Buckets")
    def test_a31_longest_name(
        self, storage: Storage, bucket_name: Name, capabilities: Capabilities
    ) -> None:
        short = bucket_name()
        name = short + "x" * (capabilities.max_bucket_name - len(short))
        bucket = storage.create_bucket(name)
        try:
            bucket.put("key", b"bytes")
            assert read(bucket, "key") == b"bytes"
        finally:
            storage.delete_bucket(name, force=True)
        assert not storage.bucket_exists(name)

    @case("A32", "existing buckets of other names can be addressed", clause="Buckets")
    def test_a32_foreign_names(self, storage: Storage, bucket_name: Name) -> None:
        for name in (f"{bucket_name()}.company.data", f"${bucket_name()}"):
            assert not storage.bucket_exists(name)
            with pytest.raises(BucketNotFoundError):
                storage.bucket(name).head("key")
            with pytest.raises(InvalidBucketNameError):
                storage.create_bucket(name)

    @case("A33", "objects of the same key in two buckets are two objects", clause="Buckets")
    def test_a33_apart(self, make_bucket: MakeBucket) -> None:
        one, other = make_bucket(), make_bucket()
        one.put("key", b"one")
        assert not other.exists("key")
        other.put("key", b"other")
        assert (read(one, "key"), read(other, "key")) == (b"one", b"other")
        one.delete("key")
        assert read(other, "key") == b"other"

    @case("A34", "of several that create one bucket exactly one succeeds", clause="Buckets")
    def test_a34_race(self, storage: Storage, bucket_name: Name) -> None:
        name = bucket_name()
        outcomes = together(*[lambda: storage.create_bucket(name)] * 8)
        failures = [found for found in outcomes if isinstance(found, StorageError)]
        assert all(isinstance(failure, BucketExistsError) for failure in failures), failures
        assert len(failures) == 7, f"{8 - len(failures)} creators believe the bucket is theirs"

    @case("A35", "an error of a bucket names the operation and the bucket", clause="Errors")
    def test_a35_error_context(self, storage: Storage, bucket: Bucket, bucket_name: Name) -> None:
        missing = bucket_name()
        with pytest.raises(BucketNotFoundError) as found:
            storage.delete_bucket(missing)
        assert found.value.bucket == missing
        assert found.value.operation == "delete_bucket"
        assert missing in str(found.value)
        with pytest.raises(BucketExistsError) as exists:
            storage.create_bucket(bucket.name)
        assert (exists.value.operation, exists.value.bucket) == ("create_bucket", bucket.name)

    @case(
        "A36",
        "a bucket is never deleted under an object being written",
        clause="Buckets",
        needs=ATOMIC_BUCKET_DELETE,
    )
    def test_a36_delete_race(self, storage: Storage, bucket: Bucket) -> None:
        stop = threading.Event()

        def write() -> int:
            written = 0
            while not stop.is_set() and written < 200:
                try:
                    bucket.put(f"key-{written}", b"bytes")
                except BucketNotFoundError:
                    break
                written += 1
            return written

        def delete() -> int:
            try:
                for _ in range(20):
                    try:
                        storage.delete_bucket(bucket.name)
                    except BucketNotEmptyError:
                        continue
                    return 1
                return 0
            finally:
                stop.set()

        written, deleted = together(write, delete)
        assert isinstance(written, int), written
        assert isinstance(deleted, int), deleted
        if deleted:
            assert written == 0, f"{written} acknowledged objects went with the bucket"
        else:
            assert len(list(bucket.list())) == written
