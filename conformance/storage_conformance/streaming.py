"""Transfers of large objects whose memory the cases of category T measure, in other processes."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterator

from storage_conformance.profiles import ProfileSpec
from storage_core import Bucket, aio

PIECE = bytes(range(256)) * 1024


def pieces(size: int) -> Iterator[bytes]:
    """A body of so many bytes."""
    left = size
    while left:
        piece = PIECE[: min(left, len(PIECE))]
        left -= len(piece)
        yield piece


async def _async_pieces(size: int) -> AsyncIterator[bytes]:
    for piece in pieces(size):
        yield piece


def _peak() -> int:
    """Greatest resident size of this process so far, in bytes."""
    # Not `ru_maxrss`: on Linux it begins with the size of the process that started this one.
    with contextlib.suppress(FileNotFoundError), open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _put(bucket: Bucket, size: int) -> None:
    bucket.put("large", pieces(size), size=size)


def _get(bucket: Bucket, size: int) -> None:
    with bucket.get("large") as reader:
        left = size
        while piece := reader.read(len(PIECE)):
            left -= len(piece)
    assert not left


def _write(bucket: Bucket, size: int) -> None:
    with bucket.writer("large") as writer:
        for piece in pieces(size):
            writer.write(piece)


async def _put_async(bucket: aio.AsyncBucket, size: int) -> None:
    await bucket.put("large", _async_pieces(size), size=size)


async def _get_async(bucket: aio.AsyncBucket, size: int) -> None:
    async with bucket.get("large") as reader:
        left = size
        while piece := await reader.read(len(PIECE)):
            left -= len(piece)
    assert not left


async def _write_async(bucket: aio.AsyncBucket, size: int) -> None:
    async with bucket.writer("large") as writer:
        for piece in pieces(size):
            await writer.write(piece)


_BLOCKING = {"put": _put, "get": _get, "write": _write}
_ON_ASYNC = {"put": _put_async, "get": _get_async, "write": _write_async}


def measure(bucket: Bucket, spec: ProfileSpec, face: str, transfer: str, size: int) -> int:
    """Bytes by which this process grows while it transfers an object of so many bytes.

    Args:
        bucket: Bucket of the profile, on the blocking face.
        spec: The profile.
        face: Face to use.
        transfer: ``"put"``, ``"get"`` or ``"write"``.
        size: Of the object, in bytes.
    """
    bucket.put("small", PIECE)  # what is loaded for the first request does not count
    if face == "blocking":
        before = _peak()
        _BLOCKING[transfer](bucket, size)
        return _peak() - before
    return asyncio.run(_measure(bucket.name, spec, transfer, size))


async def _measure(name: str, spec: ProfileSpec, transfer: str, size: int) -> int:
    async with spec.open_async() as storage:
        bucket = storage.bucket(name)
        await bucket.put("small", PIECE)
        before = _peak()
        await _ON_ASYNC[transfer](bucket, size)
        return _peak() - before
