"""AWS Signature Version 4 for S3: signed headers and presigned links. Pure: no I/O, no clock.

After "Authenticating Requests" of the Amazon S3 API reference (sig-v4-header-based-auth,
sigv4-query-string-auth). S3 signs the path as it is sent, neither normalised nor encoded
again. Whoever calls hands over path and query encoded by `encode_key` and `canonical_query`,
and sends them byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from hmac import digest as hmac_digest
from operator import itemgetter
from time import gmtime, strftime
from typing import NamedTuple
from urllib.parse import quote

UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
MAX_EXPIRES = 7 * 24 * 3600
"""Seconds a presigned link can be good for at most."""

ALGORITHM = "AWS4-HMAC-SHA256"

_PLAIN_KEY = re.compile(r"[A-Za-z0-9._~/-]*").fullmatch
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9._~-]*").fullmatch


class Keys(NamedTuple):
    """An access key, its secret, and the token that goes with temporary ones."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"Keys({self.access_key_id!r}, ***)"


def encode_key(key: str) -> str:
    """A key as it stands in a path: UTF-8, percent-encoded but for letters, digits and
    ``-._~/``."""
    return key if _PLAIN_KEY(key) else quote(key, safe="/")


def encode_text(text: str) -> str:
    """A name or value as it stands in a query: as in a path, with ``/`` encoded too."""
    return text if _PLAIN_TEXT(text) else quote(text, safe="")


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Query parameters encoded and in the order that is signed; sent as they are."""
    encoded = sorted([(encode_text(name), encode_text(value)) for name, value in pairs])
    return "&".join([f"{name}={value}" for name, value in encoded])


def signing_key(secret_access_key: str, date: str, region: str, service: str) -> bytes:
    """The key of one day (``YYYYMMDD``), region and service."""
    key = f"AWS4{secret_access_key}".encode()
    for step in (date, region, service, "aws4_request"):
        key = hmac_digest(key, step.encode(), "sha256")
    return key


class _Layout(NamedTuple):
    """How the headers of a request are put in order; depends on their names alone."""

    names: tuple[str, ...]
    values: Callable[[Mapping[str, str]], tuple[str, ...]]
    template: str
    signed: str
    signed_query: str


@lru_cache(maxsize=1024)
def _layout(*names: str) -> _Layout:
    """The layout of these headers and ``host``."""
    ordered = tuple(sorted({"host", *names}))
    signed = ";".join(ordered)
    lines = "".join(f"{name.replace('%', '%%')}:%s\n" for name in ordered)
    values = itemgetter(*ordered) if len(ordered) > 1 else _only_host
    return _Layout(ordered, values, lines, signed, quote(signed, safe=""))


def _only_host(headers: Mapping[str, str]) -> tuple[str, ...]:
    return (headers["host"],)


def _header_block(layout: _Layout, headers: Mapping[str, str]) -> str:
    block = layout.template % layout.values(headers)
    # Spaces around a value are not signed, and several within it count as one. Most values
    # have none at all, which the whole block tells at once.
    if " " in block or "\t" in block:
        block = layout.template % tuple(" ".join(headers[name].split()) for name in layout.names)
    return block


class _Second:
    """All that is signed and depends on the second alone."""

    __slots__ = ("authorization", "date", "inner", "number", "outer", "query", "scope")

    def __init__(self, number: int, keys: Keys, day: _Day) -> None:
        self.number = number
        self.date = date = strftime("%Y%m%dT%H%M%SZ", gmtime(number))
        self.scope = scope = f"{day.date}/{day.scope}"
        self.authorization = f"{ALGORITHM} Credential={keys.access_key_id}/{scope}, SignedHeaders="
        self.query = (
            f"X-Amz-Algorithm={ALGORITHM}"
            f"&X-Amz-Credential={quote(f'{keys.access_key_id}/{scope}', safe='')}"
            f"&X-Amz-Date={date}&X-Amz-Expires="
        )
        # HMAC (RFC 2104) by hand: its two hashes are kept with the key in them, the inner
        # one also with the head of the string to sign, which the second fixes.
        self.inner = day.inner.copy()
        self.inner.update(f"{ALGORITHM}\n{date}\n{scope}\n".encode())
        self.outer = day.outer

    def signature(self, canonical_request: str) -> str:
        inner = self.inner.copy()
        inner.update(sha256(canonical_request.encode()).hexdigest().encode())
        outer = self.outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


class _Day:
    """All that is signed and depends on the day alone."""

    __slots__ = ("date", "inner", "key", "number", "outer", "scope")

    def __init__(self, number: int, keys: Keys, region: str, service: str) -> None:
        self.number = number
        self.date = strftime("%Y%m%d", gmtime(number * 86400))
        self.scope = f"{region}/{service}/aws4_request"
        self.key = signing_key(keys.secret_access_key, self.date, region, service)
        padded = self.key.ljust(64, b"\0")
        self.inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self.outer = sha256(bytes(byte ^ 0x5C for byte in padded))


class Seed(NamedTuple):
    """What the signatures of a streamed body's chunks start from: the request's own signature,
    its time as signed, the scope, and the key."""

    signature: str
    date: str
    scope: str
    key: bytes


class Signer:
    """Signs requests with one account's keys for one region; shared by threads.

    Args:
        keys: The account's.
        region: Such as ``"eu-central-1"``.
        service: ``"s3"``, which carries the hash of the payload in a header of its own.
    """

    __slots__ = ("_day", "_payload_header", "_second", "_service", "_token", "keys", "region")

    def __init__(self, keys: Keys, region: str, service: str = "s3") -> None:
        self.keys = keys
        self.region = region
        self._service = service
        self._payload_header = service == "s3"
        self._token = (
            f"&X-Amz-Security-Token={quote(keys.session_token, safe='')}"
            if keys.session_token
            else ""
        )
        self._day = _Day(0, keys, region, service)
        self._second = _Second(0, keys, self._day)

    def __repr__(self) -> str:
        return f"<Signer {self.keys.access_key_id} {self.region}>"

    def _at(self, number: int) -> _Second:
        day = self._day
        if day.number != number // 86400:
            self._day = day = _Day(number // 86400, self.keys, self.region, self._service)
        self._second = second = _Second(number, self.keys, day)
        return second

    def sign(
        self,
        method: str,
        host: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        payload: str,
        now: float,
    ) -> dict[str, str]:
        """Headers of a request, signed.

        Args:
            method: Of the request.
            host: What its ``Host`` header will say.
            path: Encoded, begins with ``/``.
            query: As `canonical_query` gives it, without ``?``; empty for none.
            headers: Names in lower case and values; all of them are signed. Not among them
                are ``host`` and those added here.
            payload: SHA-256 of the body in hexadecimal, or one of this module's words.
            now: Seconds of the epoch.

        Returns:
            The headers, and those that S3 wants: ``x-amz-content-sha256``, ``x-amz-date``,
            ``x-amz-security-token`` with temporary keys, and ``authorization``.
        """
        number = int(now)
        second = self._second
        if second.number != number:
            second = self._at(number)
        signed = {**headers, "x-amz-date": second.date, "host": host}
        if self._payload_header:
            signed["x-amz-content-sha256"] = payload
        if self._token:
            signed["x-amz-security-token"] = self.keys.session_token or ""
        layout = _layout(*signed)
        block = _header_block(layout, signed)
        canonical = f"{method}\n{path}\n{query}\n{block}\n{layout.signed}\n{payload}"
        signature = second.signature(canonical)
        del signed["host"]
        signed["authorization"] = f"{second.authorization}{layout.signed}, Signature={signature}"
        return signed

    def presign(
        self,
        method: str,
        host: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        expires_in: int,
        now: float,
        payload: str = UNSIGNED,
    ) -> str:
        """Path and query of a presigned link.

        Args:
            method: The one it is good for.
            host: What the ``Host`` header will say.
            path: Encoded, begins with ``/``.
            query: As for `sign`.
            headers: Those the holder must send, names in lower case.
            expires_in: Seconds it is good for, at most `MAX_EXPIRES`.
            now: Seconds of the epoch.
            payload: S3 leaves the body of a link unsigned.
        """
        number = int(now)
        second = self._second
        if second.number != number:
            second = self._at(number)
        if headers:
            layout = _layout(*headers)
            block = _header_block(layout, {**headers, "host": host})
        else:
            layout = _HOST
            block = f"host:{host}\n"
        own = f"{second.query}{expires_in}{self._token}&X-Amz-SignedHeaders={layout.signed_query}"
        if query:
            own = f"{own}&{query}" if query > "X-B" else _merged(own, query)
        signature = second.signature(
            f"{method}\n{path}\n{own}\n{block}\n{layout.signed}\n{payload}"
        )
        return f"{path}?{own}&X-Amz-Signature={signature}"

    def seed(self, headers: Mapping[str, str]) -> Seed:
        """Where the signatures of a streamed body's chunks start.

        Args:
            headers: As `sign` returned them.
        """
        date = headers["x-amz-date"]
        key = signing_key(self.keys.secret_access_key, date[:8], self.region, self._service)
        scope = f"{date[:8]}/{self.region}/{self._service}/aws4_request"
        return Seed(headers["authorization"][-64:], date, scope, key)


_HOST = _layout()


def _merged(own: str, query: str) -> str:
    """Two queries put in order; names that sort before ``X-Amz-`` are rare."""
    pairs = [pair.partition("=") for pair in (*own.split("&"), *query.split("&"))]
    return "&".join(["".join(pair) for pair in sorted(pairs)])
