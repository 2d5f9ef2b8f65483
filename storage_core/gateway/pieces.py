"""Bodies in pieces: how they leave where the kernel can not send them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from storage_core.aio import AsyncReader
    from storage_core.streams import FileSlice

CHUNK: Final = 1024 * 1024
"""Bytes of a reply read at a time from a reader: each piece crosses from a worker thread."""
FILE_PIECE: Final = 256 * 1024
"""Bytes read at a time from a file: what stays in the processor's cache until it is sent."""

_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)  # not in every build of Python


async def of_reader(reader: AsyncReader, first: bytes) -> AsyncIterator[bytes]:
    """All that a reader gives, after its first bytes."""
    piece = first
    while piece:
        yield piece
        piece = await reader.read(CHUNK)


async def of_file(file: FileSlice) -> AsyncIterator[bytes]:
    """A stretch of a file. What the page cache holds is read on the loop, which is far cheaper
    than a trip through a thread; only what must come from the disk takes that.

    Raises:
        OSError: the file can not be read, or is shorter than was said.
    """
    offset, end = file.offset, file.offset + file.length
    os.posix_fadvise(file.fd, offset, file.length, os.POSIX_FADV_SEQUENTIAL)
    while offset < end:
        size = min(FILE_PIECE, end - offset)
        if _is_cached(file.fd, offset + size - 1):
            piece = os.pread(file.fd, size, offset)
        else:
            piece = await asyncio.to_thread(os.pread, file.fd, size, offset)
        if not piece:
            raise OSError("the file ended before the announced number of bytes")
        offset += len(piece)
        yield piece


def _is_cached(fd: int, offset: int) -> bool:
    """Whether a byte can be read without waiting for the disk (RWF_NOWAIT, preadv2(2)); no where
    the file system does not tell. The bytes before it were read ahead with it, as a rule."""
    if not _NOWAIT:
        return False
    try:
        return os.preadv(fd, [bytearray(1)], offset, _NOWAIT) == 1
    except (OSError, NotImplementedError):
        return False
