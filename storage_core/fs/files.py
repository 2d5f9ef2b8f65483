"""Open files: fsspec's buffering around reads of one object and around a `Sink`."""

from __future__ import annotations

import asyncio
import io
import warnings
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from fsspec.asyn import AbstractAsyncStreamedFile, sync
from fsspec.spec import AbstractBufferedFile, reopen

from storage_core.aio import AsyncBucket
from storage_core.fs import entries
from storage_core.fs.reading import read_pinned
from storage_core.fs.writing import Sink
from storage_core.model import ObjectInfo

if TYPE_CHECKING:
    from types import TracebackType

    from storage_core.fs.filesystem import StorageFileSystem


class Source:
    """An object opened for reading: what it is, and its first bytes."""

    __slots__ = ("bucket", "first", "info", "root")

    def __init__(self, root: str, bucket: AsyncBucket, info: ObjectInfo, first: bytes) -> None:
        self.root = root
        self.bucket = bucket
        self.info = info
        self.first = first

    def known(self, start: int, end: int) -> bytes | None:
        """Bytes that came with the opening."""
        return self.first[start:end] if end <= len(self.first) else None

    async def read(self, start: int, end: int) -> bytes:
        """A range.

        Raises:
            ObjectChangedError: the object is not the one that was opened.
        """
        found = self.known(start, end)
        return await read_pinned(self.bucket, self.info, start, end) if found is None else found


class StorageFile(AbstractBufferedFile):  # type: ignore[misc]
    """An object as a binary file.

    Reading, it is the object as it was when the file was opened: one that is replaced
    meanwhile ends the reading with `ObjectChangedError`, in another process too. Writing, the
    object appears at `close` (or at the end of the transaction), whole; a ``with`` block that
    an exception leaves publishes nothing, nor does a file that is dropped without `close`.
    """

    forced: bool
    closed: bool

    def __init__(
        self,
        fs: StorageFileSystem,
        path: str,
        mode: str,
        target: Source | Sink,
        *,
        block_size: int | None = None,
        autocommit: bool = True,
        cache_type: str = "readahead",
        cache_options: dict[str, Any] | None = None,
    ) -> None:
        size = None
        self._target = target
        if isinstance(target, Source):
            size = target.info.size
            self._details = entries.of_info(target.root, target.info)
        super().__init__(
            fs,
            path,
            mode,
            block_size or "default",
            autocommit,
            cache_type,
            dict(cache_options or {}),
            size,
        )
        if isinstance(target, Sink) and target.before is not None:
            self.loc = target.before.size

    # --- reading ----------------------------------------------------------------------

    @property
    def _source(self) -> Source:
        assert isinstance(self._target, Source)
        return self._target

    def _fetch_range(self, start: int, end: int) -> bytes:
        end = min(end, self.size)  # some of fsspec's caches ask for whole blocks
        found = self._source.known(start, end)
        if found is not None or start >= end:
            return found or b""
        return sync(self.fs.loop, self._source.read, start, end)  # type: ignore[no-any-return]

    def readline(self, size: int | None = -1, /) -> bytes:
        """The rest of the line, or ``size`` bytes of it at most."""
        if size is None or size < 0:
            return super().readline()  # type: ignore[no-any-return]
        start = self.tell()
        line = self.read(size)
        end = line.find(b"\n") + 1
        if end:
            line = line[:end]
            self.seek(start + end)
        return line  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.readable():
            raise TypeError("a file that is open for writing can not be pickled")
        info = self._source.info
        place = (self.fs, self.path, self.mode, self.blocksize, self.loc, self.size)
        same = {"version": info.version, "etag": info.etag}
        return reopen, (*place, self.autocommit, self.cache.name, same)

    # --- writing ----------------------------------------------------------------------

    @property
    def _sink(self) -> Sink:
        assert isinstance(self._target, Sink)
        return self._target

    def _upload_chunk(self, final: bool = False) -> bool:
        data = self.buffer.getvalue()
        if data:
            sync(self.fs.loop, self._sink.write, data)
        if final and self.autocommit:
            sync(self.fs.loop, self._sink.commit)
        return True

    def commit(self) -> None:
        """Publish the object; for files of a transaction, whose end calls it."""
        if not self.forced:
            self.flush(force=True)
        if not self.autocommit:
            sync(self.fs.loop, self._sink.commit)
        self.closed = True

    def discard(self) -> None:
        """Drop what was written; may be called twice."""
        self.forced = self.closed = True
        self.buffer = io.BytesIO()
        sync(self.fs.loop, self._sink.abort)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and self.writable():
            self.discard()
        self.close()

    def __del__(self) -> None:
        if self.closed:
            return
        self.closed = True
        if isinstance(getattr(self, "_target", None), Sink):
            _abandon(self, self.fs.loop, self._sink)


