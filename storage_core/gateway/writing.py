"""PUT and DELETE of a link."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from storage_core.core.upload import public_upload_id
from storage_core.errors import ObjectNotFoundError
from storage_core.gateway.answers import GUARDS, VERSION_HEADER, RefusedError, quoted_etag
from storage_core.gateway.conditions import ANY, Preconditions
from storage_core.gateway.uploads import declared_digests

if TYPE_CHECKING:
    from storage_core.aio import AsyncBucket
    from storage_core.gateway.exchange import Exchange
    from storage_core.links import LinkClaims

T = TypeVar("T")


async def put(exchange: Exchange, bucket: AsyncBucket, claims: LinkClaims) -> None:
    """Store the body as the link's object."""
    content_type = _content_type(exchange, claims)
    size, digests = _announced(exchange, claims)
    if_match, if_absent = await _condition(exchange, bucket, claims)
    result = await _stored(
        exchange,
        bucket.put(
            claims.key,
            await exchange.body.data(),
            size=size,
            content_type=content_type,
            content_encoding=exchange.headers.get("content-encoding"),
            checksums=digests or None,
            if_absent=if_absent,
            if_match=if_match,
        ),
    )
    headers = [(b"etag", quoted_etag(result.etag).encode())]
    if result.version is not None:
        headers.append((VERSION_HEADER.encode(), result.version.encode()))
    await exchange.reply(200, {"etag": result.etag, "size": result.size}, headers)


async def put_part(exchange: Exchange, bucket: AsyncBucket, claims: LinkClaims) -> None:
    """Store the body as one part of an upload."""
    assert claims.upload_id is not None
    assert claims.part_number is not None
    size, digests = _announced(exchange, claims)
    upload = bucket.resume_upload(public_upload_id(claims.key, claims.upload_id))
    data = await exchange.body.data()
    part = await _stored(
        exchange,
        upload.put_part(claims.part_number, data, size=size, checksums=digests or None),
    )
    reply = {"number": part.number, "etag": part.etag, "size": part.size}
    await exchange.reply(200, reply, [(b"etag", quoted_etag(part.etag).encode())])


async def delete(exchange: Exchange, bucket: AsyncBucket, claims: LinkClaims) -> None:
    """Delete the link's object; one that is not there is a success."""
    if_match, _ = await _condition(exchange, bucket, claims)
    await bucket.delete(claims.key, version=claims.version, if_match=if_match)
    await exchange.start(204, list(GUARDS))
    await exchange.write(b"")


async def _stored(exchange: Exchange, write: Awaitable[T]) -> T:
    """The result of a write; what stopped its body comes before what the storage made of
    that."""
    try:
        return await write
    except Exception as error:
        if exchange.body.failure is not None:
            raise exchange.body.failure from error
        raise


def _content_type(exchange: Exchange, claims: LinkClaims) -> str | None:
    sent = exchange.headers.get("content-type")
    if claims.content_type is None:
        return sent
    if sent is None or _normal(sent) != _normal(claims.content_type):
        raise RefusedError(
            400,
            "content_type_mismatch",
            f"the link is for a body of type {claims.content_type}; send it as Content-Type",
        )
    return claims.content_type


def _normal(content_type: str) -> list[str]:
    """A media type to compare: clients differ in case and blanks."""
    return [part.strip().lower() for part in content_type.split(";")]


def _announced(exchange: Exchange, claims: LinkClaims) -> tuple[int | None, dict[str, str]]:
    """Size and digests the storage is to hold the body to."""
    if "content-range" in exchange.headers:  # RFC 9110 section 14.5
        raise RefusedError(400, "partial_put", "a PUT replaces the whole; send no Content-Range")
    exchange.body.check_limit()
    size, bound = exchange.body.size, claims.content_length
    if bound is not None and size is not None and size != bound:
        raise RefusedError(
            400, "content_length_mismatch", f"the link is for a body of {bound} bytes"
        )
    digests = declared_digests(exchange.headers)
    if claims.checksum is not None:
        algorithm, digest = claims.checksum
        if digests.get(algorithm, digest) != digest:
            raise RefusedError(
                400, "body_mismatch", f"the link is for a body of another {algorithm}"
            )
        digests[algorithm] = digest
    return (bound if size is None else size), digests


async def _condition(
    exchange: Exchange, bucket: AsyncBucket, claims: LinkClaims
) -> tuple[str | None, bool]:
    """The request's conditions as ``if_match`` and ``if_absent`` of the write.

    What the storage can not check in one step is judged on the object as it is, and the
    write bound to just that state.
    """
    conditions = Preconditions.parse(exchange.headers)
    if not conditions.any:
        return None, claims.if_absent
    if conditions == Preconditions(none_match=ANY) and exchange.method == "PUT":
        return None, True
    match = conditions.match
    # One tag the storage checks itself; "*" would be the wildcard to it.
    if (
        match
        and match != ANY
        and match[0] != "*"
        and conditions == Preconditions(match[:1])
        and not claims.if_absent
    ):
        return match[0], False
    try:
        info = await bucket.head(claims.key, version=claims.version)
    except ObjectNotFoundError:
        info = None
    failed = conditions.check(info, reading=False) == "failed"
    if failed or (info is not None and claims.if_absent):
        raise RefusedError(412, "precondition_failed", "a condition does not hold")
    if info is None:
        return None, exchange.method == "PUT"
    return info.etag, False
