"""Bodies in S3's own chunks (``aws-chunked``): each chunk signed, a checksum behind the last.

After "Signature Calculations for the Authorization Header: Transferring Payload in Multiple
Chunks" of the Amazon S3 API reference, with and without trailing headers. All chunks but the
last have one size, so that the length of the whole is known before anything is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import NamedTuple

from storage_core.checksum import PIECE as CHUNK
from storage_core.http.interface import Content
from storage_core.model import Buffer
from storage_s3.signing import ALGORITHM, EMPTY_SHA256, Seed

_SIGNATURE = ";chunk-signature="
_TRAILER_SIGNATURE = "x-amz-trailer-signature:"


class Trailer(NamedTuple):
    """A header sent behind the body.

    Attributes:
        name: In lower case, such as ``x-amz-checksum-crc32c``.
        length: Characters its value will have.
        value: Tells it, once the body was read.
    """

    name: str
    length: int
    value: Callable[[], str]


def chunked_headers(size: int | None, trailer: Trailer | None) -> dict[str, str]:
    """Headers that announce such a body; to be signed with the others.

    Args:
        size: Bytes of the body itself, None if not known.
        trailer: What will follow it.
    """
    headers = {"content-encoding": "aws-chunked"}
    if size is not None:
        headers["x-amz-decoded-content-length"] = str(size)
    if trailer is not None:
        headers["x-amz-trailer"] = trailer.name
    return headers


class ChunkedContent:
    """A body framed in chunks.

    Args:
        body: The bytes themselves.
        seed: Of the request's signature; None leaves chunks and trailer unsigned, which S3
            takes only with a trailer.
        trailer: None for none.
    """

    __slots__ = ("_body", "_seed", "_trailer")

    def __init__(self, body: Content, seed: Seed | None, trailer: Trailer | None) -> None:
        self._body = body
        self._seed = seed
        self._trailer = trailer

    @property
    def size(self) -> int | None:
        """Bytes on the wire, None if the body's are not known."""
        if (left := self._body.size) is None:
            return None
        signature = len(_SIGNATURE) + 64 if self._seed else 0
        full, rest = divmod(left, CHUNK)
        total = left + full * (len(f"{CHUNK:x}") + signature + 4)
        if rest:
            total += len(f"{rest:x}") + signature + 4
        total += 1 + signature + 4
        if self._trailer is not None:
            total += len(self._trailer.name) + 1 + self._trailer.length + 2
            if self._seed:
                total += len(_TRAILER_SIGNATURE) + 64 + 2
        return total

    @property
    def begun(self) -> bool:
        return self._body.begun

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        chain = _Chain(self._seed) if self._seed else None
        before = b""
        async for chunk in _chunks(self._body):
            yield before + _head(chunk, chain)
            yield chunk
            before = b"\r\n"
        yield before + _head(b"", chain) + self._tail(chain) + b"\r\n"

    def _tail(self, chain: _Chain | None) -> bytes:
        if self._trailer is None:
            return b""
        value = self._trailer.value()
        line = f"{self._trailer.name}:{value}"
        if chain is None:
            return f"{line}\r\n".encode()
        signature = chain.trailer(f"{line}\n")
        return f"{line}\r\n{_TRAILER_SIGNATURE}{signature}\r\n".encode()


async def _chunks(body: Content) -> AsyncIterator[Buffer]:
    """The body in pieces of `CHUNK` bytes, the last one shorter. A piece is valid until the
    next one is asked for."""
    held = bytearray()
    async for piece in body:
        view = memoryview(piece)
        if held:
            missing = CHUNK - len(held)
            held += view[:missing]
            view = view[missing:]
            if len(held) < CHUNK:
                continue
            yield bytes(held)
            held.clear()
        while len(view) >= CHUNK:
            yield view[:CHUNK]
            view = view[CHUNK:]
        held += view
    if held:
        yield bytes(held)


def _head(chunk: Buffer, chain: _Chain | None) -> bytes:
    if chain is None:
        return f"{len(chunk):x}\r\n".encode()
    return f"{len(chunk):x}{_SIGNATURE}{chain.chunk(chunk)}\r\n".encode()


class _Chain:
    """Signatures of chunks, each of which covers the one before."""

    __slots__ = ("_key", "_middle", "_previous")

    def __init__(self, seed: Seed) -> None:
        self._key = seed.key
        self._middle = f"{seed.date}\n{seed.scope}\n"
        self._previous = seed.signature

    def chunk(self, data: Buffer) -> str:
        hashed = f"{EMPTY_SHA256}\n{sha256(data).hexdigest()}"
        return self._sign(f"{ALGORITHM}-PAYLOAD", hashed)

    def trailer(self, lines: str) -> str:
        return self._sign(f"{ALGORITHM}-TRAILER", sha256(lines.encode()).hexdigest())

    def _sign(self, algorithm: str, hashed: str) -> str:
        text = f"{algorithm}\n{self._middle}{self._previous}\n{hashed}"
        self._previous = hmac_digest(self._key, text.encode(), "sha256").hex()
        return self._previous
