"""Answers read by the standard library's http.client, which urllib3 is built upon.

http.client takes much for granted: it skips what is no header field, reads a length that is
none up to the end of the connection, and has no limit on most of what a service may send. So
each line is looked at before it gets it, and the framing before the body is read.
"""

from __future__ import annotations

import http.client
import re
from typing import Any, TypeVar

from storage_core.errors import ClosedError
from storage_core.http import limits
from storage_core.http.failures import broken
from storage_core.http.interface import Response
from storage_core.http.parser import MalformedError
from storage_core.http.pool import Pool
from storage_core.http.response import MOST, WireResponse
from storage_core.http.wire import BrokenError, Wire
from storage_core.waiting import drive

T = TypeVar("T")

_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d[ \r\n]")
_STATUS = re.compile(rb"HTTP/1\.[01] [2-9]\d\d(?: [^\0\r\n]*)?\r?\n")
_FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\0\r\n]*\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\0\r\n]*)?\r?\n")
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_EMPTY = (b"\r\n", b"\n")


class Intake:
    """What came over a connection and was not read yet: the `parser` of its `Wire`.

    It only tells whether an answer has begun; `answer` has http.client read it.

    Attributes:
        begun: Something came.
        head: A final answer has begun.
        continued: The service consented to the body (status 100).
        keep: Whether the connection can be used again, as far as known here.
        complete: Never: bodies are read by the response.
    """

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.begin(head_only=False)

    def begin(self, head_only: bool) -> None:
        """Get ready for the answer to the next request."""
        self.buffer.clear()
        self._head_only = head_only
        self._interim = self._skipped = 0
        self.begun = self.head = self.continued = self.complete = False
        self.keep = True

    def feed(self, data: bytes) -> None:
        """Take what came off the wire, and drop informational answers.

        Raises:
            MalformedError: there are too many of them.
        """
        self.begun = True
        self.buffer += data
        while not self.head and len(self.buffer) > 12:
            if not _INTERIM.match(self.buffer):
                self.head = True
                return
            end = self.buffer.find(b"\r\n\r\n") + 4
            if end < 4:
                if len(self.buffer) + self._skipped > limits.HEAD:
                    raise MalformedError(f"its head is over {limits.HEAD} bytes")
                return
            self.continued = self.continued or self.buffer[9:12] == b"100"
            self._interim += 1
            self._skipped += end
            if self._interim > limits.INFORMATIONAL:
                raise MalformedError(f"over {limits.INFORMATIONAL} informational answers")
            del self.buffer[:end]

    def answer(self, wire: Wire, pool: Pool[Any]) -> Response:
        """Read the head of the answer.

        Raises:
            MalformedError: it is none.
            BrokenError, OperationTimeoutError: it did not come.
        """
        answer = http.client.HTTPResponse(
            Lines(wire, self),  # type: ignore[arg-type]  # of a socket it wants this much
            method="HEAD" if self._head_only else "GET",
        )
        try:
            answer.begin()
        except (http.client.HTTPException, ValueError) as error:
            raise MalformedError(f"its head is malformed: {type(error).__name__}") from None
        headers = _headers(answer)
        length = _length(answer, headers, head_only=self._head_only)
        return StdlibResponse(answer, headers, length, wire, pool)


