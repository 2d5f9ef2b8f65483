"""`LeanResponse`: an answer whose body is still on its way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage_core.errors import ClosedError, OperationTimeoutError, UnavailableError
from storage_core.http import limits
from storage_core.http.failures import broken
from storage_core.http.interface import Response
from storage_core.http.parser import MalformedError
from storage_core.http.pool import Pool
from storage_core.http.wire import BrokenError, Wire

MOST = 256 * 1024
"""Bytes read off the connection at a time: as many as stay in the processor's cache until their
checksum is computed."""


class MemoryResponse(Response):
    """An answer that came as a whole."""

    __slots__ = ("_at",)

    def __init__(
        self, status: int, headers: Mapping[str, str], length: int | None, data: bytes
    ) -> None:
        self.status = status
        self.headers = headers
        self.length = length
        self.data: bytes = data
        self._at = 0

    async def read(self, size: int) -> bytes:
        piece = self.data[self._at : self._at + size]
        self._at += len(piece)
        return piece

    async def body(self, limit: int) -> bytes:
        piece = self.data[self._at :]
        if len(piece) > limit:
            raise too_long(limit)
        self._at = len(self.data)
        return piece

    async def close(self) -> None:
        self._at = len(self.data)


class WireResponse(Response):
    """An answer whose body is read off its connection.

    Args:
        wire: Its parser read the head.
        pool: Where the connection goes back to.
    """

    __slots__ = ("_ended", "_first", "_left", "_pool", "_wire")

    def __init__(self, wire: Wire, pool: Pool[Any]) -> None:
        parser = wire.parser
        super().__init__(parser.status, parser.headers, parser.length)
        self._pool = pool
        self._first = parser.take()
        self._left = parser.left
        self._wire: Wire | None = wire
        self._ended = False

    async def read(self, size: int) -> bytes:
        if self._first:
            piece, self._first = self._first[:size], self._first[size:]
            return piece
        wire = self._wire
        if wire is None:
            return self._nothing()
        try:
            if wire.parser.chunked:
                return await self._read_chunked(wire, size)
            return await self._read_plain(wire, size)
        except (BrokenError, MalformedError) as error:
            raise self._broken(wire, error) from None
        except BaseException:  # also when cancelled: what was on its way is lost
            self._drop()
            raise

    async def readinto(self, buffer: memoryview) -> int:
        wire = self._wire
        if self._first or wire is None or not self._left:
            return await super().readinto(buffer)
        try:
            size = await wire.recv_into(buffer[: self._left])
            self._received(wire, size)
        except (BrokenError, MalformedError) as error:
            raise self._broken(wire, error) from None
        except BaseException:
            self._drop()
            raise
        return size

    def _nothing(self) -> bytes:
        if not self._ended:
            raise ClosedError("the response was closed before, or broke off")
        return b""

    def _broken(self, wire: Wire, error: Exception) -> UnavailableError:
        self._drop()
        return broken(wire.name, error.__cause__ or error)

    async def _read_plain(self, wire: Wire, size: int) -> bytes:
        """Bytes with a known end, or up to the end of the connection."""
        left = self._left
        data = await wire.recv_much(min(size, MOST if left is None else min(left, MOST)))
        if left is None:
            if not data:
                self._ended = True
                self._drop()
        else:
            self._received(wire, len(data))
        return data

    def _received(self, wire: Wire, size: int) -> None:
        """So much of a body with a known end came."""
        left = self._left
        if not size:
            raise MalformedError(f"it ended {left} bytes before the end of the answer")
        assert left is not None
        self._left = left = left - size
        if not left:
            self._ended = True
            self._finish(wire)

    async def _read_chunked(self, wire: Wire, size: int) -> bytes:
        parser = wire.parser
        while not parser.complete:
            data = await wire.recv_much(min(size + 1024, MOST))
            if not data:
                raise MalformedError("it ended before the last chunk")
            parser.feed(data)
            if not parser.complete and (piece := parser.take()):
                self._first = piece[size:]
                return piece[:size]
        piece = parser.take()
        self._ended = True
        self._finish(wire)
        self._first = piece[size:]
        return piece[:size]

    async def body(self, limit: int) -> bytes:
        known = self._to_come()
        if known is not None and known > limit:
            self._drop()
            raise too_long(limit)
        pieces = []
        total = 0
        while piece := await self.read(MOST):
            total += len(piece)
            if total > limit:
                self._drop()
                raise too_long(limit)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def close(self) -> None:
        wire, left = self._wire, self._left
        self._first = b""
        if wire is None:
            return
        try:
            # What lies in the socket already is dropped, if that is all there is to come.
            while left and left <= limits.DRAIN and not wire.parser.chunked:
                data = wire.recv_now(left)
                if not data:
                    break
                left -= len(data)
        except (BrokenError, OperationTimeoutError):
            left = None
        if left == 0:
            self._finish(wire)
        else:
            self._drop()

    def _to_come(self) -> int | None:
        """Bytes that were not read yet, None if that is not known."""
        return None if self._left is None else self._left + len(self._first)

    def _finish(self, wire: Wire) -> None:
        self._wire = None
        if wire.parser.keep:
            self._pool.release(wire)
        else:
            self._pool.discard(wire)

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            self._pool.discard(wire)

    def __del__(self) -> None:
        wire = getattr(self, "_wire", None)
        if wire is not None:
            self._wire = None
            self._pool.forsake(wire)


def too_long(limit: int) -> UnavailableError:
    """The answer has more bytes than its reader is ready to take."""
    return UnavailableError(f"the answer has more than the {limit} bytes that are expected")
