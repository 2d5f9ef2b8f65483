"""Whether a worker sees the same folders and buckets as the client.

A path, and a profile on local disk, may mean something else on another machine. Where it does,
a transfer would end in many places at once, or delete what another disk does not have. So the
client leaves a mark, and each worker looks for it before it takes part.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from storage_core.blocking.bucket import Bucket
from storage_core.blocking.tree import Tree
from storage_core.errors import (
    BucketNotFoundError,
    ConfigError,
    PermissionDeniedError,
    UnsupportedError,
)


@dataclass(frozen=True, slots=True)
class FolderMark:
    """Path of a file that is there as long as the operation lasts; None if none is looked for."""

    path: str | None


@dataclass(frozen=True, slots=True)
class BucketMark:
    """The moment a bucket was made; None where its service does not tell."""

    created: datetime | None


Mark: TypeAlias = FolderMark | BucketMark


@contextmanager
def marked(place: Tree | Path, *, make: bool | None, trust: bool) -> Iterator[Mark]:
    """Mark a side for as long as the operation lasts.

    Args:
        place: The side.
        make: Make the folder if there is none; None if it need not be there.
        trust: Leave no file in a folder, and look for none.

    Raises:
        BucketNotFoundError: there is no such bucket.
        ConfigError: no file can be left in the folder.
        OSError: there is no such folder.
    """
    if isinstance(place, Tree):
        yield BucketMark(_created(place.bucket))
        return
    if make:
        place.mkdir(parents=True, exist_ok=True)
    elif make is not None and not place.is_dir():
        raise NotADirectoryError(f"there is no folder {str(place)!r} on this machine")
    if trust:
        yield FolderMark(None)
        return
    there = next(folder for folder in (place, *place.parents) if folder.is_dir())
    # Transfers of trees leave out names of this kind.
    mark = there / f".storage-core-{secrets.token_hex(8)}.storage-part"
    try:
        mark.touch()
    except OSError as error:
        raise ConfigError(
            f"whether the workers see the folder {str(place)!r} can not be found out, because no"
            f" file can be left in it ({error.strerror}); give the engine shared_folders=True if"
            " they do"
        ) from error
    try:
        yield FolderMark(str(mark))
    finally:
        with suppress(OSError):
            mark.unlink()


def check_mark(place: Tree | Path, mark: Mark) -> None:
    """Look, on a worker, for the mark of a side.

    Raises:
        ConfigError: the side is another one here.
    """
    if isinstance(place, Tree) and isinstance(mark, BucketMark):
        bucket = place.bucket
        try:
            created = _created(bucket)
        except BucketNotFoundError as error:
            raise _other_bucket(bucket, "has no such bucket here") from error
        if mark.created is not None and created != mark.created:
            raise _other_bucket(bucket, "has another bucket of this name here")
    elif isinstance(mark, FolderMark) and mark.path is not None and not Path(mark.path).exists():
        raise ConfigError(
            f"the folder {str(place)!r} is not the one that the client sees; a folder can take"
            " part only where all workers share it, by a network file system"
        )


def _created(bucket: Bucket) -> datetime | None:
    try:
        return bucket.info().created
    except (PermissionDeniedError, UnsupportedError):
        return None


def _other_bucket(bucket: Bucket, what: str) -> ConfigError:
    storage = bucket.storage
    return ConfigError(
        f"the profile {storage.profile!r} ({storage.driver.describe()}) {what}, {bucket.name!r}."
        " What a profile holds in memory or on a local disk is out of reach for other machines"
        " and processes, unless it is a disk that they share"
    )