class Lines:
    """The file object from which http.client reads one answer."""

    def __init__(self, wire: Wire, intake: Intake) -> None:
        self._wire = wire
        self._buffer = intake.buffer
        self._left = limits.HEAD
        self._expected = _STATUS
        """What the next line must be."""

    def makefile(self, _mode: str) -> Lines:
        """http.client asks a socket for it."""
        return self

    def readline(self, _limit: int) -> bytes:
        """The next line, if it is as it must be."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched) + 1) == 0:
            searched = len(self._buffer)
            if searched > self._left:
                break
            self._more()
        self._left -= end or searched
        if self._left < 0:
            raise MalformedError(f"over {limits.HEAD} bytes of head, chunk sizes or trailers")
        line = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._check(line)
        return line

    def _check(self, line: bytes) -> None:
        if self._expected is _FIELD and line in _EMPTY:
            self._expected = _CHUNK
            self._left = limits.FRAMING
            return
        found = self._expected.fullmatch(line)
        if found is None:
            raise MalformedError("a line of its head, or between its chunks, is malformed")
        if self._expected is not _CHUNK or not int(found[1], 16):
            self._expected = _FIELD  # of the head or, after the last chunk, of the trailers
        else:
            self._left += limits.FRAMING_PER_CHUNK

    def _more(self) -> None:
        data = drive(self._wire.recv(limits.HEAD))
        if not data:
            raise MalformedError("it ended in the middle")
        self._buffer += data

    def read(self, size: int) -> bytes:
        """What is between two chunks: http.client reads bytes of a body by `read1`."""
        while len(self._buffer) < size:
            self._more()
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        if found != b"\r\n":
            raise MalformedError("a chunk is longer than it says")
        return found

    def read1(self, size: int) -> bytes:
        """1 to ``size`` bytes; empty at the end of the connection."""
        if self._buffer:
            found = bytes(self._buffer[:size])
            del self._buffer[:size]
            return found
        return drive(self._wire.recv(min(size, MOST)))

    def flush(self) -> None:
        """Nothing to write."""

    def close(self) -> None:
        """The connection outlives the answer."""


class StdlibResponse(WireResponse):
    """An answer whose body http.client reads off its connection."""

    __slots__ = ("_answer",)

    def __init__(
        self,
        answer: http.client.HTTPResponse,
        headers: dict[str, str],
        length: int | None,
        wire: Wire,
        pool: Pool[Any],
    ) -> None:
        Response.__init__(self, answer.status, headers, length)
        self._pool = pool
        self._first = b""
        self._ended = False
        self._wire = wire
        self._answer = answer
        intake = wire.parser
        intake.keep = intake.keep and not answer.will_close
        if length == 0:
            self.data = b""
            self._end(wire)
        elif length is not None and length <= len(self._buffer(wire)):
            self.data = b""
            while piece := self._take(wire, length):
                self.data += piece
            self._first = self.data

    @staticmethod
    def _buffer(wire: Wire) -> bytearray:
        return wire.parser.buffer  # type: ignore[attr-defined,no-any-return]

    async def read(self, size: int) -> bytes:
        if self._first:
            piece, self._first = self._first[:size], self._first[size:]
            return piece
        wire = self._wire
        if wire is None:
            if not self._ended:
                raise ClosedError("the response was closed or broke off before")
            return b""
        try:
            return self._take(wire, size)
        except (BrokenError, MalformedError) as error:
            self._drop()
            raise broken(wire.name, error.__cause__ or error) from None
        except BaseException:
            self._drop()
            raise

    async def readinto(self, buffer: memoryview) -> int:
        return await Response.readinto(self, buffer)

    def _take(self, wire: Wire, size: int) -> bytes:
        if self._wire is None:
            return b""
        answer = self._answer
        try:
            data = answer.read1(size)
        except http.client.HTTPException as error:
            raise MalformedError(f"its body is malformed: {type(error).__name__}") from None
        if not data and answer.length:
            raise MalformedError(f"it ended {answer.length} bytes before the end of the answer")
        if not data or answer.length == 0:
            self._end(wire)
        return data

    def _end(self, wire: Wire) -> None:
        self._ended = True
        if self._buffer(wire):  # an answer that nobody asked for
            wire.parser.keep = False
        self._finish(wire)

    def _to_come(self) -> int | None:
        length = self._answer.length
        return None if length is None else length + len(self._first)

    async def close(self) -> None:
        wire, length = self._wire, self._answer.length
        self._first = b""
        if wire is None:
            return
        if length is not None and length <= len(self._buffer(wire)):
            del self._buffer(wire)[:length]
            self._finish(wire)
        else:
            self._drop()


def _headers(answer: http.client.HTTPResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in answer.msg.items():
        field, text = name.lower(), value.strip(" \t")
        headers[field] = f"{headers[field]}, {text}" if field in headers else text
    return headers


def _length(
    answer: http.client.HTTPResponse, headers: dict[str, str], *, head_only: bool
) -> int | None:
    """Bytes of the body, None where the head does not say.

    Raises:
        MalformedError: it contradicts itself.
    """
    coding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if coding is not None and (
        coding.lower() != "chunked" or length is not None or answer.version != 11
    ):
        raise MalformedError("its Transfer-Encoding is not known or contradictory")
    if length is not None and not _LENGTH.fullmatch(length):
        raise MalformedError("its Content-Length is no number or contradictory")
    return 0 if head_only or answer.status in {204, 304} else answer.length
