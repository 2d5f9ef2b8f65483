"""obstore as a client of the benchmarks, blocking and by coroutines."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store

from benchmarks._peers import (
    ACCESS_KEY,
    BODY,
    BUCKET,
    PART,
    PIECE,
    REGION,
    SECRET_KEY,
    WIDTH,
    Async,
    Blocking,
    big,
    key,
    side_by_side,
    tree_files,
)

LIFE = dt.timedelta(seconds=900)


def store(url: str, bucket: str = BUCKET, **more: Any) -> S3Store:
    """A bucket of the service."""
    return S3Store(
        bucket,
        endpoint=url,
        region=REGION,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        **more,
    )


def save(place: str, body: Any) -> None:
    """Have a file appear as a whole."""
    with open(f"{place}.part", "wb", buffering=0) as file:
        file.write(body)
    os.rename(f"{place}.part", place)


class Obstore(Blocking):
    """Its blocking functions. Down is one stream, as they have no other."""

    unsigned = False

    def __init__(self, url: str) -> None:
        self.store = store(url, unsigned_payload=self.unsigned)

    def get(self, number: int) -> None:
        obstore.get(self.store, key(number)).bytes()

    def put(self, number: int) -> None:
        obstore.put(self.store, key(number), BODY)

    def head(self, number: int) -> None:
        obstore.head(self.store, key(number))

    def keys(self) -> Iterator[int]:
        for batch in obstore.list(self.store, chunk_size=1000):
            yield sum(1 for item in batch if item["path"])

    def delete(self, count: int) -> None:
        obstore.delete(self.store, [key(number) for number in range(count)])

    def presign(self, count: int) -> None:
        obstore.sign(self.store, "GET", [key(number) for number in range(count)], LIFE)

    def down(self, path: Path, size: int) -> None:
        with path.open("wb", buffering=0) as file:
            for piece in obstore.get(self.store, big(size)).stream(min_chunk_size=PIECE):
                file.write(piece)

    def up(self, path: Path, size: int) -> None:
        obstore.put(self.store, big(size), path, chunk_size=PART, max_concurrency=8)


class Unsigned(Obstore):
    """The same with unsigned bodies."""

    unsigned = True


class ObstoreAsync(Async):
    """Its coroutines. A large object comes down in ranges, eight at a time; trees in loops
    written by hand, ``WIDTH`` files at a time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = store(url)
        super().__init__()

    async def get(self, number: int) -> None:
        await (await obstore.get_async(self.store, key(number))).bytes_async()

    async def put(self, number: int) -> None:
        await obstore.put_async(self.store, key(number), BODY)

    async def head(self, number: int) -> None:
        await obstore.head_async(self.store, key(number))

    async def keys(self, count: int) -> None:
        seen = 0
        async for batch in obstore.list(self.store, chunk_size=1000):
            seen += sum(1 for item in batch if item["path"])
            if seen >= count:
                return

    async def delete(self, count: int) -> None:
        await obstore.delete_async(self.store, [key(number) for number in range(count)])

    async def presign(self, count: int) -> None:
        paths = [key(number) for number in range(count)]
        await obstore.sign_async(self.store, "GET", paths, LIFE)

    def down(self, path: Path, size: int) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.truncate(fd, size)

        async def part(start: int) -> None:
            stop = min(start + PART, size)
            found = await obstore.get_range_async(self.store, big(size), start=start, end=stop)
            os.pwrite(fd, found, start)

        self.wait(side_by_side(iter(range(0, size, PART)), part, 8))
        os.close(fd)

    def tree_up(self, folder: Path, prefix: str) -> None:
        target = store(self.url, "empty")

        async def one(item: tuple[str, os.stat_result]) -> None:
            path = prefix + item[0]
            await obstore.put_async(target, path, (folder / path).read_bytes())

        self.wait(side_by_side(tree_files(folder / prefix), one, WIDTH))

    def tree_down(self, folder: Path, prefix: str) -> None:
        source = store(self.url, "tree")
        made: set[str] = set()

        async def one(path: str) -> None:
            body = await (await obstore.get_async(source, path)).bytes_async()
            place = f"{folder}/{path}"
            parent = os.path.dirname(place)
            if parent not in made:
                os.makedirs(parent, exist_ok=True)
                made.add(parent)
            save(place, body)

        async def all_of_them() -> None:
            listed = obstore.list(source, prefix or None, chunk_size=1000)
            async for batch in listed:
                await side_by_side((item["path"] for item in batch), one, WIDTH)

        self.wait(all_of_them())

    def tree_same(self, folder: Path, prefix: str) -> None:
        here = {prefix + name: found for name, found in tree_files(folder / prefix)}
        different = len(here)

        async def compare() -> None:
            nonlocal different
            async for batch in obstore.list(store(self.url, "tree"), prefix or None):
                for item in batch:
                    found = here[item["path"]]
                    different -= (
                        found.st_size == item["size"]
                        and found.st_mtime <= item["last_modified"].timestamp()
                    )

        self.wait(compare())
        if different:
            raise SystemExit(f"{different} files are different")
