"""`Writer` of the async face."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING

from storage_core.core.writer import WriterCore
from storage_core.model import Attributes, Buffer, PutResult
from storage_core.runtime import AsyncRuntime

if TYPE_CHECKING:
    from types import TracebackType


class AsyncWriter:
    """An object written bit by bit. Nothing is visible before `commit`.

    As a context manager it commits at the end of the block and aborts on an exception.
    """

    __slots__ = ("_core", "_runtime", "result")

    def __init__(self, runtime: AsyncRuntime, core: WriterCore) -> None:
        self._runtime = runtime
        self._core = core
        self.result: PutResult | None = None
        """What was published, once it was."""

    @property
    def key(self) -> str:
        """As `storage_core.Writer.key`."""
        return self._core.key

    @property
    def size(self) -> int:
        """As `storage_core.Writer.size`."""
        return self._core.size

    @property
    def attributes(self) -> Attributes:
        """As `storage_core.Writer.attributes`."""
        return self._core.attributes

    @attributes.setter
    def attributes(self, attributes: Attributes) -> None:
        self._core.attributes = attributes

    async def write(self, data: Buffer) -> int:
        """As `storage_core.Writer.write`."""
        try:
            return await self._runtime.run(self._core.write(data))
        except CancelledError:
            self._core.interrupted()
            raise

    async def commit(self) -> PutResult:
        """As `storage_core.Writer.commit`."""
        self.result = await self._runtime.run(self._core.commit())
        return self.result

    async def abort(self) -> None:
        """As `storage_core.Writer.abort`."""
        await self._runtime.run(self._core.abort())

    async def __aenter__(self) -> AsyncWriter:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._core.done:
            return
        if error is None:
            await self.commit()
        else:
            await self._runtime.run(self._core.discard(error))

    def __repr__(self) -> str:
        return f"<AsyncWriter {self.key!r} {self._core.done or 'open'}, {self.size} bytes>"
