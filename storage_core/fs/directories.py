"""What a filesystem knows: its paths, what lies where, and when it was written."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, TypeAlias, cast

from fsspec.asyn import AsyncFileSystem, get_loop, sync_wrapper

from storage_core.aio import AsyncBucket
from storage_core.errors import (
    BucketNotFoundError,
    ConfigError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    UnsupportedError,
)
from storage_core.fs import entries, listing, paths, removing
from storage_core.fs.entries import Entry
from storage_core.fs.paths import Place
from storage_core.fs.storages import ConfigSource, Storages, checked_config
from storage_core.fs.writing import emptied, exclusive

Path: TypeAlias = str | os.PathLike[str]


class _Placed(type(AsyncFileSystem)):  # type: ignore[misc]
    """Makes a relative path of a configuration absolute before fsspec looks for an instance it
    made before: another folder has another configuration, and so may another process."""

    def __call__(cls, config: ConfigSource = None, **options: Any) -> Any:
        if config is not None:
            options["config"] = checked_config(config)
        return super().__call__(**options)


class Directories(AsyncFileSystem, metaclass=_Placed):  # type: ignore[misc]
    """The part of `StorageFileSystem` that reads and writes no object."""

    protocol = paths.PROTOCOL
    root_marker = ""
    _pid: int
    _loop: asyncio.AbstractEventLoop | None

    def __init__(
        self,
        config: ConfigSource = None,
        *,
        asynchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        batch_size: int | None = None,
        use_listings_cache: bool = False,
        skip_instance_cache: bool = False,
    ) -> None:
        if use_listings_cache:
            raise ConfigError("use_listings_cache: this filesystem keeps no listings")
        super().__init__(
            asynchronous=asynchronous,
            loop=loop,
            batch_size=batch_size,
            use_listings_cache=False,
        )
        self._storages = Storages(checked_config(config))

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop of the plain methods; in a forked child another one."""
        pid = os.getpid()
        if self._pid != pid:
            self._pid, self._loop = pid, None if self.asynchronous else get_loop()
        return self._loop

    async def _close(self) -> None:
        """Close what is open on the running loop; the next call opens it again. Not needed
        with `asyncio.run`, which does it at its end, nor at the end of the process."""
        await self._storages.close()

    close = sync_wrapper(_close)

    # --- paths ------------------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return paths.strip(path)

    @classmethod
    def _parent(cls, path: Path) -> str:
        return paths.parent(path)

    async def _bucket(self, place: Place) -> AsyncBucket:
        return await listing.bucket_of(self._storages, place)

    # --- directories ------------------------------------------------------------------

    async def _ls(
        self, path: Path, detail: bool = True, refresh: bool = False
    ) -> list[Entry] | list[str]:
        found = await listing.children(self._storages, paths.place(path))
        return found if detail else [entry["name"] for entry in found]

    async def _info(self, path: Path, version: str | None = None, refresh: bool = False) -> Entry:
        return await listing.describe(self._storages, paths.place(path), version)

    async def _exists(self, path: Path, version: str | None = None, refresh: bool = False) -> bool:
        try:
            await self._info(path, version)
        except (NotFoundError, InvalidRequestError):
            return False
        return True

    async def _isdir(self, path: Path) -> bool:
        try:
            if not await listing.is_directory(self._storages, paths.place(path)):
                return False
            return not await self._isfile(path)
        except (NotFoundError, InvalidRequestError):
            return False

    async def _isfile(self, path: Path) -> bool:
        try:
            place = paths.place(path)
            return bool(place.key) and await (await self._bucket(place)).exists(place.key)
        except (NotFoundError, InvalidRequestError):
            return False

    async def _find(
        self,
        path: Path,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        prefix: str = "",
        refresh: bool = False,
    ) -> dict[str, Entry] | list[str]:
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        place = paths.place(path)
        found = await listing.find(self._storages, place, maxdepth, withdirs, prefix)
        return found if detail else list(found)

    async def _walk(
        self,
        path: Path,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: Literal["omit", "raise"] | Callable[[OSError], None] = "omit",
        detail: bool = False,
        refresh: bool = False,
    ) -> AsyncIterator[tuple[str, Any, Any]]:
        handle = _only_missing if on_error == "omit" else on_error
        async for level in super()._walk(path, maxdepth, topdown, handle, detail=detail):
            yield level

    async def _du(
        self,
        path: Path,
        total: bool = True,
        maxdepth: int | None = None,
        withdirs: bool = False,
    ) -> int | dict[str, int]:
        place = paths.place(path)
        found = await listing.find(self._storages, place, maxdepth, withdirs, "")
        sizes = {name: int(entry["size"]) for name, entry in found.items()}
        return sum(sizes.values()) if total else sizes

    async def _mkdir(
        self, path: Path, create_parents: bool = True, mode: int | None = None
    ) -> None:
        """Make a bucket. Below one there is nothing to make, and no bucket is made for it;
        ``mode`` is for systems with permissions."""
        place = paths.place(path)
        if place.key:
            return
        with exclusive(str(path)):
            if not place.bucket:
                _ = await self._storages.get(place.profile)
                raise FileExistsError(errno.EEXIST, "a profile is no folder to make", str(path))
            await (await self._storages.get(place.profile)).create_bucket(place.bucket)

    async def _makedirs(self, path: Path, exist_ok: bool = False) -> None:
        """Make a bucket; with ``exist_ok`` see that it is there. Libraries ask for that before
        they write anything, and a name that is misspelt must not become a bucket.

        Raises:
            BucketNotFoundError: there is none, and ``exist_ok`` says to go on with it.
        """
        if not exist_ok:
            await self._mkdir(path)
            return
        place = paths.place(path)
        if place.key or not place.profile:
            return
        storage = await self._storages.get(place.profile)
        with suppress(PermissionDeniedError):  # who may write need not be allowed to look
            if place.bucket and not await storage.bucket_exists(place.bucket):
                raise BucketNotFoundError(
                    "there is no bucket of this name; mkdir makes one, and nothing else does on"
                    " the way to an object",
                    operation="makedirs",
                    bucket=place.bucket,
                )

    async def _rmdir(self, path: Path) -> None:
        """Remove a bucket, or the mark of a directory, if it is empty."""
        with emptied(str(path)):
            await removing.directory(self._storages, paths.place(path))

    rmdir = sync_wrapper(_rmdir)

    # --- what else is known of an object ----------------------------------------------

    async def _modified(self, path: Path) -> datetime:
        """When the object was written."""
        entry = await self._info(path)
        if "LastModified" not in entry:
            raise UnsupportedError(f"{path!r} is a directory, whose time is not known")
        return cast("datetime", entry["LastModified"])

    modified = sync_wrapper(_modified)

    async def _created(self, path: Path) -> datetime:
        """When the bucket was made, or the object: written as a whole, it was when it was
        written last."""
        entry = await self._info(path)
        if "created" in entry:
            return cast("datetime", entry["created"])
        return await self._modified(path)

    created = sync_wrapper(_created)

    def ukey(self, path: Path) -> str:
        """A text that is another one after every write of the object."""
        return sha256(repr(entries.mark(self.info(path))).encode()).hexdigest()

    def checksum(self, path: Path) -> int:
        """As `ukey`, as a number."""
        return int(self.ukey(path), 16)


def _only_missing(error: OSError) -> None:
    """What a walk leaves out: directories that are gone, and not those it may not see."""
    if not isinstance(error, FileNotFoundError):
        raise error
