"""`StorageFileSystem`: the profiles of a configuration as one filesystem of fsspec."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from glob import has_magic
from typing import Any

from fsspec.asyn import sync, sync_wrapper
from fsspec.callbacks import DEFAULT_CALLBACK, Callback

from storage_core.errors import ObjectNotFoundError, UnsupportedError
from storage_core.fs import copying, paths, reading, removing, transfer
from storage_core.fs.directories import Directories, Path
from storage_core.fs.files import (
    AsyncStorageFile,
    Source,
    StorageFile,
    TextFile,
    packed,
)
from storage_core.fs.writing import Headers, Sink, create_only, exclusive
from storage_core.model import Method


class StorageFileSystem(Directories):
    """``storage://profile/bucket/key``: buckets and objects of the configured profiles.

    A path always begins with the profile. Its buckets are the directories below it, and
    prefixes that end with a slash those below a bucket. Nothing that was listed is kept, so
    nothing is ever stale.

    Args:
        config: Path of a configuration, or profiles by their names, such as
            ``{"dev": {"driver": "local", "root": "data"}}``. Without it a configuration is
            looked for as `storage_core.open` does.
        asynchronous: Use the coroutines (``_cat_file`` and so on) on a loop of the caller's.
        loop: Where the plain methods run them; fsspec's own loop by default.
        batch_size: Objects that one call on many works on at a time.
        use_listings_cache: Taken for programs that switch caches off; there is none.
        skip_instance_cache: Make a filesystem of one's own. Otherwise fsspec hands out the one
            it made before for the same options.

    Raises:
        ConfigError: ``config`` is not as it must be. A profile is opened when it is first
            used, and what is wrong with it is told then.
    """

    # --- reading ----------------------------------------------------------------------

    async def _cat_file(
        self,
        path: Path,
        start: int | None = None,
        end: int | None = None,
        version: str | None = None,
    ) -> bytes:
        place = paths.object_at(path)
        return await reading.cat(await self._bucket(place), place.key, start, end, version)

    async def _get_file(
        self,
        rpath: Path,
        lpath: Any,
        callback: Callback = DEFAULT_CALLBACK,
        version: str | None = None,
    ) -> None:
        await transfer.get_file(self._storages, paths.place(rpath), lpath, callback, version)

    async def _get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        batch_size: int | None = None,
        version: str | None = None,
    ) -> None:
        if not isinstance(lpath, list):

            async def is_folder(path: str) -> bool:
                return await asyncio.to_thread(os.path.isdir, path)

            rpath, lpath = await self._literal(rpath, lpath, is_folder)
        await super()._get(
            rpath,
            lpath,
            recursive,
            callback,
            maxdepth,
            batch_size=batch_size or self.batch_size,
            version=version,
        )

    # --- patterns that are names ------------------------------------------------------

    async def _is_pattern(self, path: Path) -> bool:
        """Whether a path is a pattern, and not what exists by this very name."""
        text = paths.strip(path)
        return has_magic(text) and not await self._exists(text)

    async def _expand_path(
        self,
        path: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        assume_literal: bool = False,
    ) -> list[str]:
        """As fsspec's, but that what exists by its very name is no pattern."""
        several: Sequence[Any] = path if isinstance(path, list) else [path]
        given = [paths.strip(one) for one in several]
        if not assume_literal:
            names = [one for one in given if has_magic(one) and await self._exists(one)]
            given = [one for one in given if one not in names]
        else:
            given, names = [], given
        found: set[str] = set()
        for some, literal in ((given, False), (names, True)):
            if some:
                found.update(await super()._expand_path(some, recursive, maxdepth, literal))
        return sorted(found)

    async def _literal(
        self, source: Any, target: Any, is_folder: Callable[[str], Awaitable[bool]]
    ) -> tuple[Any, Any]:
        """Source and target of a transfer as lists, if the source looks like a pattern and is
        an object's name: fsspec would take it for the pattern when it names the target."""
        if isinstance(source, list) or not has_magic(paths.strip(source)):
            return source, target
        if not await self._isfile(source):
            return source, target
        text = os.fspath(target)
        if text.endswith("/") or await is_folder(text):
            text = f"{text.rstrip('/')}/{paths.strip(source).rpartition('/')[2]}"
        return [source], [text]

    # --- writing ----------------------------------------------------------------------

    async def _pipe_file(
        self,
        path: Path,
        value: Any,
        mode: str = "overwrite",
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        place = paths.object_at(path)
        only_new = create_only(mode)
        bucket = await self._bucket(place)
        with exclusive(str(path), only_new):
            await bucket.put(
                place.key,
                value,
                content_type=content_type,
                metadata=metadata,
                if_absent=only_new,
            )

    async def _put_file(
        self,
        lpath: Path,
        rpath: Path,
        callback: Callback = DEFAULT_CALLBACK,
        mode: str = "overwrite",
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        only_new = create_only(mode)
        if await asyncio.to_thread(os.path.isdir, lpath):
            await self._makedirs(rpath, exist_ok=True)
            return
        place = paths.object_at(rpath)
        bucket = await self._bucket(place)
        headers = Headers(content_type, metadata)
        with exclusive(str(rpath), only_new):
            await transfer.put_file(bucket, lpath, place.key, callback, headers, only_new)

    async def _cp_file(
        self, path1: Path, path2: Path, copied: copying.Copied = None, move: bool = False
    ) -> None:
        source = paths.place(path1)
        await copying.copy_file(self._storages, source, path2, copied, move)

    async def _copy(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        on_error: str | None = None,
        maxdepth: int | None = None,
        batch_size: int | None = None,
        copied: copying.Copied = None,
        move: bool = False,
    ) -> None:
        if isinstance(path2, str | os.PathLike):
            path1, path2 = await self._literal(path1, paths.text(path2), self._isdir)
        # Left to itself fsspec passes over all that is missing when it copies a tree, a missing
        # target bucket too.
        how = on_error or "raise"
        await super()._copy(
            path1, path2, recursive, how, maxdepth, batch_size, copied=copied, move=move
        )

    async def _mv(
        self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None
    ) -> None:
        """Move an object; or copy several and then remove what was copied, nothing else."""
        single = not recursive and not isinstance(path1, list)
        if single and not await self._is_pattern(path1):
            if await self._isdir(path1):
                raise IsADirectoryError(
                    errno.EISDIR, "a directory; move it with recursive=True", str(path1)
                )
            await self._copy(path1, path2, move=True)
            return
        copied: list[copying.Origin] = []
        await self._copy(path1, path2, recursive, maxdepth=maxdepth, copied=copied)
        await copying.remove(copied)

    mv = sync_wrapper(_mv)

    async def _rm_file(self, path: Path) -> None:
        place = paths.object_at(path)
        await (await self._bucket(place)).delete(place.key)

    async def _rm(
        self,
        path: Path | list[Path],
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
    ) -> None:
        """Remove objects, or with ``recursive`` directories and buckets too. What is not there
        is removed already, but for a single path without ``recursive``."""
        given = [paths.strip(one) for one in (path if isinstance(path, list) else [path])]
        if maxdepth is not None and recursive:
            found = await self._expand_path(given, recursive=True, maxdepth=maxdepth)
            await removing.objects(self._storages, [one for one in found if paths.place(one).key])
            return
        patterns = [one for one in given if await self._is_pattern(one)]
        exact = [one for one in given if one not in patterns]
        if patterns:
            exact += await self._expand_path(patterns)
        elif not isinstance(path, list) and not recursive:
            await removing.checked(self._storages, exact[0])
        if recursive:
            await removing.trees(self._storages, [paths.place(one) for one in exact])
        else:
            await removing.objects(self._storages, exact)

    # --- files ------------------------------------------------------------------------

    async def _source(self, path: Path, version: str | None, etag: str | None) -> Source:
        place = paths.object_at(path)
        bucket = await self._bucket(place)
        info, first = await reading.open_pinned(bucket, place.key, version, etag)
        return Source(place.root, bucket, info, first)

    async def _sink(self, path: Path, mode: str, headers: Headers) -> Sink:
        place = paths.object_at(path)
        bucket = await self._bucket(place)
        sink = Sink(bucket, place.key, str(path), headers, only_new=mode == "xb")
        if mode == "xb" and await bucket.exists(place.key):
            raise FileExistsError(errno.EEXIST, "the object exists", str(path))
        if mode == "ab":
            try:
                sink.before = await bucket.head(place.key)
            except ObjectNotFoundError:
                sink.only_new = bucket.storage.capabilities.allows("put", "if_absent")
        return sink

    async def _target(
        self, path: Path, mode: str, version: str | None, etag: str | None, headers: Headers
    ) -> Source | Sink:
        if mode == "rb":
            return await self._source(path, version, etag)
        if mode in {"wb", "xb", "ab"}:
            return await self._sink(path, mode, headers)
        raise UnsupportedError(
            f"mode {mode!r} is none of rb, wb, xb and ab: objects are replaced as a whole"
        )

    def _open(
        self,
        path: Path,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        cache_type: str = "readahead",
        size: int | None = None,
        version: str | None = None,
        etag: str | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> StorageFile:
        """Open an object as a binary file.

        Args:
            path: Of the object.
            mode: ``rb``, ``wb``, ``xb`` (it must not exist) or ``ab`` (sends all of it again).
            block_size: Bytes read ahead, or collected before they are sent; 5 MiB by default.
            autocommit: Publish at `close`, and not at the end of a transaction.
            cache_options: For the cache.
            cache_type: One of fsspec's read caches.
            size: Taken for programs that know it; the opening tells it anyway.
            version: Version to read.
            etag: Read this very object or fail.
            content_type: Of what is written.
            metadata: Of what is written.
        """
        headers = Headers(content_type, metadata)
        target = sync(self.loop, self._target, path, mode, version, etag, headers)
        return StorageFile(
            self,
            paths.strip(path),
            mode,
            target,
            block_size=block_size,
            autocommit=autocommit,
            cache_type=cache_type,
            cache_options=cache_options,
        )

    def open(
        self,
        path: Path,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        **options: Any,
    ) -> Any:
        """As fsspec's, for bytes and text; ``options`` are those of `_open`."""
        text = "b" not in mode
        binary = mode.replace("t", "") + "b" if text else mode
        file = super().open(path, binary, block_size, cache_options, **options)
        if compression is not None:
            file = packed(file, compression)
        return TextFile(file, encoding, errors, newline) if text else file

    async def open_async(
        self,
        path: Path,
        mode: str = "rb",
        version: str | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncStorageFile:
        """Open an object as a binary file whose `read`, `write` and `close` are coroutines."""
        headers = Headers(content_type, metadata)
        target = await self._target(path, mode, version, None, headers)
        return AsyncStorageFile(self, paths.strip(path), mode, target)

    # --- links ------------------------------------------------------------------------

    async def _sign(
        self, path: Path, expiration: int = 100, method: Method = "GET", version: str | None = None
    ) -> str:
        """A presigned link.

        Args:
            path: Of the object.
            expiration: Seconds it is good for.
            method: What its holder may do.
            version: Version it is for.

        Raises:
            UnsupportedError: the holder has to send headers too, which no URL holds; use
                `storage_core.Bucket.presign`.
        """
        place = paths.object_at(path)
        bucket = await self._bucket(place)
        link = await bucket.presign(
            place.key, method=method, expires_in=expiration, version=version
        )
        if link.headers:
            raise UnsupportedError(
                f"the link needs the headers {', '.join(link.headers)}; use Bucket.presign"
            )
        return link.url

    sign = sync_wrapper(_sign)
