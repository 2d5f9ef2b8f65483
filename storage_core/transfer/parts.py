"""Bodies of transfers: stretches of a file or of memory, whose way out is counted and paced."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from storage_core import checksum
from storage_core.model import Buffer
from storage_core.streams import Body, FileSlice
from storage_core.transfer import bandwidth

if TYPE_CHECKING:
    from storage_core.core.between import End
    from storage_core.transfer.context import Context
    from storage_core.transfer.source import FileSource

SLICE = 1024**2
"""Bytes of a file that the kernel is asked to move at a time, and that are read at a time where
each read costs a change of threads."""


class Moving(Body):
    """A body that tells the transfer's meter of each piece that left, and keeps to the limit.

    It is driven by the runtime of the bucket it goes to, in whatever thread that uses.

    Args:
        context: Of the transfer.
        end: The bucket.
        size: Bytes, None if not known.
        compute: Algorithms to hash it with while it is read.
        expected: Digests it must have.
    """

    __slots__ = ("_context", "_runtime", "moved")

    def __init__(
        self,
        context: Context,
        end: End,
        size: int | None,
        compute: tuple[str, ...],
        expected: Mapping[str, bytes],
    ) -> None:
        names = tuple(dict.fromkeys((*compute, *expected)))
        super().__init__(size, None, names, dict(expected))
        self._context = context
        self._runtime = end.runtime
        self.moved = 0

    async def _pace(self, size: int) -> None:
        """Wait until so many bytes may leave."""
        self._runtime.checkpoint()
        self._context.team.checkpoint()
        await self._context.bandwidth.take(self._runtime, size)

    def _left(self, size: int) -> None:
        """So many bytes left."""
        self.moved += size
        self._context.meter.moved(size)

    def take_back(self) -> None:
        """What left was for nothing."""
        if self.moved:
            self._context.meter.moved(-self.moved)
            self.moved = 0

    async def rewind(self) -> None:
        await super().rewind()
        self.take_back()

    async def _pieces(self) -> AsyncIterator[Buffer]:
        async for piece in self._source():
            await self._pace(len(piece))
            yield piece
            self._left(len(piece))

    @abstractmethod
    def _source(self) -> AsyncIterator[Buffer]:
        """The bytes in order."""


class FileBody(Moving):
    """A stretch of a file, which must not change on its way."""

    __slots__ = ("_file", "_start", "_stop")

    def __init__(
        self,
        context: Context,
        end: End,
        file: FileSource,
        start: int,
        stop: int,
        compute: tuple[str, ...],
        expected: Mapping[str, bytes],
    ) -> None:
        super().__init__(context, end, stop - start, compute, expected)
        self._file = file
        self._start = start
        self._stop = stop

    @property
    def rewindable(self) -> bool:
        return True

    @property
    def file(self) -> FileSlice | None:
        # Other digests than CRC32C, and those that were declared, are for reading alone.
        if self._expected or self._hashers.keys() - {"crc32c"}:
            return None
        return self._file.slice(self._start, self._stop)

    async def slices(self) -> AsyncIterator[FileSlice]:
        fd, position, left = self._file.slice(self._start, self._stop)
        self.begun = True
        step = SLICE if self._context.bandwidth.rate is None else bandwidth.PIECE
        with self._file.borrowed():
            while left:
                piece = FileSlice(fd, position, min(step, left))
                await self._pace(piece.length)
                yield piece
                self._left(piece.length)
                position += piece.length
                left -= piece.length
            self._file.check()

    async def beforehand(self, names: Sequence[str]) -> dict[str, str]:
        digests = self._file.digests
        return await self._runtime.blocking(digests, names, self._start, self._stop)

    async def _source(self) -> AsyncIterator[Buffer]:
        fd, position, left = self._file.slice(self._start, self._stop)
        most = self._step()
        while left:
            piece = await self._runtime.blocking(os.pread, fd, min(most, left), position)
            if not piece:
                raise self._file.changed()
            yield piece
            position += len(piece)
            left -= len(piece)
        self._file.check()

    def _step(self) -> int:
        if self._context.bandwidth.rate is not None:
            return bandwidth.PIECE
        return SLICE if self._runtime.io == "asyncio" else checksum.PIECE


class MemoryBody(Moving):
    """Pieces in memory."""

    __slots__ = ("_memory",)

    def __init__(
        self,
        context: Context,
        end: End,
        memory: Sequence[Buffer],
        compute: tuple[str, ...],
    ) -> None:
        super().__init__(context, end, sum(map(len, memory)), compute, {})
        self._memory = memory

    @property
    def rewindable(self) -> bool:
        return True

    async def beforehand(self, names: Sequence[str]) -> dict[str, str]:
        return await self._runtime.blocking(self._digests_of, names)

    def _digests_of(self, names: Sequence[str]) -> dict[str, str]:
        hashers = {name: checksum.new(name) for name in names}
        for piece in self._memory:
            for hasher in hashers.values():
                hasher.update(piece)
        return {name: hasher.digest().hex() for name, hasher in hashers.items()}

    async def _source(self) -> AsyncIterator[Buffer]:
        step = checksum.PIECE if self._context.bandwidth.rate is None else bandwidth.PIECE
        for piece in self._memory:
            if len(piece) <= step:
                yield piece
                continue
            view = memoryview(piece)
            for start in range(0, len(view), step):
                yield view[start : start + step]


class RelayedBody(Moving):
    """Another body, where one request takes all of it."""

    __slots__ = ("_body",)

    def __init__(self, context: Context, end: End, body: Body, compute: tuple[str, ...]) -> None:
        super().__init__(context, end, body.size, compute, {})
        self._body = body

    @property
    def rewindable(self) -> bool:
        return self._body.rewindable

    async def rewind(self) -> None:
        await super().rewind()
        await self._body.rewind()

    async def _source(self) -> AsyncIterator[Buffer]:
        async for piece in self._body:
            yield piece
