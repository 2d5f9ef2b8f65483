"""AWS Signature Version 4 for S3: signed headers and presigned links. Pure: no I/O, no clock.

After "Authenticating Requests" of the Amazon S3 API reference (sig-v4-header-based-auth,
sigv4-query-string-auth). S3 signs the path as it is sent, neither normalised nor encoded
again. Whoever calls hands over path and query encoded by `encode_key` and `canonical_query`,
and sends them byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from hmac import digest as hmac_digest
from operator import itemgetter
from time import gmtime, strftime
from typing import NamedTuple
from urllib.parse import quote

from storage_core.http.head import Lines, template_of

UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
MAX_EXPIRES = 7 * 24 * 3600
"""Seconds a presigned link can be good for at most."""

ALGORITHM = "AWS4-HMAC-SHA256"
_OPEN = "\0"  # is in no name and no host
_MAX_LAYOUTS = 1024

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
    """How headers are signed and sent; depends on their names, the host and the second alone.

    Attributes:
        ordered: Puts values given in another order than this one into it; None for none.
        template: Lines of the headers and the list of their names, as they are signed.
        lines: The same lines as they are sent; None where the transport has a say in them.
        names: Of the headers as they are sent, ``authorization`` the last.
        authorization: All of that header but the signature.
    """

    ordered: Callable[[tuple[str, ...]], tuple[str, ...]] | None
    template: str
    lines: str | None
    names: tuple[str, ...]
    authorization: str


class _Second:
    """All that is signed and depends on the second alone."""

    __slots__ = ("_layouts", "authorization", "date", "inner", "number", "outer", "query", "scope")

    def __init__(self, number: int, keys: Keys, day: _Day) -> None:
        self.number = number
        self._layouts: dict[tuple[str, tuple[str, ...]], _Layout] = {}
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

    def layout(self, host: str, names: tuple[str, ...]) -> _Layout:
        """The layout of these headers, ``host`` and ``x-amz-date``."""
        layout = self._layouts.get((host, names))
        if layout is None:
            if len(self._layouts) >= _MAX_LAYOUTS:
                self._layouts.clear()
            self._layouts[host, names] = layout = self._laid_out(host, names)
        return layout

    def _laid_out(self, host: str, names: tuple[str, ...]) -> _Layout:
        fixed = {"host": host, "x-amz-date": self.date}
        ordered = sorted({*fixed, *names})
        signed = ";".join(ordered)
        lines = "".join([f"{name}:{fixed.get(name, _OPEN)}\n" for name in ordered])
        places = [names.index(name) for name in ordered if name not in fixed]
        given = [names[place] for place in places]
        sent = (*given, "x-amz-date", "authorization")
        return _Layout(
            None if places == sorted(places) else itemgetter(*places),
            f"{lines}\n{signed}\n".replace("%", "%%").replace(_OPEN, "%s"),
            template_of(sent),
            sent,
            f"{self.authorization}{signed}, Signature=",
        )

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

    __slots__ = (
        "_added",
        "_day",
        "_hashed",
        "_last",
        "_second",
        "_service",
        "_token",
        "keys",
        "region",
    )

    def __init__(self, keys: Keys, region: str, service: str = "s3") -> None:
        self.keys = keys
        self.region = region
        self._service = service
        token = keys.session_token
        self._last: tuple[str, ...] = (token,) if token else ()
        self._hashed = service == "s3"
        self._added: tuple[str, ...] = ("x-amz-content-sha256",) if self._hashed else ()
        if token:
            self._added = (*self._added, "x-amz-security-token")
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
    ) -> Mapping[str, str]:
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
        ordered, template, lines, names, authorization = second.layout(
            host, (*headers, *self._added)
        )
        if self._hashed:
            values = (*headers.values(), payload, *self._last)
        else:
            values = (*headers.values(), *self._last)
        if ordered is not None:
            values = ordered(values)
        block = template % values
        # Spaces around a value are not signed, and several within count as one. Most values have
        # none at all, which the whole block tells at once.
        if " " in block or "\t" in block:
            block = template % tuple([" ".join(value.split()) for value in values])
        signature = second.signature(f"{method}\n{path}\n{query}\n{block}{payload}")
        sent = (*values, second.date, authorization + signature)
        if lines is None:
            return dict(zip(names, sent, strict=True))
        return Lines(names, sent, lines % sent)

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
            ordered = sorted({"host": host, **headers}.items())
            names = [name for name, _ in ordered]
            signed, shown = ";".join(names), "%3B".join([quote(name, safe="") for name in names])
            block = "".join([f"{name}:{' '.join(value.split())}\n" for name, value in ordered])
        else:
            signed = shown = "host"
            block = f"host:{host}\n"
        own = f"{second.query}{expires_in}{self._token}&X-Amz-SignedHeaders={shown}"
        if query:
            own = f"{own}&{query}" if query > "X-B" else _merged(own, query)
        signature = second.signature(f"{method}\n{path}\n{own}\n{block}\n{signed}\n{payload}")
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


def _merged(own: str, query: str) -> str:
    """Two queries put in order; names that sort before ``X-Amz-`` are rare."""
    pairs = [pair.partition("=") for pair in (*own.split("&"), *query.split("&"))]
    return "&".join(["".join(pair) for pair in sorted(pairs)])