class PackedFile(io.BufferedIOBase):
    """A `StorageFile` through a compression, which closes with it.

    Args:
        outer: What packs or unpacks.
        inner: Where the packed bytes are.
    """

    def __init__(self, outer: IO[bytes], inner: StorageFile) -> None:
        self._outer = outer
        self._inner = inner

    def readable(self) -> bool:
        return not self.closed and bool(self._inner.readable())

    def writable(self) -> bool:
        return not self.closed and bool(self._inner.writable())

    def seekable(self) -> bool:
        return self._outer.seekable()

    def read(self, size: int | None = -1, /) -> bytes:
        return self._outer.read(-1 if size is None else size)

    read1 = read

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._outer.readline(-1 if size is None else size)

    def write(self, data: Any, /) -> int:
        return self._outer.write(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._outer.seek(offset, whence)

    def tell(self) -> int:
        return self._outer.tell()

    def close(self) -> None:
        """Close both; what was written is published."""
        if not self.closed:
            self._outer.close()
            self._inner.close()
            super().close()

    def discard(self) -> None:
        """Drop what was written."""
        self._inner.discard()
        with suppress(ValueError):  # the rest of the packed bytes has nowhere to go
            self._outer.close()
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and self.writable():
            self.discard()
        self.close()

    def __del__(self) -> None:
        """Without this the file would be closed, and what was written published."""


class TextFile(io.TextIOWrapper):
    """A `StorageFile` as text. A ``with`` block that an exception leaves publishes nothing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        file: Any = self.buffer
        if kind is not None and file.writable():
            file.discard()
        else:
            self.close()

    def __del__(self) -> None:
        """As that of `PackedFile`: the file below says what becomes of it."""


def packed(file: StorageFile, compression: str) -> StorageFile | PackedFile:
    """The file through a compression, one of those fsspec knows or "infer".

    Raises:
        ValueError: fsspec knows none of this name.
    """
    from fsspec.compression import compr
    from fsspec.core import get_compression

    name = get_compression(file.path, compression)
    if name is None:
        return file  # "infer", and the name tells none
    return PackedFile(compr[name](file, mode=file.mode[0]), file)


class AsyncStorageFile(AbstractAsyncStreamedFile):  # type: ignore[misc]
    """A `StorageFile` whose `read`, `write` and `close` are coroutines."""

    def __init__(self, fs: StorageFileSystem, path: str, mode: str, target: Source | Sink) -> None:
        self._target = target
        size = None
        if isinstance(target, Source):
            size = target.info.size
            self._details = entries.of_info(target.root, target.info)
        mode = "wb" if mode == "xb" else mode  # the base class knows no other way to write
        super().__init__(fs, path, mode, cache_type="none", size=size)
        if isinstance(target, Sink) and target.before is not None:
            self.loc = target.before.size

    async def _fetch_range(self, start: int, end: int) -> bytes:
        assert isinstance(self._target, Source)
        end = min(end, self.size)
        return await self._target.read(start, end) if start < end else b""

    async def _upload_chunk(self, final: bool = False) -> bool:
        assert isinstance(self._target, Sink)
        if data := self.buffer.getvalue():
            await self._target.write(data)
        if final:
            await self._target.commit()
        return True

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and isinstance(self._target, Sink):
            self.closed = True
            await self._target.abort()
        await self.close()

    def __del__(self) -> None:
        if self.closed:
            return
        self.closed = True
        if isinstance(self._target, Sink):
            with suppress(RuntimeError):
                _abandon(self, asyncio.get_running_loop(), self._target)


def _abandon(file: object, loop: asyncio.AbstractEventLoop | None, sink: Sink) -> None:
    """Drop what nobody will publish, without waiting."""
    warnings.warn(f"{file!r} was not closed: nothing is published", ResourceWarning, stacklevel=3)
    if loop is not None and loop.is_running():
        asyncio.run_coroutine_threadsafe(sink.abort(), loop)
