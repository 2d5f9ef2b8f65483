"""`AsyncSeekableReader`: a seekable object of the async face."""

from __future__ import annotations

import io
from asyncio import CancelledError
from typing import TYPE_CHECKING

from storage_core.core.ranged import RangedCore
from storage_core.errors import ClosedError
from storage_core.model import ObjectInfo
from storage_core.runtime import AsyncRuntime

if TYPE_CHECKING:
    from types import TracebackType


class AsyncSeekableReader:
    """Random access to one object, reading ranges behind a buffer, as `Bucket.open` of the
    blocking face. For one task at a time."""

    __slots__ = ("_ahead", "_buffer", "_closed", "_core", "_runtime")

    def __init__(self, runtime: AsyncRuntime, core: RangedCore, buffer_size: int) -> None:
        self._runtime = runtime
        self._core = core
        self._ahead = buffer_size
        self._buffer = b""
        self._closed = False

    @property
    def info(self) -> ObjectInfo:
        """The object."""
        return self._core.info

    def tell(self) -> int:
        """Position in bytes from the object's start."""
        return self._core.position - len(self._buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position; returns it. Nothing is read."""
        if whence == io.SEEK_CUR:
            offset, whence = self.tell() + offset, io.SEEK_SET
        position = self._core.seek(offset, whence)  # which may refuse: then nothing changes
        self._buffer = b""
        return position

    async def read(self, size: int = -1) -> bytes:
        """``size`` bytes from the position, fewer only at the end; all if negative.

        Raises:
            ObjectChangedError: the object was replaced since it was opened.
            ClosedError: the file is closed.
        """
        if self._closed:
            raise ClosedError("the file is closed")
        if size < 0 or size > len(self._buffer):
            wanted = -1 if size < 0 else max(size - len(self._buffer), self._ahead)
            position = self._core.position
            try:
                self._buffer += await self._runtime.run(self._core.read(wanted))
            except CancelledError:
                self._core.position = position  # what was read meanwhile is lost
                raise
        if size < 0:
            data, self._buffer = self._buffer, b""
        else:
            data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    async def close(self) -> None:
        """Drop the buffer; may be called twice."""
        self._closed = True
        self._buffer = b""

    async def __aenter__(self) -> AsyncSeekableReader:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
