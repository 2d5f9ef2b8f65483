"""Checking links."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, cast, get_args
from urllib.parse import unquote_to_bytes

from storage_core.errors import PermissionDeniedError
from storage_core.links.format import (
    FORMAT,
    KNOWN,
    OPTIONAL,
    REQUIRED,
    ROUTE,
    LinkClaims,
    message,
    number,
)
from storage_core.links.keys import LinkKeys
from storage_core.model import Method

Reason: TypeAlias = Literal["malformed", "signature", "verb", "expired"]

_METHODS: Final = frozenset(get_args(Method))
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class LinkError(PermissionDeniedError):
    """A link is not good for the request that came with it.

    Attributes:
        reason: ``"malformed"`` (not a link of this format), ``"signature"`` (altered, or
            signed with a key that is not accepted), ``"verb"`` (another method than the
            link's) or ``"expired"``.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message, status=403, code=f"link_{reason}")
        self.reason: Reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return LinkError, (self.reason, self.message)


def verify_link(method: str, path: str, query: str, keys: LinkKeys, now: datetime) -> LinkClaims:
    """Check a request against the link it came with.

    Args:
        method: The request's method.
        path: Its path below the base URL as it was sent, still percent-encoded.
        query: Its query, without the ``?``.
        keys: The accepted keys.
        now: The clock.

    Returns:
        What the link allows.

    Raises:
        LinkError: with the `LinkError.reason`. The signature is looked at before anything
            it covers, in constant time.
    """
    parameters = _parse_query(query)
    bucket, key = _parse_path(path)
    try:
        signature = parameters.pop("sc-signature").encode("ascii")
        key_id = parameters["sc-key-id"]
        link_format = parameters["sc-format"]
        signed = message(bucket, key, parameters)
    except (KeyError, UnicodeEncodeError):
        raise LinkError("malformed", "the URL is not a signed link") from None
    if link_format != FORMAT:
        raise LinkError("malformed", "the link has a format this server does not know")
    expected = keys.signature(key_id, signed)
    if expected is None or not hmac.compare_digest(expected.encode(), signature):
        raise LinkError("signature", "the link was altered, or its key is not accepted any more")
    if unknown := parameters.keys() - KNOWN:
        # Signed by a newer version, which meant something by it that we would ignore.
        raise LinkError("malformed", f"the link says {min(unknown)}, which is not known here")
    claims = _claims(bucket, key, parameters)
    if claims.method != method:
        raise LinkError("verb", f"the link is for {claims.method}, not for this method")
    if now.timestamp() >= claims.expires:
        raise LinkError("expired", "the link has expired")
    return claims


def _claims(bucket: str, key: str, parameters: Mapping[str, str]) -> LinkClaims:
    """Typed claims of parameters whose signature holds: what our signer never writes is the
    bug of another one, not a reason to guess."""
    try:
        optional: dict[str, Any] = {}
        if len(parameters) > len(REQUIRED):
            optional = {
                attribute: decode(parameters[name])
                for name, attribute, _, decode in OPTIONAL
                if name in parameters
            }
        method = parameters["sc-method"]
        if method not in _METHODS:
            raise ValueError(method)
        return LinkClaims(
            method=cast("Method", method),
            bucket=bucket,
            key=key,
            expires=number(parameters["sc-expires"]),
            id=parameters["sc-id"],
            key_id=parameters["sc-key-id"],
            issuer=parameters.get("sc-issuer", ""),
            **optional,
        )
    except (KeyError, ValueError):
        raise LinkError("malformed", "the link lacks a parameter or has a wrong one") from None


def _parse_path(path: str) -> tuple[str, str]:
    bucket, slash, key = path.removeprefix(ROUTE).partition("/")
    if not path.startswith(ROUTE) or not slash or not bucket or not key:
        raise LinkError("malformed", "the path is not that of a link")
    return _decode(bucket), _decode(key)


def _parse_query(query: str) -> dict[str, str]:
    """Parameters by name. Only ours, each once: an unsigned stranger might be meant to
    change the reply, and guessing which ones are harmless is how holes begin."""
    parameters: dict[str, str] = {}
    encoded = "%" in query or "+" in query or not query.isascii()
    for pair in query.split("&") if query else ():
        name, equals, value = pair.partition("=")
        if encoded:
            # Some clients write a space of the query as "+"; a real plus is always "%2B".
            name, value = _decode(name), _decode(value.replace("+", " "))
        if not equals or not name.startswith("sc-") or name in parameters:
            raise LinkError("malformed", "the URL has a parameter that is not part of the link")
        parameters[name] = value
    return parameters


def _decode(text: str) -> str:
    if "%" not in text and text.isascii():
        return text
    if _BAD_ESCAPE.search(text):
        raise LinkError("malformed", "the URL has a malformed percent-encoding")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeError:
        raise LinkError("malformed", "the URL is not UTF-8") from None
