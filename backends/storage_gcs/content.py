"""Bodies on their way out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from storage_core.checksum import PIECE, Crc32cHasher
from storage_core.http.interface import Content
from storage_core.model import Buffer
from storage_core.streams import Body, ObjectStream

JOINED = 64 * 1024
"""Bytes up to which a body in memory is copied next to its frame."""


class Framed:
    """Bytes before a body, and bytes after it that leave only once it ended well: a body may
    fail at its very end, and the service must then be left with an incomplete request."""

    __slots__ = ("_body", "_head", "_tail")

    def __init__(self, head: bytes, body: Body, tail: bytes) -> None:
        self._head = head
        self._body = body
        self._tail = tail

    @property
    def size(self) -> int | None:
        size = self._body.size
        return None if size is None else len(self._head) + size + len(self._tail)

    @property
    def begun(self) -> bool:
        return self._body.begun

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        yield self._head
        async for piece in self._body:
            yield piece
        yield self._tail


class Guarded:
    """A body of known size whose last byte is held back until it ended well."""

    __slots__ = ("_body",)

    def __init__(self, body: Body) -> None:
        self._body = body

    @property
    def size(self) -> int | None:
        return self._body.size

    @property
    def begun(self) -> bool:
        return self._body.begun

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        left = self._body.size
        last = b""
        async for piece in self._body:
            if left is None:  # chunked: its end is a mark of its own
                yield piece
                continue
            left -= len(piece)
            if left:
                yield piece
            else:
                last = bytes(piece[-1:])
                if len(piece) > 1:
                    yield piece[:-1]
        if last:
            yield last


class Relayed:
    """An object's bytes on their way into another one, and their CRC32C once they went."""

    __slots__ = ("_hasher", "_stream", "begun", "size")

    def __init__(self, stream: ObjectStream) -> None:
        self._stream = stream
        self._hasher = Crc32cHasher()
        self.begun = False
        self.size: int | None = stream.length

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        self.begun = True
        data = self._stream.data
        if data is not None:
            self._hasher.update(data)
            yield data
            return
        while piece := await self._stream.read(PIECE):
            self._hasher.update(piece)
            yield piece

    @property
    def crc32c(self) -> str:
        return self._hasher.digest().hex()


class NoBytes(Body):
    """An empty body."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(0, b"", ("crc32c",), {})

    async def _pieces(self) -> AsyncIterator[Buffer]:
        return
        yield b""  # what makes it a generator


def related(metadata: bytes, kind: str, body: Body) -> tuple[str, Buffer | Content]:
    """A ``multipart/related`` body (RFC 2387), and its content type.

    Args:
        metadata: JSON.
        kind: Content type of the object's bytes.
        body: The object's bytes.
    """
    mark = os.urandom(16).hex()
    head = (
        b"--%b\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n%b\r\n"
        b"--%b\r\ncontent-type: %b\r\n\r\n"
    ) % (mark.encode(), metadata, mark.encode(), kind.encode())
    tail = b"\r\n--%b--\r\n" % mark.encode()
    whole = f"multipart/related; boundary={mark}"
    data = body.data
    if data is not None and len(data) <= JOINED:
        return whole, b"".join((head, data, tail))
    return whole, Framed(head, body, tail)
