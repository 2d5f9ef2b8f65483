"""Reads of one object: slices, and ranges of what was opened and nothing else."""

from __future__ import annotations

import asyncio

from storage_core import checksum
from storage_core.aio import AsyncBucket
from storage_core.errors import (
    IntegrityError,
    InvalidRangeError,
    ObjectChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from storage_core.fs.listing import together
from storage_core.model import ObjectInfo

FIRST = 64 * 1024
"""Bytes that come with the opening of an object: a small one is read by that one request."""
SPAN = 8 * 1024**2
"""Bytes of one of several requests for a large range."""
SPANS = 8
"""Requests for one range at a time."""


async def cat(
    bucket: AsyncBucket, key: str, start: int | None, end: int | None, version: str | None
) -> bytes:
    """The bytes ``[start:end]`` of an object, as a Python slice counts them.

    Raises:
        ObjectNotFoundError: there is no such object.
        ObjectChangedError: it was replaced between the question for its size, which only a
            slice from or to its end needs, and the read.
    """
    start = start or 0
    if end is None:
        wanted: tuple[int, int | None] | None = (start, None) if start else None
    elif start < 0 or end < 0:
        info = await bucket.head(key, version=version)
        start, end, _ = slice(start, end).indices(info.size)
        return await read_pinned(bucket, info, start, end) if start < end else b""
    elif end <= start:
        return b""
    else:
        wanted = (start, end)
    try:
        async with bucket.get(key, range=wanted, version=version) as reader:
            return await reader.read()
    except InvalidRangeError:
        return b""  # it starts past the end


async def open_pinned(
    bucket: AsyncBucket, key: str, version: str | None, etag: str | None
) -> tuple[ObjectInfo, bytes]:
    """What is known of an object, and its first bytes.

    Args:
        bucket: Of the object.
        key: Of the object.
        version: Of the object.
        etag: What it must be, of a file that was opened before.

    Raises:
        ObjectNotFoundError: there is no such object.
        ObjectChangedError: it is not what ``etag`` says.
    """
    try:
        async with bucket.get(key, range=(0, FIRST), version=version) as reader:
            info, first = reader.info, await reader.read()
    except InvalidRangeError:  # it is empty
        info, first = await bucket.head(key, version=version), b""
    if etag is not None and info.etag != etag:
        raise _changed(bucket, key)
    if len(first) == info.size:
        verify(bucket, info, first)
    return info, first


async def read_pinned(bucket: AsyncBucket, info: ObjectInfo, start: int, end: int) -> bytes:
    """A range of the object that ``info`` tells of; a large one by several requests at once.

    Raises:
        ObjectChangedError: it was replaced or deleted since.
    """
    if end - start > 2 * SPAN:
        slots = asyncio.Semaphore(SPANS)
        spans = [(at, min(at + SPAN, end)) for at in range(start, end, SPAN)]
        pieces: list[bytes] = [b""] * len(spans)

        async def read(number: int) -> None:
            async with slots:
                pieces[number] = await _read(bucket, info, *spans[number])

        await together(read(number) for number in range(len(spans)))
        data = b"".join(pieces)
    else:
        data = await _read(bucket, info, start, end)
    if len(data) == info.size:
        await asyncio.to_thread(verify, bucket, info, data)
    return data


async def _read(bucket: AsyncBucket, info: ObjectInfo, start: int, end: int) -> bytes:
    pinned = bucket.storage.capabilities.allows("get", "if_match")
    try:
        async with bucket.get(
            info.key,
            range=(start, end),
            version=info.version,
            if_match=info.etag if pinned else None,
        ) as reader:
            if reader.info.etag != info.etag or reader.length != end - start:
                raise _changed(bucket, info.key)
            return await reader.read()
    except (PreconditionFailedError, ObjectNotFoundError, InvalidRangeError) as error:
        raise _changed(bucket, info.key) from error


def verify(bucket: AsyncBucket, info: ObjectInfo, data: bytes) -> None:
    """Hold a whole object against one of the checksums that are known of it, if there are any;
    core does so for whole reads alone, and these came as a range.

    Raises:
        IntegrityError: they do not fit.
    """
    for algorithm in checksum.ALGORITHMS:
        wanted = info.checksums.get(algorithm)
        if wanted is not None:
            if checksum.digest(algorithm, data).hex() != wanted:
                raise IntegrityError(
                    f"the bytes do not have the object's {algorithm}; they are not to be used",
                    operation="open",
                    bucket=bucket.name,
                    key=info.key,
                )
            return


def _changed(bucket: AsyncBucket, key: str) -> ObjectChangedError:
    return ObjectChangedError(
        "the object was replaced since it was opened; open it again",
        operation="open",
        bucket=bucket.name,
        key=key,
    )
