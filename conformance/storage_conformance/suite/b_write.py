"""B: writing an object."""

from __future__ import annotations

import array
import io
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from storage_conformance.cases import case
from storage_conformance.faces import interrupted_put
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, read, together
from storage_conformance.watch import no_requests
from storage_core import (
    Bucket,
    IntegrityError,
    InvalidRequestError,
    ObjectNotFoundError,
    PutResult,
    Storage,
)

MIB = 1024**2


class BrokenError(Exception):
    """What a caller's own body raises."""


def breaking(*pieces: bytes) -> Iterator[bytes]:
    """A body that fails after these pieces."""
    yield from pieces
    raise BrokenError


def pattern(size: int, mark: int = 0) -> bytes:
    """Bytes of which each 4 KiB differ, and that differ by ``mark``."""
    block = b"".join(
        (mark << 32 | number).to_bytes(8, "big") * 512 for number in range(size // 4096 + 1)
    )
    return block[:size]


def nothing_left(bucket: Bucket, key: str) -> None:
    """There is no such object, not even in part."""
    assert not bucket.exists(key)
    with pytest.raises(ObjectNotFoundError):
        bucket.get(key).close()
    assert list(bucket.list()) == []


class Write(Suite):
    """Write."""

    @case("B01", "an empty body makes an empty object", clause="Objects")
    def test_b01_empty(self, bucket: Bucket) -> None:
        assert bucket.put("key", b"").size == 0
        assert bucket.head("key").size == 0
        assert read(bucket, "key") == b""
        assert keys_of(bucket.list()) == ["key"]

    @case("B02", "bytes come back as they were put", clause="Objects")
    def test_b02_bytes(self, bucket: Bucket) -> None:
        data = bytes(range(256)) * 3 + b"\r\n\0\n"
        bucket.put("key", data)
        assert read(bucket, "key") == data

    @case("B03", "a bytearray or memoryview is a body", clause="Objects")
    def test_b03_buffers(self, bucket: Bucket) -> None:
        bucket.put("array", bytearray(b"bytes"))
        bucket.put("view", memoryview(b"--bytes--")[2:7])
        bucket.put("strided", memoryview(b"b-y-t-e-s")[::2])
        assert [read(bucket, key) for key in ("array", "view", "strided")] == [b"bytes"] * 3

    @case("B04", "a buffer of other items counts in bytes", clause="Objects")
    def test_b04_wide_buffer(self, bucket: Bucket) -> None:
        numbers = array.array("I", [1, 2, 3])
        result = bucket.put("key", memoryview(numbers))
        assert result.size == len(numbers) * numbers.itemsize
        assert read(bucket, "key") == numbers.tobytes()

    @case("B05", "a body changed after the put does not change the object", clause="Objects")
    def test_b05_no_aliasing(self, bucket: Bucket) -> None:
        data = bytearray(b"before")
        bucket.put("key", data)
        data[:] = b"after!"
        assert read(bucket, "key") == b"before"

    @case("B06", "a file is read from where it stands", clause="Objects")
    def test_b06_file(self, bucket: Bucket) -> None:
        data = pattern(300_000)
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(100_000)
            assert bucket.put("key", file).size == 200_000
        assert read(bucket, "key") == data[100_000:]

    @case("B07", "a file in memory is a body", clause="Objects")
    def test_b07_bytesio(self, bucket: Bucket) -> None:
        file = io.BytesIO(b"--bytes")
        file.seek(2)
        bucket.put("key", file)
        assert read(bucket, "key") == b"bytes"

    @case("B08", "a pipe, which has no length and can not seek, is a body", clause="Objects")
    def test_b08_pipe(self, bucket: Bucket) -> None:
        data = pattern(200_000)
        reading, writing = os.pipe()

        def feed() -> None:
            with suppress(BrokenPipeError), os.fdopen(writing, "wb") as file:
                file.write(data)

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            with os.fdopen(reading, "rb") as file:
                bucket.put("key", file)
        finally:
            feeder.join()
        assert read(bucket, "key") == data

    @case("B09", "an iterator of unknown length is a body", clause="Objects")
    def test_b09_iterator(self, bucket: Bucket) -> None:
        result = bucket.put("key", (piece for piece in [b"one ", b"two ", b"three"]))
        assert result.size == 13
        assert read(bucket, "key") == b"one two three"

    @case("B10", "an iterator of declared length is a body", clause="Objects")
    def test_b10_sized_iterator(self, bucket: Bucket) -> None:
        result = bucket.put("key", (piece for piece in [b"one ", b"two"]), size=7)
        assert result.size == 7
        assert read(bucket, "key") == b"one two"

    @case("B11", "an iterator that yields nothing makes an empty object", clause="Objects")
    def test_b11_no_pieces(self, bucket: Bucket) -> None:
        assert bucket.put("key", iter([])).size == 0
        assert read(bucket, "key") == b""

    @case("B12", "empty pieces do not end a body", clause="Objects")
    def test_b12_empty_pieces(self, bucket: Bucket) -> None:
        pieces = [b"", b"one", b"", b"", b" two", b""]
        bucket.put("key", (piece for piece in pieces))
        assert read(bucket, "key") == b"one two"

    @case("B13", "pieces of one byte are put together", clause="Objects")
    def test_b13_tiny_pieces(self, bucket: Bucket) -> None:
        data = bytes(range(256)) * 4
        bucket.put("key", (data[i : i + 1] for i in range(len(data))))
        assert read(bucket, "key") == data

    @case("B14", "a body of many mebibytes and unknown length arrives whole", clause="Objects")
    def test_b14_large_iterator(self, bucket: Bucket) -> None:
        data = pattern(17 * MIB + 5)
        result = bucket.put("key", (data[i : i + 999_999] for i in range(0, len(data), 999_999)))
        assert result.size == len(data)
        assert bucket.head("key").size == len(data)
        assert read(bucket, "key") == data

    @case("B15", "a large body in memory arrives whole", clause="Objects")
    def test_b15_large_bytes(self, bucket: Bucket) -> None:
        data = pattern(12 * MIB + 1)
        bucket.put("key", data)
        assert read(bucket, "key") == data

    @case("B16", "a put replaces the object as a whole", clause="Objects")
    def test_b16_overwrite(self, bucket: Bucket) -> None:
        bucket.put("key", b"a longer body", content_type="text/plain", metadata={"old": "1"})
        bucket.put("key", b"short", metadata={"new": "2"})
        info = bucket.head("key")
        assert read(bucket, "key") == b"short"
        assert info.size == 5
        assert info.content_type != "text/plain"
        assert dict(info.metadata) == {"new": "2"}

    @case("B17", "objects of all sizes replace each other", clause="Objects")
    def test_b17_overwrite_sizes(self, bucket: Bucket) -> None:
        for size in (0, 1, 70_000, 3, 2 * MIB, 0, 100_000):
            data = pattern(size, size)
            bucket.put("key", data)
            assert read(bucket, "key") == data
            assert keys_of(bucket.list()) == ["key"]

    @case("B18", "a body shorter than declared leaves nothing", clause="Objects")
    def test_b18_short(self, bucket: Bucket) -> None:
        with pytest.raises(IntegrityError):
            bucket.put("key", (piece for piece in [b"123"]), size=4)
        with pytest.raises(IntegrityError):
            bucket.put("key", b"123", size=4)
        with pytest.raises(IntegrityError):
            bucket.put("key", io.BytesIO(b"123"), size=4)
        nothing_left(bucket, "key")

    @case("B19", "a body longer than declared leaves nothing", clause="Objects")
    def test_b19_long(self, bucket: Bucket) -> None:
        with pytest.raises(IntegrityError):
            bucket.put("key", (piece for piece in [b"123", b"45"]), size=4)
        with pytest.raises(IntegrityError):
            bucket.put("key", b"12345", size=4)
        nothing_left(bucket, "key")

    @case("B20", "a body of wrong length leaves the old object", clause="Objects")
    def test_b20_short_over_old(self, bucket: Bucket) -> None:
        before = bucket.put("key", b"old")
        for size in (2, 4):
            with pytest.raises(IntegrityError):
                bucket.put("key", (piece for piece in [b"new"]), size=size)
        assert read(bucket, "key") == b"old"
        assert bucket.head("key").etag == before.etag

    @case("B21", "an exception of the body passes and leaves nothing", clause="Objects")
    def test_b21_exception(self, bucket: Bucket) -> None:
        with pytest.raises(BrokenError):
            bucket.put("key", breaking(b"first", b"second"))
        with pytest.raises(BrokenError):
            bucket.put("key", breaking(), size=5)
        nothing_left(bucket, "key")

    @case("B22", "an exception of the body leaves the old object", clause="Objects")
    def test_b22_exception_over_old(self, bucket: Bucket) -> None:
        before = bucket.put("key", b"old", metadata={"kept": "yes"})
        with pytest.raises(BrokenError):
            bucket.put("key", breaking(b"first"), size=100)
        info = bucket.head("key")
        assert (info.etag, dict(info.metadata)) == (before.etag, {"kept": "yes"})
        assert read(bucket, "key") == b"old"

    @case("B23", "an exception late in a large body leaves nothing", clause="Objects")
    def test_b23_late_exception(self, bucket: Bucket) -> None:
        with pytest.raises(BrokenError):
            bucket.put("key", breaking(*[pattern(MIB)] * 18))
        nothing_left(bucket, "key")

    @case("B24", "a put that is cancelled leaves nothing", clause="Objects")
    def test_b24_cancelled(self, bucket: Bucket) -> None:
        interrupted_put(bucket, "key", [b"first", pattern(MIB)])
        nothing_left(bucket, "key")

    @case("B25", "a put that is cancelled leaves the old object", clause="Objects")
    def test_b25_cancelled_over_old(self, bucket: Bucket) -> None:
        bucket.put("key", b"old")
        interrupted_put(bucket, "key", [b"new"])
        assert read(bucket, "key") == b"old"

    @case("B26", "pieces that are not bytes are refused and leave nothing", clause="Objects")
    def test_b26_wrong_pieces(self, bucket: Bucket) -> None:
        with pytest.raises(InvalidRequestError):
            bucket.put("key", (piece for piece in [b"bytes", "text"]))  # type: ignore[misc]
        nothing_left(bucket, "key")

    @case("B27", "text is no body", clause="Objects")
    def test_b27_text(self, storage: Storage, bucket: Bucket) -> None:
        with no_requests(storage), pytest.raises(InvalidRequestError):
            bucket.put("key", "text")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError):
            bucket.put("key", io.StringIO("text"))  # type: ignore[arg-type]
        nothing_left(bucket, "key")

    @case("B28", "what has no bytes is no body", clause="Objects")
    def test_b28_no_body(self, storage: Storage, bucket: Bucket) -> None:
        for data in (None, 7, object()):
            with no_requests(storage), pytest.raises(InvalidRequestError):
                bucket.put("key", data)  # type: ignore[arg-type]

    @case("B29", "a put tells etag, size and version of what it wrote", clause="Objects")
    def test_b29_result(self, bucket: Bucket) -> None:
        result = bucket.put("key", b"bytes")
        info = bucket.head("key")
        assert isinstance(result, PutResult)
        assert (result.key, result.size) == ("key", 5)
        assert (result.etag, result.version) == (info.etag, info.version)
        assert result.etag

    @case("B30", "an etag changes with the bytes", clause="Objects")
    def test_b30_etag(self, bucket: Bucket) -> None:
        etags = [bucket.put("key", data).etag for data in (b"one", b"two", b"six", b"")]
        assert len(set(etags)) == 4, etags

    @case("B31", "of several writers of one key one wins as a whole", clause="Objects")
    def test_b31_same_key(self, bucket: Bucket) -> None:
        bodies = [pattern(150_000, mark) for mark in range(6)]

        def write(mark: int) -> PutResult:
            return bucket.put("key", bodies[mark], metadata={"mark": str(mark)})

        outcomes = together(*[lambda mark=mark: write(mark) for mark in range(6)])
        assert all(isinstance(found, PutResult) for found in outcomes), outcomes
        with bucket.get("key") as reader:
            mark = int(reader.info.metadata["mark"])
            assert reader.read() == bodies[mark]
        assert reader.info.etag in {found.etag for found in outcomes}  # type: ignore[union-attr]

    @case("B32", "writers of many keys do not disturb each other", clause="Objects")
    def test_b32_many_keys(self, bucket: Bucket) -> None:
        def write(mark: int) -> int:
            for number in range(10):
                bucket.put(f"{mark}/{number}", pattern(1000 + number, mark))
            return mark

        assert sorted(together(*[lambda mark=mark: write(mark) for mark in range(6)])) == list(  # type: ignore[type-var]
            range(6)
        )
        assert len(list(bucket.list())) == 60
        for mark in range(6):
            assert read(bucket, f"{mark}/7") == pattern(1007, mark)

    @case("B33", "a reader sees the old object or the new one", clause="Objects")
    def test_b33_atomic(self, bucket: Bucket) -> None:
        bodies = {pattern(120_000 + mark, mark) for mark in range(2)}
        one, other = bodies
        bucket.put("key", one)
        done = threading.Event()

        def write() -> int:
            try:
                for _ in range(15):
                    bucket.put("key", other)
                    bucket.put("key", one)
            finally:
                done.set()
            return 0

        def look() -> int:
            seen = 0
            while not done.is_set() or not seen:
                with bucket.get("key") as reader:
                    data = reader.read()
                assert data in bodies, f"{len(data)} bytes that nobody wrote"
                seen += 1
            return seen

        written, seen = together(write, look)
        assert written == 0, written
        assert isinstance(seen, int), seen
        assert seen > 0
