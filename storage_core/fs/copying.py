"""Copies and moves of single objects, inside a service or between two profiles."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from storage_core.aio import AsyncBucket
from storage_core.errors import ObjectChangedError, ObjectNotFoundError, PreconditionFailedError
from storage_core.fs import paths
from storage_core.fs.listing import bucket_of, is_directory, together
from storage_core.fs.paths import Place
from storage_core.fs.removing import delete_keys
from storage_core.fs.storages import Storages


@dataclass(frozen=True, slots=True)
class Origin:
    """An object that was copied, as it was."""

    bucket: AsyncBucket
    key: str
    etag: str


Copied: TypeAlias = list[Origin] | None


async def copy_file(
    storages: Storages,
    source: Place,
    target_path: str | os.PathLike[str],
    copied: Copied,
    move: bool,
) -> None:
    """Copy an object; of a directory, its mark if it has one.

    Args:
        storages: Where both are.
        source: What to copy.
        target_path: Where to.
        copied: Gets what was copied.
        move: Move instead, which some profiles do in one step.

    Raises:
        FileNotFoundError: there is nothing to copy, or no bucket to copy to.
    """
    if not source.key:
        return  # buckets are not made by copying
    target = paths.object_at(target_path)
    origin, goal = await bucket_of(storages, source), await bucket_of(storages, target)
    if move:
        await origin.move(source.key, target.key, target=goal)
    elif source != target:
        try:
            await _copy(origin, source.key, goal, target.key, copied)
        except ObjectNotFoundError:
            if not await is_directory(storages, source):
                raise
            await _copy_mark(origin, source.key, goal, target.key, copied)


async def _copy(
    origin: AsyncBucket, key: str, goal: AsyncBucket, target_key: str, copied: Copied
) -> None:
    if copied is None:
        await origin.copy(key, target_key, target=goal)
        return
    etag = (await origin.head(key)).etag
    pinned = etag if origin.storage.capabilities.allows("copy_source", "if_match") else None
    await origin.copy(key, target_key, target=goal, source_if_match=pinned)
    copied.append(Origin(origin, key, etag))


async def _copy_mark(
    origin: AsyncBucket, key: str, goal: AsyncBucket, target_key: str, copied: Copied
) -> None:
    with suppress(ObjectNotFoundError):  # without one it is by what lies in it alone
        await _copy(origin, f"{key}/", goal, f"{target_key}/", copied)


async def remove(copied: list[Origin]) -> None:
    """Delete what was moved away, as far as it is still what was copied.

    Raises:
        ObjectChangedError: some of it is not; it stays.
    """
    apart: dict[AsyncBucket, list[str]] = {}
    pinned = []
    for origin in copied:
        if origin.bucket.storage.capabilities.allows("delete", "if_match"):
            pinned.append(origin)
        else:
            apart.setdefault(origin.bucket, []).append(origin.key)
    await together(_remove_same(origin) for origin in pinned)
    for bucket, keys in apart.items():
        await delete_keys(bucket, keys)


async def _remove_same(origin: Origin) -> None:
    try:
        await origin.bucket.delete(origin.key, if_match=origin.etag)
    except PreconditionFailedError as error:
        raise ObjectChangedError(
            "the object was replaced while it was being moved: the target has the old one, the"
            " new one stays",
            operation="move",
            bucket=origin.bucket.name,
            key=origin.key,
        ) from error
