"""Bodies on their way out: what has to be known before the first byte of a request is sent."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from storage_azure.requests import MAX_BLOCKS, MIB
from storage_core.http.interface import Response
from storage_core.model import Buffer
from storage_core.streams import Body

BLOCK: Final = 8 * MIB
"""Bytes of a block that is collected in memory, as its length is not known before."""
STREAMED: Final = 256 * MIB
"""Bytes of a block that is streamed."""


async def collected(body: Body) -> bytes:
    """All of a body.

    Raises:
        Exception: whatever the body raised, unchanged.
    """
    return b"".join([bytes(piece) async for piece in body])


async def pieces_of(body: Body, size: int) -> AsyncGenerator[tuple[bytes, bool], None]:
    """A body in pieces of that many bytes, each with whether it is the last one, which may be
    shorter; a body without bytes is one empty piece. The last comes once the body ended well."""
    held: list[bytes] = []
    length = 0
    async with aclosing(Source(body)) as source:
        while len(piece := await source.take(size - length or size)):
            if length == size:
                yield b"".join(held), False
                held, length = [], 0
            held.append(bytes(piece))
            length += len(piece)
        yield b"".join(held), True


class Blocks:
    """A body as blocks to be sent one after another: pairs of id and content.

    Args:
        body: Streamed, not in memory.
        mark: Makes the ids this writer's own; always of one length.

    Attributes:
        ids: Those handed out so far, in order.
    """

    def __init__(self, body: Body, mark: str) -> None:
        self._body = body
        self._mark = mark
        self.ids: list[str] = []

    async def contents(self) -> AsyncGenerator[tuple[str, Buffer | Stretch], None]:
        """Id and content of each block.

        Raises:
            Exception: whatever the body raised, unchanged.
        """
        size = self._body.size
        if size is None:
            async with aclosing(pieces_of(self._body, BLOCK)) as pieces:
                async for piece, _ in pieces:
                    if piece:
                        yield self._next(), piece
            return
        # As many bytes as were promised, then once more to see that no more come.
        length = max(STREAMED, -(-size // MAX_BLOCKS))
        async with aclosing(Source(self._body)) as source:
            for start in range(0, size, length):
                yield self._next(), Stretch(source, min(length, size - start))
            await source.take(1)  # the body judges itself at its end

    def _next(self) -> str:
        self.ids.append(block_id(f"{self._mark}{len(self.ids):05}"))
        return self.ids[-1]


def block_id(text: str) -> str:
    """A block's id as the service wants it: base64. All of one blob have one length."""
    return b64encode(text.encode()).decode()


class Source:
    """A body that several contents take from, one after another."""

    def __init__(self, body: Body) -> None:
        self._pieces = aiter(body)
        self._left = memoryview(b"")

    async def take(self, most: int) -> Buffer:
        """The next 1 to `most` bytes; empty at the end."""
        while not len(self._left):
            try:
                self._left = memoryview(await anext(self._pieces))
            except StopAsyncIteration:
                return b""
        taken, self._left = self._left[:most], self._left[most:]
        return taken

    async def aclose(self) -> None:
        """Let go of the body."""
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


class Stretch:
    """So many bytes of a source, as the content of one request."""

    __slots__ = ("_source", "begun", "size")

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self.begun = False
        self.size: int | None = size

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        self.begun = True
        left = self.size or 0
        while left and (piece := await self._source.take(min(left, MIB))):
            left -= len(piece)
            yield piece


class Relay:
    """The body of an answer, as the content of a request."""

    __slots__ = ("_response", "begun", "size")

    def __init__(self, response: Response, size: int) -> None:
        self._response = response
        self.begun = False
        self.size: int | None = size

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        self.begun = True
        while piece := await self._response.read(MIB):
            yield piece
