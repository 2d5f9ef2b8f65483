"""C: reading an object as a seekable file."""

from __future__ import annotations

import io

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import read
from storage_conformance.suite.b_write import MIB, pattern
from storage_conformance.suite.c_read import DATA, SIZE, drained
from storage_core import Bucket, ObjectChangedError, ObjectNotFoundError


class Seekable(Suite):
    """Seekable files."""

    @case("C40", "an opened object reads from start to end", clause="Objects")
    def test_c40_read(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        with bucket.open("key") as file:
            assert file.tell() == 0
            assert file.read() == DATA
            assert file.tell() == SIZE
            assert file.read() == b""

    @case("C41", "an opened object seeks from start, position and end", clause="Objects")
    def test_c41_seek(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        with bucket.open("key", buffer_size=64) as file:
            assert file.seek(100) == 100
            assert file.read(5) == DATA[100:105]
            assert file.seek(10, io.SEEK_CUR) == 115
            assert file.read(300) == DATA[115:415]
            assert file.seek(-5, io.SEEK_CUR) == 410
            assert file.read(1) == DATA[410:411]
            assert file.seek(-3, io.SEEK_END) == SIZE - 3
            assert file.read() == DATA[-3:]
            assert file.seek(0) == 0
            assert file.read(2) == DATA[:2]

    @case("C42", "reading past the end of an opened object is empty", clause="Objects")
    def test_c42_past_end(self, bucket: Bucket) -> None:
        bucket.put("key", DATA)
        with bucket.open("key") as file:
            file.seek(SIZE + 100)
            assert file.read(10) == b""
            file.seek(SIZE - 1)
            assert file.read(10) == DATA[-1:]

    @case("C43", "small and large reads of an opened object are exact", clause="Objects")
    def test_c43_sizes(self, bucket: Bucket) -> None:
        data = pattern(2 * MIB + 3)
        bucket.put("key", data)
        with bucket.open("key", buffer_size=10_000) as file:
            for offset, size in ((0, 1), (9_999, 2), (MIB, 70_000), (5, 10_001), (2 * MIB, 100)):
                file.seek(offset)
                assert file.read(size) == data[offset : offset + size], (offset, size)
            file.seek(0)
            assert drained(file, 300_001) == data

    @case("C44", "an empty object opens and is at its end", clause="Objects")
    def test_c44_empty(self, bucket: Bucket) -> None:
        bucket.put("key", b"")
        with bucket.open("key") as file:
            assert file.read() == b""
            assert file.seek(0, io.SEEK_END) == 0

    @case("C45", "opening a missing object raises ObjectNotFoundError", clause="Objects")
    def test_c45_missing(self, bucket: Bucket) -> None:
        with pytest.raises(ObjectNotFoundError):
            bucket.open("missing")

    @case("C46", "an opened object never mixes the bytes of two objects", clause="Objects")
    def test_c46_replaced(self, bucket: Bucket) -> None:
        old, new = pattern(MIB, 1), pattern(MIB, 2)
        bucket.put("key", old)
        with bucket.open("key", buffer_size=1024) as file:
            found = file.read(1000)
            bucket.put("key", new)
            try:
                file.seek(500_000)
                assert file.read(1000) == old[500_000:501_000], "bytes of another object"
            except ObjectChangedError:
                pass
            assert found == old[:1000]
        assert read(bucket, "key") == new
