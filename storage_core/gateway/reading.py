"""GET and HEAD of a link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from storage_core.errors import IntegrityError, InvalidRangeError
from storage_core.gateway import pieces
from storage_core.gateway.answers import RefusedError, object_headers
from storage_core.gateway.conditions import CONDITIONAL, Preconditions, may_range, parse_range

if TYPE_CHECKING:
    from storage_core.aio import AsyncBucket, AsyncReader
    from storage_core.gateway.exchange import Exchange
    from storage_core.links import LinkClaims
    from storage_core.model import ObjectInfo

LEAST_FILE: Final = 16 * 1024
"""Below it, one read is cheaper than dealing with the file."""

Range = tuple[int, int | None]

# RFC 9110 section 15.4.5.
_KEPT_BY_304: Final = (b"cache-control", b"content-location", b"etag", b"last-modified", b"vary")


async def head(exchange: Exchange, bucket: AsyncBucket, claims: LinkClaims) -> None:
    """Answer HEAD."""
    info = await bucket.head(claims.key, version=claims.version)
    _judge(exchange, info, claims)
    headers = object_headers(info, claims)
    headers.append((b"content-length", b"%d" % info.size))
    await exchange.start(200, headers)
    await exchange.write(b"")


async def get(exchange: Exchange, bucket: AsyncBucket, claims: LinkClaims) -> None:
    """Answer GET: the whole, or one range of it."""
    wanted = parse_range(exchange.headers.get("range"))
    reader, partial = await _open(exchange, bucket, claims, wanted)
    try:
        await _send(exchange, reader, claims, partial=partial)
    finally:
        await reader.close()


def _judge(exchange: Exchange, info: ObjectInfo, claims: LinkClaims) -> None:
    """Refuse where a condition of the request says so."""
    if CONDITIONAL.isdisjoint(exchange.headers):
        return
    verdict = Preconditions.parse(exchange.headers).check(info, reading=True)
    if verdict == "failed":
        raise RefusedError(412, "precondition_failed", "a condition does not hold")
    if verdict == "not_modified":
        headers = (pair for pair in object_headers(info, claims) if pair[0] in _KEPT_BY_304)
        raise RefusedError(304, "not_modified", "the client's copy is current", tuple(headers))


async def _open(
    exchange: Exchange, bucket: AsyncBucket, claims: LinkClaims, wanted: Range | None
) -> tuple[AsyncReader, bool]:
    """A reader of what the request selects, and whether a range does, be it one of everything.
    Conditions are judged on the info of the very bytes that will be sent, so no second look
    at the object can disagree."""
    if_range = exchange.headers.get("if-range")
    try:
        if wanted == (0, 0):
            raise InvalidRangeError("a suffix of no bytes")
        reader = await bucket.get(claims.key, range=wanted, version=claims.version)
    except InvalidRangeError:
        info = await bucket.head(claims.key, version=claims.version)
        _judge(exchange, info, claims)
        if may_range(if_range, info):
            size = b"bytes */%d" % info.size
            raise RefusedError(
                416,
                "invalid_range",
                f"the object has {info.size} bytes",
                ((b"content-range", size), (b"accept-ranges", b"bytes")),
            ) from None
        return await _open(exchange, bucket, claims, None)
    try:
        _judge(exchange, reader.info, claims)
        if wanted is None or may_range(if_range, reader.info):
            return reader, wanted is not None
    except BaseException:
        await reader.close()
        raise
    await reader.close()
    return await _open(exchange, bucket, claims, None)


async def _send(
    exchange: Exchange, reader: AsyncReader, claims: LinkClaims, *, partial: bool
) -> None:
    info, start, length = reader.info, reader.start, reader.length
    headers = object_headers(info, claims)
    headers.append((b"content-length", b"%d" % length))
    status = 200
    if partial and length:
        status = 206
        stop = start + length - 1
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, stop, info.size)))
    file = reader.file if length >= LEAST_FILE else None
    if file is not None:
        await exchange.start(status, headers)
        if exchange.sends_files:
            await exchange.write_file(*file)
        else:
            await _send_pieces(exchange, pieces.of_file(file))
        return
    # The first bytes before the head: what fails here can still be told.
    try:
        data = await reader.read(pieces.CHUNK)
    except IntegrityError as error:
        raise RefusedError(500, "object_damaged", "the stored bytes are damaged") from error
    await exchange.start(status, headers)
    if len(data) == length:
        await exchange.write(data)
    else:
        await _send_pieces(exchange, pieces.of_reader(reader, data))


async def _send_pieces(exchange: Exchange, body: AsyncIterator[bytes]) -> None:
    gone = asyncio.ensure_future(exchange.disconnected())
    try:
        async for piece in body:
            await exchange.write(piece, more=True)
            if gone.done():
                return
        await exchange.write(b"")
    finally:
        gone.cancel()
