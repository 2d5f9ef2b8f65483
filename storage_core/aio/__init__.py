"""The async face: the names of `storage_core` with coroutines behind them.

    async with storage_core.aio.open("dev") as storage:
        bucket = await storage.create_bucket("fruit", exist_ok=True)
        await bucket.put("apple.txt", b"red")
        async with bucket.get("apple.txt") as reader:
            body = await reader.read()

Listings are for ``async for``; `AsyncStorage.bucket` and `AsyncBucket.resume_upload` ask
nothing and stay plain functions.
"""

from storage_core.aio.bucket import AsyncBucket
from storage_core.aio.listing import AsyncListing
from storage_core.aio.reader import AsyncReader
from storage_core.aio.seekable import AsyncSeekableReader
from storage_core.aio.storage import (
    AsyncStorage,
    open,  # noqa: A004
    open_driver,
    open_url,
)
from storage_core.aio.sync import sync, verify
from storage_core.aio.tree import AsyncTree
from storage_core.aio.upload import AsyncUpload
from storage_core.aio.writer import AsyncWriter

__all__ = [
    "AsyncBucket",
    "AsyncListing",
    "AsyncReader",
    "AsyncSeekableReader",
    "AsyncStorage",
    "AsyncTree",
    "AsyncUpload",
    "AsyncWriter",
    "open",
    "open_driver",
    "open_url",
    "sync",
    "verify",
]
