"""Whole objects to and from local files, by the transfer engine."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from fsspec.utils import isfilelike

from storage_core.aio import AsyncBucket
from storage_core.errors import ObjectNotFoundError
from storage_core.fs.listing import bucket_of, is_directory
from storage_core.fs.paths import Place
from storage_core.fs.storages import Storages
from storage_core.fs.writing import PIECE, Headers
from storage_core.transfer.progress import OnProgress, Progress

if TYPE_CHECKING:
    from fsspec.callbacks import Callback


async def put_file(
    bucket: AsyncBucket,
    path: str | os.PathLike[str],
    key: str,
    callback: Callback,
    headers: Headers,
    only_new: bool,
) -> None:
    """Upload a local file."""
    await bucket.upload_file(
        path,
        key,
        content_type=headers.content_type,
        metadata=headers.metadata,
        if_absent=only_new,
        progress=_teller(callback),
    )


async def get_file(
    storages: Storages, place: Place, target: Any, callback: Callback, version: str | None
) -> None:
    """Download an object to a path, where it appears whole, or into an open file; for a
    directory a local one is made.

    Raises:
        FileNotFoundError: nothing is there.
    """
    if not place.key:
        await asyncio.to_thread(os.makedirs, target, exist_ok=True)
        return
    bucket = await bucket_of(storages, place)
    try:
        if isfilelike(target):
            await _into_file(bucket, place.key, target, callback, version)
            return
        if folder := os.path.dirname(os.fspath(target)):
            await asyncio.to_thread(os.makedirs, folder, exist_ok=True)
        progress = _teller(callback)
        await bucket.download_file(place.key, target, version=version, progress=progress)
    except (ObjectNotFoundError, IsADirectoryError):
        # A directory has no bytes to get. What has, and a name that is one here, can not be got.
        if version is not None or not await is_directory(storages, place):
            raise
        if await bucket.exists(place.key):
            raise
        await asyncio.to_thread(os.makedirs, target, exist_ok=True)


async def _into_file(
    bucket: AsyncBucket, key: str, file: Any, callback: Callback, version: str | None
) -> None:
    async with bucket.get(key, version=version) as reader:
        callback.set_size(reader.length)
        while piece := await reader.read(PIECE):
            await asyncio.to_thread(file.write, piece)
            callback.absolute_update(reader.position)


def _teller(callback: Callback) -> OnProgress:
    """Tell fsspec's callback what the engine tells."""

    def tell(progress: Progress) -> None:
        if callback.size is None and progress.total_bytes is not None:
            callback.set_size(progress.total_bytes)
        callback.absolute_update(progress.bytes)

    return tell
