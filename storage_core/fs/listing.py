"""Directories of the filesystem: the profiles, their buckets, and the prefixes of keys.

A directory below a bucket is a prefix that ends with a slash; it is there as long as a key
begins with it. A key that itself ends with a slash marks its directory, as consoles make them
for empty ones, and is no file here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

from storage_core.aio import AsyncBucket
from storage_core.errors import BucketNotFoundError, ObjectNotFoundError
from storage_core.fs import entries
from storage_core.fs.entries import Entry
from storage_core.fs.paths import Place
from storage_core.fs.storages import Storages

LISTINGS = 32
"""Directories one search lists at the same time."""


async def bucket_of(storages: Storages, place: Place) -> AsyncBucket:
    """The bucket a path leads to or into."""
    return (await storages.get(place.profile)).bucket(place.bucket)


async def children(storages: Storages, place: Place) -> list[Entry]:
    """What lies in a directory; of an object, the object itself.

    Raises:
        FileNotFoundError: nothing is there.
    """
    if not place.profile:
        return [entries.directory(name) for name in await storages.profiles()]
    if not place.bucket:
        storage = await storages.get(place.profile)
        return [
            entries.of_bucket(f"{place.profile}/{info.name}", info)
            async for info in storage.list_buckets()
        ]
    bucket = await bucket_of(storages, place)
    base = place.key and f"{place.key}/"
    seen = False
    found: list[Entry] = []
    async for item in bucket.list(base, delimiter="/"):
        seen = True
        if not item.is_prefix:
            if item.key != base:
                found.append(entries.of_summary(place.root, item))
        elif item.key != f"{base}/":  # a directory without a name has no path
            found.append(entries.directory(place.root + item.key[:-1]))
    if not seen and place.key:
        return [entries.of_info(place.root, await bucket.head(place.key))]
    return found


async def is_directory(storages: Storages, place: Place) -> bool:
    """Whether a path leads to a profile, a bucket, or a prefix with something under it.
    Whether it leads to an object as well, which then comes first, is not asked."""
    if not place.profile:
        return True
    storage = await storages.get(place.profile)
    if not place.bucket:
        return True
    if not place.key:
        return await storage.bucket_exists(place.bucket)
    with suppress(BucketNotFoundError):
        async for _ in storage.bucket(place.bucket).list(f"{place.key}/", page_size=1):
            return True
    return False


async def describe(storages: Storages, place: Place, version: str | None) -> Entry:
    """The entry of what a path leads to: of an object, if there is one of that very key.

    Raises:
        FileNotFoundError: nothing is there.
    """
    if place.key:
        bucket = await bucket_of(storages, place)
        try:
            return entries.of_info(place.root, await bucket.head(place.key, version=version))
        except ObjectNotFoundError:
            if version is not None or not await is_directory(storages, place):
                raise
    elif place.bucket:
        info = await (await bucket_of(storages, place)).info()
        return entries.of_bucket(place.path, info)
    elif place.profile:
        _ = await storages.get(place.profile)
    return entries.directory(place.path)


async def find(
    storages: Storages, place: Place, maxdepth: int | None, withdirs: bool, prefix: str
) -> dict[str, Entry]:
    """All objects below a directory, by path.

    Args:
        storages: Where to look.
        place: The directory; an object is found as itself.
        maxdepth: Levels to go down; without it one listing gives all of a bucket.
        withdirs: Directories too, the one itself included.
        prefix: What names in the directory itself begin with.
    """
    search = _Search(storages, withdirs)
    base = place.key and f"{place.key}/"
    try:
        await search.level(place, base, prefix, maxdepth)
        if place.key and not search.seen and not prefix:
            bucket = await bucket_of(storages, place)
            info = await bucket.head(place.key)
            search.found[place.path] = entries.of_info(place.root, info)
        elif withdirs and place.profile and (search.seen or not place.key):
            search.found.setdefault(place.path, entries.directory(place.path))
    except (BucketNotFoundError, ObjectNotFoundError):
        return {}
    return dict(sorted(search.found.items()))


class _Search:
    """One search, and what it has found."""

    def __init__(self, storages: Storages, withdirs: bool) -> None:
        self.found: dict[str, Entry] = {}
        self.seen = False
        self._storages = storages
        self._withdirs = withdirs
        self._slots = asyncio.Semaphore(LISTINGS)

    def _directory(self, entry: Entry) -> None:
        if self._withdirs:
            self.found.setdefault(entry["name"], entry)

    async def level(self, place: Place, base: str, prefix: str, depth: int | None) -> None:
        """Search a directory; ``base`` is what keys in it begin with."""
        if place.bucket and depth is None:
            await self._all(place, base, prefix)
            return
        left = None if depth is None else depth - 1
        if place.bucket:
            keys = await self._one(place, base, prefix)
            jobs = [self.level(place, key, "", left) for key in keys if depth != 1]
        else:
            places = await self._top(place, prefix)
            jobs = [self._inside(inner, left) for inner in places if depth != 1]
        await together(jobs)

    async def _inside(self, place: Place, depth: int | None) -> None:
        with suppress(BucketNotFoundError):  # removed since it was listed
            await self.level(place, "", "", depth)

    async def _top(self, place: Place, prefix: str) -> list[Place]:
        """Profiles, or the buckets of one."""
        below = []
        for entry in await children(self._storages, place):
            name = entry["name"].rpartition("/")[2]
            if name.startswith(prefix):
                self._directory(entry)
                inner = Place(place.profile, name, "") if place.profile else Place(name, "", "")
                below.append(inner)
        return below

    async def _one(self, place: Place, base: str, prefix: str) -> list[str]:
        """One level of a bucket; what keys further down begin with."""
        bucket = await bucket_of(self._storages, place)
        below = []
        async with self._slots:
            async for item in bucket.list(base + prefix, delimiter="/"):
                self.seen = True
                if item.is_prefix:
                    below.append(item.key)
                    if item.key != f"{base}/":
                        self._directory(entries.directory(place.root + item.key[:-1]))
                elif item.key != base:
                    entry = entries.of_summary(place.root, item)
                    self.found[entry["name"]] = entry
        return below

    async def _all(self, place: Place, base: str, prefix: str) -> None:
        """Everything below a directory of a bucket, in one listing."""
        bucket = await bucket_of(self._storages, place)
        root, found, done = place.root, self.found, {base[:-1]}
        async for page in bucket.list(base + prefix).pages():
            for item in page.items:
                key = item.key
                self.seen = True
                if not item.is_prefix and not key.endswith("/"):
                    found[root + key] = entries.of_summary(root, item)
                if self._withdirs:
                    self._parents(root, key, done)

    def _parents(self, root: str, key: str, done: set[str]) -> None:
        """The directories that a key lies in, and the one it marks."""
        above = key.rpartition("/")[0]
        while above and above not in done:
            done.add(above)
            if not above.endswith("/"):
                self._directory(entries.directory(root + above))
            above = above.rpartition("/")[0]


async def together(jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; the first failure stops the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
