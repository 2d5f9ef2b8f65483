"""C: reading an object."""

from __future__ import annotations

import gzip
import threading

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import read, together
from storage_conformance.suite.b_write import MIB, pattern
from storage_conformance.watch import no_requests
from storage_core import (
    Bucket,
    ClosedError,
    InvalidRangeError,
    ObjectChangedError,
    ObjectNotFoundError,
    Storage,
    StorageError,
)
from storage_core.model import Capabilities

DATA = bytes(range(256)) * 8
SIZE = len(DATA)


def ranged(bucket: Bucket, key: str, start: int, stop: int | None = None) -> bytes:
    """Bytes of a range of an object."""
    with bucket.get(key, range=(start, stop)) as reader:
        return reader.read()


def drained(reader: object, size: int) -> bytes:
    """All bytes of a reader or file, asked for in pieces of ``size``."""
    pieces = []
    while piece := reader.read(size):  # type: ignore[attr-defined]
        assert len(piece) <= size, f"read({size}) gave {len(piece)} bytes"
        pieces.append(piece)
    return b"".join(pieces)


class Read(Suite):
    """Read."""

    @case("C01", "a get gives the whole object", clause="Objects")
    def test_c01_whole(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        with bucket.get("key") as reader:
            assert reader.read() == DATA

    @case("C02", "info is there before the first byte and equals head", clause="Objects")
    def test_c02_info(self, bucket: Bucket) -> None:
        bucket.put("key", DATA, content_type="text/plain", metadata={"a": "1"})
        with bucket.get("key") as reader:
            info = reader.info
            assert reader.position == 0
        head = bucket.head("key")
        for name in ("key", "size", "etag", "content_type", "metadata", "version", "modified"):
            assert getattr(info, name) == getattr(head, name), name

    @case("C03", "start, length and position tell where a reader is", clause="Objects")
    def test_c03_position(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        with bucket.get("key", range=(100, 200)) as reader:
            assert (reader.start, reader.length, reader.position) == (100, 100, 0)
            taken = len(reader.read(30))
            assert reader.position == taken
            reader.read()
            assert reader.position == 100
            assert reader.info.size == SIZE

    @case("C04", "a missing object raises ObjectNotFoundError", clause="Objects")
    def test_c04_missing(self, bucket: Bucket) -> None:
        bucket.put("a/b", b"bytes")
        for key in ("missing", "a", "a/", "a/b/", "a/b/c"):
            with pytest.raises(ObjectNotFoundError) as found:
                bucket.get(key).close()
            assert (found.value.bucket, found.value.key) == (bucket.name, key)

    @case("C05", "a range gives its bytes and no others", clause="Objects")
    def test_c05_range(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        for start, stop in ((0, 1), (0, SIZE), (1, 2), (17, 1003), (SIZE - 1, SIZE), (255, 257)):
            assert ranged(bucket, "key", start, stop) == DATA[start:stop], (start, stop)

    @case("C06", "a range without a stop goes to the end", clause="Objects")
    def test_c06_open_range(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        for start in (0, 1, 1000, SIZE - 1):
            assert ranged(bucket, "key", start) == DATA[start:]

    @case("C07", "a suffix gives the last bytes", clause="Objects")
    def test_c07_suffix(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        for size in (1, 2, 1000, SIZE):
            with bucket.get("key", range=(-size, None)) as reader:
                assert reader.read() == DATA[-size:]
                assert reader.start == SIZE - size

    @case("C08", "a suffix longer than the object is the whole object", clause="Objects")
    def test_c08_long_suffix(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        assert ranged(bucket, "key", -SIZE - 1000) == DATA

    @case("C09", "a stop past the end is cut", clause="Objects")
    def test_c09_cut(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        with bucket.get("key", range=(SIZE - 10, SIZE + 1000)) as reader:
            assert reader.length == 10
            assert reader.read() == DATA[-10:]
        assert ranged(bucket, "key", 0, 10**12) == DATA

    @case("C10", "a range that starts at the end raises InvalidRangeError", clause="Objects")
    def test_c10_at_end(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        for stop in (None, SIZE + 1, SIZE + 1000):
            with pytest.raises(InvalidRangeError):
                bucket.get("key", range=(SIZE, stop)).close()

    @case("C11", "a range that starts past the end raises InvalidRangeError", clause="Objects")
    def test_c11_past_end(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        for start in (SIZE + 1, SIZE * 1000, 2**40):
            with pytest.raises(InvalidRangeError):
                bucket.get("key", range=(start, None)).close()

    @case("C12", "an inverted or empty range is refused before I/O", clause="Objects")
    def test_c12_inverted(self, storage: Storage, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        for wanted in ((5, 4), (5, 5), (0, 0), (10, 0)):
            with no_requests(storage), pytest.raises(InvalidRangeError):
                bucket.get("key", range=wanted).close()

    @case("C13", "a malformed range is refused before I/O", clause="Objects")
    def test_c13_malformed(self, storage: Storage, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        for wanted in ((-5, -1), (-5, 3), (0, -1), (0.5, 2), ("0", "1"), (None, 5), (1,), 7):
            with no_requests(storage), pytest.raises(InvalidRangeError):
                bucket.get("key", range=wanted).close()  # type: ignore[arg-type]

    @case("C14", "no byte range fits an empty object", clause="Objects")
    def test_c14_empty_object(self, bucket: Bucket) -> None:
        bucket.put("key", b"")
        for stop in (None, 1):
            with pytest.raises(InvalidRangeError):
                bucket.get("key", range=(0, stop)).close()
        assert read(bucket, "key") == b""

    @case("C15", "a suffix of an empty object is empty", clause="Objects")
    def test_c15_empty_suffix(self, bucket: Bucket) -> None:
        bucket.put("key", b"")
        with bucket.get("key", range=(-5, None)) as reader:
            assert (reader.length, reader.read()) == (0, b"")

    @case("C16", "many ranges put together are the object", clause="Objects")
    def test_c16_many_ranges(self, bucket: Bucket) -> None:
        data = pattern(300_007)
        bucket.put("key", data)
        for step in (300_007, 65_536, 37_501):
            pieces = [
                ranged(bucket, "key", start, start + step) for start in range(0, len(data), step)
            ]
            assert b"".join(pieces) == data, step

    @case("C17", "ranges of a large object are exact", clause="Objects")
    def test_c17_large_ranges(self, bucket: Bucket) -> None:
        data = pattern(10 * MIB + 3)
        bucket.put("key", data)
        for start, stop in ((0, 10), (MIB - 1, MIB + 1), (5 * MIB, 9 * MIB), (10 * MIB, None)):
            assert ranged(bucket, "key", start, stop) == data[start:stop]

    @case("C18", "reads of odd sizes put together are the object", clause="Objects")
    def test_c18_odd_sizes(self, bucket: Bucket) -> None:
        data = pattern(100_003)
        bucket.put("key", data)
        for size in (1013, 65_536, 100_002, 100_003, 100_004, 10**9):
            with bucket.get("key") as reader:
                assert drained(reader, size) == data, size

    @case("C19", "reads of odd sizes work on large objects", clause="Objects")
    def test_c19_large_odd_sizes(self, bucket: Bucket) -> None:
        data = pattern(3 * MIB + 7)
        bucket.put("key", data)
        for size in (262_143, MIB, 4 * MIB):
            with bucket.get("key") as reader:
                assert drained(reader, size) == data, size

    @case("C20", "a reader gives chunks when iterated", clause="Objects")
    def test_c20_iterate(self, bucket: Bucket) -> None:
        data = pattern(2 * MIB + 1)
        bucket.put("key", data)
        with bucket.get("key") as reader:
            chunks = list(reader)
        assert b"".join(chunks) == data
        assert all(chunks), "a chunk is empty"
        assert len(chunks) > 1, "2 MiB came in one chunk"

    @case("C21", "readinto fills a buffer", clause="Objects")
    def test_c21_readinto(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        buffer, found = bytearray(300), bytearray()
        with bucket.get("key") as reader:
            while count := reader.readinto(buffer):
                found += buffer[:count]
        assert bytes(found) == DATA

    @case("C22", "at the end a read is empty, again and again", clause="Objects")
    def test_c22_end(self, bucket: Bucket) -> None:
        for key, data in (("full", DATA), ("empty", b"")):
            bucket.put(key, data)
            with bucket.get(key) as reader:
                assert reader.read() == data
                assert (reader.read(), reader.read(10), reader.read()) == (b"", b"", b"")

    @case("C23", "a read of nothing takes nothing", clause="Objects")
    def test_c23_read_zero(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        with bucket.get("key") as reader:
            assert reader.read(0) == b""
            assert reader.position == 0
            assert reader.read() == DATA

    @case("C24", "a closed reader reads nothing, and closes twice", clause="Objects")
    def test_c24_closed(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        reader = bucket.get("key")
        reader.read(10)
        reader.close()
        reader.close()
        with pytest.raises(ClosedError):
            reader.read(1)

    @case("C25", "readers left unread do no harm", clause="Objects")
    def test_c25_unread(self, bucket: Bucket) -> None:
        bucket.put("key", pattern(MIB))
        for taken in range(20):
            with bucket.get("key") as reader:
                reader.read(taken)
        assert read(bucket, "key") == pattern(MIB)

    @case("C26", "readers of one object do not disturb each other", clause="Objects")
    def test_c26_interleaved(self, bucket: Bucket) -> None:
        data = pattern(400_000)
        bucket.put("key", data)
        with bucket.get("key") as one, bucket.get("key", range=(1000, None)) as other:
            first = one.read(500)
            assert drained(other, 70_000) == data[1000:]
            assert first + drained(one, 90_000) == data

    @case("C27", "several threads read at the same time", clause="Objects")
    def test_c27_threads(self, bucket: Bucket) -> None:
        bodies = {f"key-{mark}": pattern(200_000, mark) for mark in range(4)}
        for key, data in bodies.items():
            bucket.put(key, data)

        def check(key: str) -> bool:
            return all(read(bucket, key) == bodies[key] for _ in range(5))

        assert together(*[lambda key=key: check(key) for key in bodies] * 2) == [True] * 8

    @case("C28", "a reader never mixes the bytes of two objects", clause="Objects")
    def test_c28_replaced(self, bucket: Bucket) -> None:
        old, new = pattern(4 * MIB, 1), pattern(4 * MIB, 2)
        bucket.put("key", old)
        with bucket.get("key") as reader:
            found = reader.read(1000)
            bucket.put("key", new)
            try:
                found += drained(reader, MIB)
            except ObjectChangedError:
                found = b""
        assert found in {b"", old}, "bytes of two objects in one read"
        assert read(bucket, "key") == new

    @case("C29", "a reader of a deleted object gives it whole or fails", clause="Objects")
    def test_c29_deleted(self, bucket: Bucket) -> None:
        old = pattern(4 * MIB, 1)
        bucket.put("key", old)
        with bucket.get("key") as reader:
            found = reader.read(1000)
            bucket.delete("key")
            try:
                found += drained(reader, MIB)
            except (ObjectChangedError, ObjectNotFoundError):
                found = b""
        assert found in {b"", old}

    @case("C30", "bytes are given as stored, whatever their encoding says", clause="Objects")
    def test_c30_encoded(self, bucket: Bucket, capabilities: Capabilities) -> None:
        data = gzip.compress(b"text " * 1000)
        encoding = "gzip" if capabilities.content_headers else None
        bucket.put("key", data, content_encoding=encoding, content_type="text/plain")
        assert bucket.head("key").size == len(data)
        assert read(bucket, "key") == data
        assert ranged(bucket, "key", 3, 20) == data[3:20]

    @case("C31", "an unverified get gives the same bytes", clause="Objects")
    def test_c31_unverified(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        with bucket.get("key", verify=False) as reader:
            assert reader.read() == DATA

    @case("C32", "reading goes on while others write and delete elsewhere", clause="Objects")
    def test_c32_busy(self, bucket: Bucket) -> None:
        data = pattern(500_000)
        bucket.put("key", data)
        done = threading.Event()

        def churn() -> int:
            try:
                for number in range(40):
                    bucket.put(f"other-{number % 4}", b"bytes")
                    bucket.delete(f"other-{(number + 2) % 4}")
            finally:
                done.set()
            return 0

        def check() -> int:
            count = 0
            while not done.is_set() or not count:
                assert read(bucket, "key") == data
                count += 1
            return count

        churned, checked = together(churn, check)
        assert not isinstance(churned, StorageError), churned
        assert isinstance(checked, int), checked
