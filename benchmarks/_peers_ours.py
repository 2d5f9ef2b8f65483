"""This library as a client of the benchmarks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import storage_core
import storage_core.aio
from benchmarks._peers import (
    ACCESS_KEY,
    BODY,
    BUCKET,
    REGION,
    SECRET_KEY,
    Async,
    Blocking,
    big,
    key,
)
from storage_core.cluster import ProcessEngine, sync


def profile(url: str, **more: Any) -> dict[str, Any]:
    """Of the service; bodies unsigned, as they are over TLS."""
    return {
        "driver": "s3",
        "preset": "aws",
        "endpoint_url": url,
        "addressing": "path",
        "region": REGION,
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
        **more,
    }


class StorageCore(Blocking):
    """The blocking face. Small objects are signed with their bodies, as plain HTTP has it by
    default; large ones and trees are not, which is a choice of the profile."""

    def __init__(self, url: str) -> None:
        self.storage = storage_core.open(config=profile(url))
        self.unsigned = storage_core.open(config=profile(url, payload="unsigned"))
        self.bucket = self.storage.bucket(BUCKET)
        self.large = self.unsigned.bucket(BUCKET)
        self.options = storage_core.TransferOptions(resume=True)

    def close(self) -> None:
        self.storage.close()
        self.unsigned.close()

    def get(self, number: int) -> None:
        with self.bucket.get(key(number)) as reader:
            reader.read()

    def put(self, number: int) -> None:
        self.bucket.put(key(number), BODY)

    def head(self, number: int) -> None:
        self.bucket.head(key(number))

    def keys(self) -> Iterator[int]:
        for page in self.bucket.list().pages():
            yield sum(1 for item in page.items if item.key)

    def delete(self, count: int) -> None:
        self.bucket.delete_many(map(key, range(count)))

    def presign(self, count: int) -> None:
        for number in range(count):
            self.bucket.presign(key(number))

    def down(self, path: Path, size: int) -> None:
        self.large.download_file(big(size), path, options=self.options)

    def up(self, path: Path, size: int) -> None:
        self.large.upload_file(path, big(size), options=self.options)

    def tree_up(self, folder: Path, prefix: str) -> None:
        self.storage.bucket("empty").upload_tree(folder / prefix, prefix)

    def tree_down(self, folder: Path, prefix: str) -> None:
        self.storage.bucket("tree").download_tree(prefix, folder / prefix)

    def tree_same(self, folder: Path, prefix: str) -> None:
        target = self.storage.bucket("tree").tree(prefix)
        report = storage_core.sync(folder / prefix, target)
        if report.transferred:
            raise SystemExit(f"{report.transferred} files were sent though nothing was to do")


class Unverified(StorageCore):
    """The same without checksums."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        # What can be resumed is hashed too, part by part.
        self.options = storage_core.TransferOptions(verify=False, resume=False)


class StorageCoreProcesses(StorageCore):
    """Trees by worker processes, one for each processor, that are there already."""

    helpers = True

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.engine = ProcessEngine()

    def close(self) -> None:
        self.engine.close()
        super().close()

    def tree_up(self, folder: Path, prefix: str) -> None:
        target = self.storage.bucket("empty").tree(prefix)
        sync(folder / prefix, target, engine=self.engine)

    def tree_down(self, folder: Path, prefix: str) -> None:
        source = self.storage.bucket("tree").tree(prefix)
        sync(source, folder / prefix, engine=self.engine)

    def tree_same(self, folder: Path, prefix: str) -> None:
        target = self.storage.bucket("tree").tree(prefix)
        report = sync(folder / prefix, target, engine=self.engine)
        if report.transferred:
            raise SystemExit(f"{report.transferred} files were sent though nothing was to do")


class StorageCoreAsync(Async):
    """The async face."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__()

    async def open(self) -> None:
        self.stack = contextlib.AsyncExitStack()
        enter = self.stack.enter_async_context
        self.storage = await enter(storage_core.aio.open(config=profile(self.url)))
        unsigned = await enter(storage_core.aio.open(config=profile(self.url, payload="unsigned")))
        self.bucket = self.storage.bucket(BUCKET)
        self.large = unsigned.bucket(BUCKET)

    async def shut(self) -> None:
        await self.stack.aclose()

    async def get(self, number: int) -> None:
        async with await self.bucket.get(key(number)) as reader:
            await reader.read()

    async def put(self, number: int) -> None:
        await self.bucket.put(key(number), BODY)

    async def head(self, number: int) -> None:
        await self.bucket.head(key(number))

    async def keys(self, count: int) -> None:
        seen = 0
        async for page in self.bucket.list().pages():
            seen += sum(1 for item in page.items if item.key)
            if seen >= count:
                return

    async def delete(self, count: int) -> None:
        await self.bucket.delete_many(map(key, range(count)))

    async def presign(self, count: int) -> None:
        for number in range(count):
            await self.bucket.presign(key(number))

    def down(self, path: Path, size: int) -> None:
        self.wait(self.large.download_file(big(size), path))

    def up(self, path: Path, size: int) -> None:
        self.wait(self.large.upload_file(path, big(size)))

    def tree_up(self, folder: Path, prefix: str) -> None:
        self.wait(self.storage.bucket("empty").upload_tree(folder / prefix, prefix))

    def tree_down(self, folder: Path, prefix: str) -> None:
        self.wait(self.storage.bucket("tree").download_tree(prefix, folder / prefix))

    def tree_same(self, folder: Path, prefix: str) -> None:
        target = self.storage.bucket("tree").tree(prefix)
        self.wait(storage_core.aio.sync(folder / prefix, target))
