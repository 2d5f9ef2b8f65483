"""`Reader` of the async face."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterator, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from storage_core.core.reader import CHUNK, ReaderCore
from storage_core.model import ObjectInfo
from storage_core.runtime import AsyncRuntime

if TYPE_CHECKING:
    from types import TracebackType

    from storage_core.streams import FileSlice


class AsyncReader:
    """The bytes of one `Bucket.get`: a readable binary file that can not seek.

    A whole object is verified: when the last byte does not complete its checksum,
    `IntegrityError` is raised instead of returning it. A reader sees the object as it was
    when it was opened, or fails with `ObjectChangedError`.
    """

    __slots__ = ("_core", "_run")

    def __init__(self, runtime: AsyncRuntime, core: ReaderCore) -> None:
        self._run = runtime.run
        self._core = core

    @property
    def info(self) -> ObjectInfo:
        """As `storage_core.Reader.info`."""
        return self._core.info

    @property
    def start(self) -> int:
        """As `storage_core.Reader.start`."""
        return self._core.start

    @property
    def length(self) -> int:
        """As `storage_core.Reader.length`."""
        return self._core.length

    @property
    def position(self) -> int:
        """As `storage_core.Reader.position`."""
        return self._core.position

    @property
    def file(self) -> FileSlice | None:
        """As `storage_core.Reader.file`."""
        return self._core.file

    async def read(self, size: int = -1) -> bytes:
        """As `storage_core.Reader.read`."""
        data = self._core.read_memory(size)
        if data is not None:
            return data
        try:
            return await self._run(self._core.read(size))
        except CancelledError:
            self._core.interrupted()
            raise

    async def readinto(self, buffer: bytearray | memoryview) -> int:
        """As `storage_core.Reader.readinto`."""
        view = memoryview(buffer).cast("B")
        data = self._core.read_memory(len(view))
        if data is not None:
            view[: len(data)] = data
            return len(data)
        try:
            return await self._run(self._core.readinto(view))
        except CancelledError:
            self._core.interrupted()
            raise

    @property
    def closed(self) -> bool:
        """As `storage_core.Reader.closed`."""
        return self._core.closed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks of up to 256 KiB."""
        while chunk := await self.read(CHUNK):
            yield chunk

    async def close(self) -> None:
        """As `storage_core.Reader.close`."""
        if not self._core.close_now():
            await self._run(self._core.close())

    async def __aenter__(self) -> AsyncReader:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._core.close_now():
            await self._run(self._core.close())

    def __repr__(self) -> str:
        return f"<AsyncReader {self.info.key!r} at {self.position} of {self.length}>"


class OpeningReader:
    """What `AsyncBucket.get` returns: ``await`` it, or enter it by ``async with``."""

    __slots__ = ("_coroutine", "_reader")

    def __init__(self, coroutine: Coroutine[Any, Any, AsyncReader]) -> None:
        self._coroutine = coroutine
        self._reader: AsyncReader | None = None

    async def _open(self) -> AsyncReader:
        self._reader = await self._coroutine
        return self._reader

    def __await__(self) -> Generator[Any, None, AsyncReader]:
        return self._coroutine.__await__()

    async def __aenter__(self) -> AsyncReader:
        return await self._open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reader is not None:
            await self._reader.close()
