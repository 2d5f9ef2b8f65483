"""The body of a request, as the storage reads it: bounded, with a limit on every wait."""

from __future__ import annotations

import asyncio
import binascii
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from storage_core.gateway.answers import DIGEST_NAMES, RefusedError
from storage_core.gateway.settings import GatewaySettings

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]

PIECE: Final = 512 * 1024
"""Bytes gathered before they go on: each piece crosses to a worker thread."""
LINGER_SECONDS: Final = 2.0

_ALGORITHMS: Final = {name: algorithm for algorithm, name in DIGEST_NAMES.items()}
_DIGEST = re.compile(r"\s*([a-z0-9-]+)\s*=\s*:([A-Za-z0-9+/=]*):\s*")


class ClientGoneError(Exception):
    """The connection ended before the request did."""


class RequestBody:
    """The bytes of one request's body.

    Args:
        receive: ASGI's.
        headers: The request's, names in lower case.
        http_version: ASGI's. Where it is 1.x no length means no body; later versions mark
            the end of a body in their frames.
        settings: Limits.

    Attributes:
        size: Length the client announced, None for a body that is as long as it is.
        failure: Why reading stopped early. The storage wraps what its body raises, so the
            reason is looked up here.
        finished: Whether all of it was read.
        count: Bytes read so far.
    """

    def __init__(
        self,
        receive: Receive,
        headers: Mapping[str, str],
        http_version: str,
        settings: GatewaySettings,
    ) -> None:
        self._receive = receive
        self._limit = settings.max_body_size
        self._stall_timeout = settings.stall_timeout
        self._min_rate = settings.min_rate
        self.count = 0
        self._waited = 0.0
        self._expects = headers.get("expect", "").lower() == "100-continue"
        self._started = False
        length = headers.get("content-length")
        unknown = length is None and not http_version.startswith("1")
        self.size = None if unknown or "transfer-encoding" in headers else int(length or 0)
        self.finished = self.size == 0
        self.failure: Exception | None = None

    def check_limit(self) -> None:
        """Refuse a body that is announced as too large, before a byte of it is asked for."""
        if self.size is not None and self.size > self._limit:
            raise _too_large(self._limit)

    async def read(self, limit: int) -> bytes:
        """All of a small body.

        Args:
            limit: Bytes it may have.

        Raises:
            RefusedError: too many bytes, or too few in their time.
            ClientGoneError: so.
        """
        if self.size is not None and self.size > limit:
            raise _too_large(limit)
        gathered = []
        while not self.finished:
            gathered.append(await self._next())
            if self.count > limit:
                raise self._stopped(_too_large(limit))
        return b"".join(gathered)

    async def data(self) -> bytes | AsyncIterator[bytes]:
        """All of a small body, since what is in memory costs the storage far less than what it
        must wait for; the pieces of any other."""
        if self.size is None or self.size > PIECE or self._expects:
            return self.pieces()
        return await self.read(PIECE)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes, in pieces of `PIECE` or a little more.

        Raises:
            RefusedError: too many bytes, or too few in their time.
            ClientGoneError: so.
        """
        while not self.finished:
            gathered = []
            size = 0
            while size < PIECE and not self.finished:
                data = await self._next()
                gathered.append(data)
                size += len(data)
            if self.count > self._limit:
                raise self._stopped(_too_large(self._limit))
            if size:
                yield gathered[0] if len(gathered) == 1 else b"".join(gathered)

    async def _next(self) -> bytes:
        self._started = True
        # Only waiting counts: a client is not slow because the storage is.
        allowed = self._stall_timeout + self.count / self._min_rate - self._waited
        began = time.monotonic()
        try:
            async with asyncio.timeout(min(self._stall_timeout, allowed)):
                message = await self._receive()
        except TimeoutError:
            raise self._stopped(
                RefusedError(408, "request_timeout", "the body did not arrive in time")
            ) from None
        self._waited += time.monotonic() - began
        if message["type"] == "http.disconnect":
            raise self._stopped(ClientGoneError())
        self.finished = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        self.count += len(body)
        return body

    def _stopped(self, failure: Exception) -> Exception:
        self.failure = failure
        return failure

    async def linger(self) -> None:
        """After a refusal: take and drop more of the body for a moment, so that a client that
        is still sending gets to read the answer before the connection is reset by its own
        bytes (RFC 9112 section 9.6)."""
        if self.finished or (self._expects and not self._started):
            return
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while not self.finished:
                    await self._next()
        except (TimeoutError, RefusedError, ClientGoneError):
            return


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, "body_too_large", f"a body may have at most {limit} bytes")


def declared_digests(headers: Mapping[str, str]) -> dict[str, str]:
    """Digests a client sent of its body, by algorithm in hexadecimal: Content-MD5,
    Content-Digest and Repr-Digest (RFC 9530). Unknown algorithms are left alone.

    Raises:
        RefusedError: one of them is malformed.
    """
    found: dict[str, str] = {}
    if "content-md5" in headers:
        found["md5"] = _hexadecimal(headers["content-md5"])
    for name in ("content-digest", "repr-digest"):
        for member in headers.get(name, "").split(",") if name in headers else ():
            match = _DIGEST.fullmatch(member)
            if match is None:
                raise RefusedError(400, "bad_digest", f"the {name} header is malformed")
            if match[1] in _ALGORITHMS:
                found[_ALGORITHMS[match[1]]] = _hexadecimal(match[2])
    return found


def _hexadecimal(encoded: str) -> str:
    try:
        return binascii.a2b_base64(encoded.strip(), strict_mode=True).hex()
    except (binascii.Error, ValueError):
        raise RefusedError(400, "bad_digest", "a digest header is not base64") from None
