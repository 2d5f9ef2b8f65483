"""Uploads of streams: parts are collected in memory and sent several at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple

from storage_core import checksum
from storage_core.checksum import Hasher
from storage_core.errors import InvalidRequestError
from storage_core.model import Buffer, PutResult
from storage_core.transfer.jobs import each
from storage_core.transfer.memory import MEMORY, Memory
from storage_core.transfer.parts import MemoryBody
from storage_core.transfer.plan import PART, WIDTH, plan_upload
from storage_core.transfer.session import CRC, Order, Session

if TYPE_CHECKING:
    from storage_core.core.between import End
    from storage_core.transfer.context import Context
    from storage_core.transfer.source import StreamSource


class _Collected(NamedTuple):
    """A part in memory, and the room that was made for it."""

    number: int
    pieces: list[Buffer]
    room: int


async def upload_stream(
    context: Context, end: End, source: StreamSource, order: Order
) -> PutResult:
    """Upload a stream. No more than the reservation of memory is collected at a time.

    Raises:
        InvalidRequestError: it is longer than as many parts as the profile takes, of the size
            that there is memory for.
    """
    options = context.options
    first = _first_size(context, end, source)
    most = first * (options.concurrency or WIDTH)
    if options.max_memory is not None:
        most = max(first, min(most, int(options.max_memory)))
    granted = await MEMORY.reserve(context.team, first, most)
    try:
        return await _Stream(context, end, source, order, first, granted).run()
    finally:
        MEMORY.release(granted)


def _first_size(context: Context, end: End, source: StreamSource) -> int:
    """Bytes of the first part. Without a known length it is a size that can grow."""
    capabilities = end.core.client.capabilities
    if source.size:
        plan = plan_upload(source.size, capabilities, context.options)
        return min(plan.part_size, capabilities.max_part_size)
    asked = context.options.part_size
    if asked is None:
        return min(max(PART, capabilities.min_part_size), capabilities.max_part_size)
    least, most = capabilities.min_part_size, capabilities.max_part_size
    if not least <= asked <= most:
        raise InvalidRequestError(
            f"part_size {asked} does not do: this profile takes parts of {least} to {most} bytes"
        )
    return asked


class _Stream:
    """One stream on its way.

    Args:
        first: Bytes of the first part.
        granted: Bytes of memory for all parts at a time.
    """

    def __init__(
        self,
        context: Context,
        end: End,
        source: StreamSource,
        order: Order,
        first: int,
        granted: int,
    ) -> None:
        self._context = context
        self._end = end
        self._source = source
        self._order = order
        self._first = first
        self._room = Memory(granted)
        self._session: Session | None = None
        self._hashers: dict[str, Hasher] = {name: checksum.new(name) for name in order.whole}

    async def run(self) -> PutResult:
        """Send it in one request if it is short, else in parts."""
        pieces = await self._take(self._first)
        most = self._end.core.client.capabilities.max_put_size
        if self._source.count <= most and await self._source.is_ended(self._context.team):
            return await self._put(pieces)
        session = await Session.create(self._end, self._order)
        self._session = session
        try:
            await self._send(pieces)
            digests = {name: found.digest().hex() for name, found in self._hashers.items()}
            return await session.complete(digests)
        except BaseException as failure:
            await session.discard(failure)
            raise

    async def _put(self, pieces: list[Buffer]) -> PutResult:
        key, attributes, conditions, declared, names = self._order
        data = b"".join(pieces)
        pieces.clear()
        await self._context.bandwidth.take(self._context.team, len(data))
        digests = {name: digest.hex() for name, digest in declared.items()}
        core = self._end.core
        result = await self._end.run(
            core.put(key, data, None, attributes, conditions, digests, names, None)
        )
        self._context.meter.moved(len(data))
        return result

    async def _send(self, pieces: list[Buffer]) -> None:
        width = max(1, self._room.limit // self._first)
        gate = self._context.gate(width, self._end)
        await each(self._context.team, self._parts(pieces), self._store, width, gate)

    async def _parts(self, pieces: list[Buffer]) -> AsyncIterator[_Collected]:
        """The parts, as far as there is room for them."""
        number, room = 0, self._first
        await self._room.reserve(self._context.team, room, room)
        while pieces:
            number += 1
            yield _Collected(number, pieces, room)
            room = self._size_of(number + 1)
            await self._room.reserve(self._context.team, room, room)
            pieces = await self._take(room)
            if pieces and number == self._end.core.client.capabilities.max_parts:
                raise InvalidRequestError(
                    f"the stream is longer than {number} parts; set a larger part_size, or"
                    " max_memory"
                )
        self._room.release(room)

    def _size_of(self, number: int) -> int:
        """Bytes of a part: they grow with the stream, so that parts suffice for the largest
        object, or as far as memory does."""
        capabilities = self._end.core.client.capabilities
        if self._context.options.part_size is not None or self._source.size is not None:
            return self._first
        grown: int = self._first * 2 ** ((number - 1) * 10 // capabilities.max_parts)
        return min(grown, capabilities.max_part_size, self._room.limit)

    async def _take(self, size: int) -> list[Buffer]:
        pieces = await self._source.take(self._context.team, size)
        if self._hashers:
            await self._context.team.blocking(self._hash, pieces)
        return pieces

    def _hash(self, pieces: list[Buffer]) -> None:
        for piece in pieces:
            for hasher in self._hashers.values():
                hasher.update(piece)

    async def _store(self, part: _Collected) -> None:
        assert self._session is not None
        verify = (CRC,) if self._context.options.verify or CRC in self._order.names else ()
        compute = self._end.core.digests_to_compute(verify)
        body = MemoryBody(self._context, self._end, part.pieces, compute)
        try:
            await self._session.put(part.number, body)
        finally:
            part.pieces.clear()
            self._room.release(part.room)
