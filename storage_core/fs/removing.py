"""Removing objects, trees and buckets. What is not there is removed already, as everywhere in
the library; a single path is looked at first, because it may be a directory."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

from storage_core.aio import AsyncBucket
from storage_core.errors import InvalidRequestError
from storage_core.fs import paths
from storage_core.fs.listing import bucket_of, describe, together
from storage_core.fs.paths import Place
from storage_core.fs.storages import Storages


async def checked(storages: Storages, path: str) -> None:
    """Refuse to remove, without recursion, what is not an object.

    Raises:
        FileNotFoundError: nothing is there.
        IsADirectoryError: it is a directory.
    """
    entry = await describe(storages, paths.place(path), None)
    if entry["type"] == "directory":
        raise IsADirectoryError(errno.EISDIR, "a directory; remove it with recursive=True", path)


async def objects(storages: Storages, found: Iterable[str]) -> None:
    """Remove the objects of these paths, if they are there."""
    by_bucket: dict[Place, list[str]] = {}
    for path in found:
        place = paths.object_at(path)
        by_bucket.setdefault(place._replace(key=""), []).append(place.key)
    for place, keys in by_bucket.items():
        await delete_keys(await bucket_of(storages, place), keys)


async def trees(storages: Storages, places: Iterable[Place]) -> None:
    """Remove objects and all below them, and buckets with all that is in them.

    Raises:
        InvalidRequestError: one is a profile.
    """
    found = list(places)
    for place in found:
        if not place.bucket:
            name = place.profile or "the root"
            raise InvalidRequestError(f"{name} is no bucket: profiles are not removed")
    await objects(storages, (place.path for place in found if place.key))
    await together(_below(storages, place) for place in found)


async def _below(storages: Storages, place: Place) -> None:
    if not place.key:
        await (await storages.get(place.profile)).delete_bucket(place.bucket, force=True)
        return
    bucket = await bucket_of(storages, place)
    async for page in bucket.list(f"{place.key}/").pages():
        await delete_keys(bucket, [item.key for item in page.items])


async def directory(storages: Storages, place: Place) -> None:
    """Remove an empty bucket, or what marks an empty directory.

    Raises:
        OSError: it is not empty (ENOTEMPTY).
        FileNotFoundError: there is no such bucket.
    """
    if not place.bucket:
        raise InvalidRequestError("profiles are not removed")
    if not place.key:
        await (await storages.get(place.profile)).delete_bucket(place.bucket)
        return
    bucket, mark = await bucket_of(storages, place), f"{place.key}/"
    marked = False
    async for item in bucket.list(mark, page_size=2):
        if item.key != mark:
            raise OSError(errno.ENOTEMPTY, "the directory is not empty", place.path)
        marked = True
    if marked:
        await bucket.delete(mark)


async def delete_keys(bucket: AsyncBucket, keys: Sequence[str]) -> None:
    """Delete them all; what failed is told when the others are gone.

    Raises:
        StorageError: of the first key that could not be deleted, with the number of all.
    """
    if not keys:
        return
    failed = [result.error for result in await bucket.delete_many(keys) if result.error]
    if failed:
        failed[0].add_note(f"{len(failed)} of {len(keys)} objects could not be deleted")
        raise failed[0]
