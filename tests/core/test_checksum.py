"""Digests against published vectors, against hashlib, and parts put together."""

from __future__ import annotations

import array
import hashlib
import os
import sys
from collections.abc import Iterator

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core import Buffer, checksum

# RFC 3720 appendix B.4: data and CRC, whose bytes the RFC prints lowest first.
VECTORS = [
    (bytes(32), "aa36918a"),
    (b"\xff" * 32, "43aba862"),
    (bytes(range(32)), "4e79dd46"),
    (bytes(range(31, -1, -1)), "5cdb3f11"),
    (
        bytes.fromhex(
            "01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018"
            "28000000 00000000 02000000 00000000"
        ),
        "563a96d9",
    ),
]


@pytest.mark.parametrize(("data", "crc"), VECTORS)
def test_crc32c_of_the_rfc(data: bytes, crc: str):
    value = int.from_bytes(bytes.fromhex(crc), "little")
    assert checksum.crc32c(data) == value
    assert checksum.digest("crc32c", data) == value.to_bytes(4, "big")


def test_crc32c_check_value_and_empty():
    assert checksum.crc32c(b"123456789") == 0xE3069283
    assert checksum.crc32c(b"") == 0
    assert checksum.crc32c(b"", 7) == 7


@pytest.mark.parametrize("way", ["in place", "copied", "awscrt"])
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 300_001, 1_000_000])
def test_crc32c_of_every_kind_of_buffer(size: int, way: str, monkeypatch: pytest.MonkeyPatch):
    data = os.urandom(size)
    crc = google_crc32c.extend(7, data)
    monkeypatch.setattr(checksum._hashed, "size", checksum._MUCH if way == "awscrt" else 0)
    if way == "copied":
        monkeypatch.setattr(checksum, "_in_place", lambda: None)
    assert checksum.crc32c(data, 7) == crc
    for buffer in (bytearray(data), memoryview(data), memoryview(bytearray(data))):
        assert checksum.crc32c(buffer, 7) == crc
    middle = memoryview(bytearray(b"123" + data + b"4"))[3:-1]
    assert checksum.crc32c(middle, 7) == crc


def test_crc32c_needs_no_copy_of_a_large_buffer():
    """Where google-crc32c is built for the machine, as it is for those that tests run on."""
    assert google_crc32c.implementation == "c"
    assert checksum._in_place() is not None


@pytest.fixture
def nothing_hashed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    found = checksum._awscrt
    monkeypatch.setattr(checksum._hashed, "size", 0)
    found.cache_clear()
    yield
    found.cache_clear()


def test_awscrt_is_imported_when_there_is_much_to_hash(
    nothing_hashed: None, monkeypatch: pytest.MonkeyPatch
):
    """Small objects do not count, however many; nor does it matter if it is not installed."""
    monkeypatch.setattr(checksum, "_MUCH", 200_000)
    asked = []
    monkeypatch.setattr(checksum, "_awscrt", lambda: asked.append(True))
    for _ in range(10):
        checksum.crc32c(bytes(50_000))
    for _ in range(2):
        assert checksum.crc32c(bytes(100_000)) == google_crc32c.value(bytes(100_000))
    assert not asked
    assert checksum.crc32c(bytes(100_000)) == google_crc32c.value(bytes(100_000))
    assert asked


def test_without_awscrt_it_goes_on_as_before(nothing_hashed: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checksum._hashed, "size", checksum._MUCH)
    assert checksum._awscrt() is not None
    checksum._awscrt.cache_clear()
    monkeypatch.setitem(sys.modules, "awscrt.checksums", None)
    assert checksum._awscrt() is None
    assert checksum.crc32c(bytearray(100_000)) == google_crc32c.value(bytes(100_000))


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_crc32c_can_be_continued(pieces: list[bytes]):
    crc = 0
    hasher = checksum.new("crc32c")
    for piece in pieces:
        crc = checksum.crc32c(piece, crc)
        hasher.update(piece)
    whole = checksum.crc32c(b"".join(pieces))
    assert crc == whole
    assert hasher.digest() == whole.to_bytes(4, "big")


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_crc32c_of_two_strings_put_together(first: bytes, second: bytes):
    combined = checksum.crc32c_combine(checksum.crc32c(first), checksum.crc32c(second), len(second))
    assert combined == checksum.crc32c(first + second)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_crc32c_of_many_parts(parts: list[bytes]):
    combined = checksum.crc32c(parts[0])
    for part in parts[1:]:
        combined = checksum.crc32c_combine(combined, checksum.crc32c(part), len(part))
    assert combined == checksum.crc32c(b"".join(parts))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**43))
def test_combining_lengths_is_additive(first: int, second: int, length: int):
    # Zeros appended in one step or in two come to the same, for lengths no test can hold.
    once = checksum.crc32c_combine(first, second, length)
    half = length // 2
    twice = checksum.crc32c_combine(checksum.crc32c_combine(first, 0, half), second, length - half)
    assert once == twice


@pytest.mark.parametrize("size", [0, 1, checksum.PIECE - 1, checksum.PIECE, checksum.PIECE + 1])
def test_any_buffer_of_any_size(size: int):
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    views: list[Buffer] = [bytearray(data), memoryview(data), memoryview(bytearray(data))]
    if size % 4 == 0:
        views.append(memoryview(array.array("I", data)))
    for name in checksum.ALGORITHMS:
        expected = checksum.digest(name, data)
        for view in views:
            assert checksum.digest(name, view) == expected
            hasher = checksum.new(name)
            hasher.update(view)
            assert hasher.digest() == expected


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256"])
@given(data=st.binary(max_size=200), cut=st.integers(0, 200))
def test_the_others_are_hashlib(name: str, data: bytes, cut: int):
    expected = hashlib.new(name, data).digest()
    assert checksum.digest(name, data) == expected
    hasher = checksum.new(name)
    hasher.update(data[:cut])
    hasher.update(data[cut:])
    assert hasher.digest() == expected


def test_the_table_gives_the_sizes():
    for name, (_, size) in checksum.ALGORITHMS.items():
        assert len(checksum.digest(name, b"x")) == size
    with pytest.raises(KeyError):
        checksum.new("sha3")
