"""GET and HEAD of a link."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from storage_core.errors import IntegrityError, InvalidRangeError
from storage_core.gateway.answers import RefusedError, object_headers
from storage_core.gateway.conditions import Preconditions, may_range, parse_range

if TYPE_CHECKING:
    from storage_core.aio import AsyncBucket, AsyncReader
    from storage_core.gateway.exchange import Exchange
    from storage_core.links import LinkClaims
    from storage_core.model import ObjectInfo

CHUNK: Final = 1024 * 1024
"""Bytes of a reply read at a time where the kernel can not send it."""
LEAST_FILE: Final = 16 * 1024
"""Below it, one read is cheaper than handing the file to the kernel."""

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
    reader = await _open(exchange, bucket, claims, wanted)
    try:
        await _send(exchange, reader, claims)
    finally:
        await reader.close()


def _judge(exchange: Exchange, info: ObjectInfo, claims: LinkClaims) -> None:
    """Refuse where a condition of the request says so."""
    verdict = Preconditions.parse(exchange.headers).check(info, reading=True)
    if verdict == "failed":
        raise RefusedError(412, "precondition_failed", "a condition does not hold")
    if verdict == "not_modified":
        headers = (pair for pair in object_headers(info, claims) if pair[0] in _KEPT_BY_304)
        raise RefusedError(304, "not_modified", "the client's copy is current", tuple(headers))


async def _open(
    exchange: Exchange, bucket: AsyncBucket, claims: LinkClaims, wanted: Range | None
) -> AsyncReader:
    """A reader of what the request selects. Conditions are judged on the info of the very
    bytes that will be sent, so no second look at the object can disagree."""
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
            return reader
    except BaseException:
        await reader.close()
        raise
    await reader.close()
    return await _open(exchange, bucket, claims, None)


async def _send(exchange: Exchange, reader: AsyncReader, claims: LinkClaims) -> None:
    info, start, length = reader.info, reader.start, reader.length
    headers = object_headers(info, claims)
    headers.append((b"content-length", b"%d" % length))
    status = 200
    if 0 < length < info.size:
        status = 206
        stop = start + length - 1
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, stop, info.size)))
    file = reader.file if length >= LEAST_FILE and exchange.sends_files else None
    if file is not None:
        await exchange.start(status, headers)
        await exchange.write_file(*file)
        return
    # The first bytes before the head: what fails here can still be told.
    try:
        data = await reader.read(CHUNK)
    except IntegrityError as error:
        raise RefusedError(500, "object_damaged", "the stored bytes are damaged") from error
    await exchange.start(status, headers)
    if len(data) == length:
        await exchange.write(data)
    else:
        await _send_chunks(exchange, reader, data)


async def _send_chunks(exchange: Exchange, reader: AsyncReader, data: bytes) -> None:
    gone = asyncio.ensure_future(exchange.disconnected())
    try:
        while data and not gone.done():
            await exchange.write(data, more=True)
            data = await reader.read(CHUNK)
        if not data:
            await exchange.write(b"")
    finally:
        gone.cancel()
