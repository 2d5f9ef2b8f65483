"""Making links."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Final, get_args

from storage_core.errors import ConfigError, InvalidKeyError, InvalidRequestError
from storage_core.keys import check_existing_bucket_name, check_existing_key, check_header
from storage_core.links.format import FORMAT, OPTIONAL, ROUTE, check_digest, encode, message
from storage_core.links.keys import LinkKeys
from storage_core.model import EMPTY, Link, Method
from storage_core.requests import PresignRequest

MAX_LINK_SECONDS: Final = 7 * 24 * 3600

_METHODS: Final = frozenset(get_args(Method))
_ISSUER = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_BASE_URL = re.compile(r"https?://[^/?#\s@]+(?:/[^?#\s]*)?", re.IGNORECASE)
# Segments that clients and proxies collapse or rewrite; a slash next to one is encoded.
_FRAGILE: Final = frozenset(("", ".", ".."))


def sign_link(base_url: str, keys: LinkKeys, request: PresignRequest, *, issuer: str = "") -> Link:
    """Sign a gateway link.

    Args:
        base_url: Where the link server is reached, such as ``https://files.example.org/s``.
        keys: The newest one signs.
        request: What the link allows; `PresignRequest.now` is the clock.
        issuer: Who vouches for it, for the server's log.

    Returns:
        The link. `Link.headers` holds the bound content type of an upload; its bound
        length and digest are checked by the server on the bytes themselves.

    Raises:
        ConfigError: the base URL is not one.
        InvalidRequestError: something that can not be bound together, or is malformed.
    """
    _check(request, issuer)
    if not _BASE_URL.fullmatch(base_url):
        raise ConfigError(
            f"links.base_url {base_url!r} is not of the form http(s)://host[:port][/path]"
        )
    expires = int(request.now.timestamp()) + request.expires_in
    parameters = {
        "sc-format": FORMAT,
        "sc-id": secrets.token_urlsafe(12),
        "sc-key-id": keys.newest,
        "sc-method": request.method,
        "sc-expires": str(expires),
    }
    if issuer:
        parameters["sc-issuer"] = issuer
    for name, attribute, write, _ in OPTIONAL:
        value = getattr(request, attribute)
        if value is not None and value is not False:
            parameters[name] = write(value)
    signed = message(request.bucket, request.key, parameters)
    signature = keys.signature(keys.newest, signed)
    query = "&".join(f"{name}={encode(value)}" for name, value in parameters.items())
    return Link(
        url=f"{base_url.rstrip('/')}{link_path(request.bucket, request.key)}"
        f"?{query}&sc-signature={signature}",
        method=request.method,
        headers=MappingProxyType({"Content-Type": request.content_type})
        if request.content_type is not None and request.method == "PUT"
        else EMPTY,
        expires_at=datetime.fromtimestamp(expires, UTC),
    )


def link_path(bucket: str, key: str) -> str:
    """Path of an object below the base URL, percent-encoded.

    A slash stays one for readability, except beside an empty, ``.`` or ``..`` segment:
    URL parsers and proxies merge or resolve those, so there it becomes ``%2F``.

    Raises:
        InvalidKeyError: the key is ``.`` or ``..``, which no URL can carry.
    """
    if key in (".", ".."):
        raise InvalidKeyError(f"key {key!r} can not be part of a URL; HTTP clients remove it")
    segments = key.split("/")
    out = [ROUTE, encode(bucket), "/", encode(segments[0])]
    for before, segment in pairwise(segments):
        out.append("%2F" if before in _FRAGILE or segment in _FRAGILE else "/")
        out.append(encode(segment))
    return "".join(out)


def _check(request: PresignRequest, issuer: str) -> None:
    """Refuse what can not be signed or could never be redeemed."""
    check_existing_bucket_name(request.bucket)
    check_existing_key(request.key)
    if request.method not in _METHODS:
        raise InvalidRequestError(f"method {request.method!r} is not GET, HEAD, PUT or DELETE")
    if not 0 < request.expires_in <= MAX_LINK_SECONDS:
        raise InvalidRequestError(
            f"expires_in is {request.expires_in} seconds; use 1 to {MAX_LINK_SECONDS}"
        )
    if issuer and not _ISSUER.fullmatch(issuer):
        raise InvalidRequestError(f"issuer {issuer!r} is not 1 to 128 visible ASCII characters")
    if (request.upload_id is None) != (request.part_number is None):
        raise InvalidRequestError("a link to a part needs upload_id and part_number")
    _check_fits(request)
    if request.part_number is not None and not 1 <= request.part_number <= 10_000:
        raise InvalidRequestError(f"part number {request.part_number} is not 1 to 10000")
    if request.content_type is not None:
        check_header("content_type", request.content_type)
    if request.content_length is not None and request.content_length < 0:
        raise InvalidRequestError("content_length is negative")
    if request.checksum is not None:
        check_digest(*request.checksum)
    filename = request.filename
    if filename is not None and not (filename.isprintable() and 0 < len(filename) <= 255):
        raise InvalidRequestError(f"filename {filename!r} is not 1 to 255 printable characters")


def _check_fits(request: PresignRequest) -> None:
    """Refuse a parameter that means nothing with the method: it would promise too much."""
    is_put = request.method == "PUT"
    is_part = request.upload_id is not None
    is_read = request.method in ("GET", "HEAD")
    for name, given, fits in (
        ("upload_id", is_part, is_put),
        ("version", request.version is not None, not is_put),
        ("content_type", request.content_type is not None, (is_put and not is_part) or is_read),
        ("content_length", request.content_length is not None, is_put),
        ("checksum", request.checksum is not None, is_put),
        ("filename", request.filename is not None, request.method == "GET"),
        ("if_absent", request.if_absent, is_put and not is_part),
    ):
        if given and not fits:
            what = "a part" if is_part else request.method
            raise InvalidRequestError(f"a link for {what} can not bind {name}")
