"""HTTP messages as the faulty proxy reads them: heads, and bodies as they are on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

PIECE = 64 * 1024
"""Bytes read at a time; the longest line."""


class GoneError(Exception):
    """A peer is gone, or a fault ended the connection."""


@dataclass(slots=True)
class Message:
    """The head of a request or an answer, and how long its body is."""

    first: bytes
    fields: list[bytes]
    length: int | None = None
    chunked: bool = False
    close: bool = False
    expects: bool = False

    def raw(self) -> bytes:
        return b"\r\n".join((self.first, *self.fields, b"", b""))


def read_head(stream: BufferedReader) -> Message | None:
    """The next head, None at the end of the connection."""
    first = stream.readline(PIECE).rstrip(b"\r\n")
    if not first:
        return None
    message = Message(first, [])
    while line := stream.readline(PIECE).rstrip(b"\r\n"):
        name, _, value = line.partition(b":")
        name, value = name.strip().lower(), value.strip().lower()
        if name == b"expect":
            message.expects = True
            continue
        message.fields.append(line)
        if name == b"content-length":
            message.length = int(value)
        elif name == b"transfer-encoding":
            message.chunked = b"chunked" in value
        elif name == b"connection":
            message.close = value == b"close"
    return message


def body_of(stream: BufferedReader, head: Message, *, of_answer: bool = False) -> Iterator[bytes]:
    """The body as it is on the wire, chunk heads included."""
    if head.chunked:
        yield from _chunks(stream)
        return
    if head.length is None:
        if of_answer:  # it ends with the connection
            while piece := stream.read1(PIECE):
                yield piece
        return
    left = head.length
    while left:
        piece = stream.read1(min(left, PIECE))
        if not piece:
            raise GoneError
        left -= len(piece)
        yield piece


def _chunks(stream: BufferedReader) -> Iterator[bytes]:
    while True:
        line = stream.readline(PIECE)
        size = int(line.split(b";")[0], 16)
        yield line
        if not size:
            break
        left = size + 2
        while left:
            piece = stream.read1(min(left, PIECE))
            if not piece:
                raise GoneError
            left -= len(piece)
            yield piece
    while True:  # trailers
        line = stream.readline(PIECE)
        yield line
        if line in {b"\r\n", b"\n", b""}:
            return
