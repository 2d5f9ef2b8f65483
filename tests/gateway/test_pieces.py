"""Files in pieces, for servers that can not have the kernel send them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from storage_core.gateway import pieces
from storage_core.streams import FileSlice

BODY = os.urandom(3 * pieces.FILE_PIECE + 1)


async def read(offset: int, length: int, path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return b"".join([piece async for piece in pieces.of_file(FileSlice(fd, offset, length))])
    finally:
        os.close(fd)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "body"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each trip through a thread brought."""
    sizes: list[int] = []
    real = asyncio.to_thread

    async def counted(*args: Any) -> Any:
        piece = await real(*args)
        sizes.append(len(piece))
        return piece

    monkeypatch.setattr(asyncio, "to_thread", counted)
    return sizes


@pytest.fixture(params=[True, False], ids=["cached", "not cached"])
def cached(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """What the page cache holds is the machine's business, so it is said here."""
    found: bool = request.param
    monkeypatch.setattr(pieces, "_is_cached", lambda *_: found)
    return found


@pytest.mark.parametrize(
    ("offset", "length"), [(0, len(BODY)), (5, 10), (7, 2 * pieces.FILE_PIECE), (len(BODY) - 1, 1)]
)
def test_any_stretch(path: Path, threads: list[int], cached: bool, offset: int, length: int):
    assert asyncio.run(read(offset, length, path)) == BODY[offset : offset + length]
    assert sum(threads) == (0 if cached else length)


def test_a_file_that_is_too_short(path: Path, cached: bool):
    with pytest.raises(OSError, match="ended before"):
        asyncio.run(read(len(BODY) - 5, 6, path))


def test_a_byte_is_cached_or_not(path: Path):
    with path.open("rb") as file:
        file.read()
        # Past the end there is nothing, cached or not.
        assert pieces._is_cached(file.fileno(), len(BODY)) is False
    with path.open("wb") as unreadable:
        assert pieces._is_cached(unreadable.fileno(), 0) is False
