"""Gateway links: presigned URLs that the project's own server redeems. Pure, no I/O.

A link is an ordinary URL whose query says what its holder may do, with an HMAC over all of
it. Whoever has the secret can sign and verify; nothing is stored per link.

    {base_url}/o/{bucket}/{key}?sc-format=1&sc-id=…&…&sc-signature=…

The signature is the unpadded base64url form of HMAC-SHA256 (RFC 2104) over these lines,
each value percent-encoded so that only ``A-Z a-z 0-9 - . _ ~`` stand as they are:

    storage-core-link
    the bucket
    the key
    the parameters but the signature, name=value, joined by "&" in order of their names

It covers decoded values, so a client or proxy that spells the same URL differently (other
percent-encoding, other order of parameters) does no harm, and every other change is
refused. So is any parameter this page does not name, and one given twice.
"""

from __future__ import annotations

import binascii
import hmac
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, cast, get_args
from urllib.parse import quote, unquote_to_bytes

from storage_core.checksum import ALGORITHMS
from storage_core.errors import (
    ConfigError,
    InvalidKeyError,
    InvalidRequestError,
    PermissionDeniedError,
)
from storage_core.keys import check_existing_bucket_name, check_existing_key, check_header
from storage_core.model import EMPTY, Link, Method
from storage_core.requests import PresignRequest

FORMAT: Final = "1"
ROUTE: Final = "/o/"
"""First segment of a link's path, below the base URL."""
MAX_LINK_SECONDS: Final = 7 * 24 * 3600
MIN_SECRET_BYTES: Final = 16

Reason: TypeAlias = Literal["malformed", "signature", "verb", "expired"]

_METHODS: Final = frozenset(get_args(Method))
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_ISSUER = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9._~-]*", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BASE_URL = re.compile(r"https?://[^/?#\s@]+(?:/[^?#\s]*)?", re.IGNORECASE)
_UNSAFE_NAME = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Segments that clients and proxies collapse or rewrite; a slash next to one is encoded.
_FRAGILE: Final = frozenset(("", ".", ".."))


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


class LinkKeys:
    """Secrets that links are signed with: all of them verify, the last one signs.

    To rotate, add a key at the end; drop the old one when its last link has expired.

    Args:
        secrets: Key id to secret, oldest first. An id has 1 to 64 of ``A-Z a-z 0-9 . _ -``,
            a secret at least 16 bytes.

    Raises:
        ConfigError: no key, a malformed id, or a short secret.
    """

    __slots__ = ("_secrets", "newest")

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        if not secrets:
            raise ConfigError("there is no link key; set links.keys")
        for key_id, secret in secrets.items():
            if not _KEY_ID.fullmatch(key_id):
                raise ConfigError(f"link key id {key_id!r} is not 1 to 64 of A-Z a-z 0-9 . _ -")
            if len(secret) < MIN_SECRET_BYTES:
                raise ConfigError(
                    f"link key {key_id!r} has {len(secret)} bytes; use at least"
                    f" {MIN_SECRET_BYTES}, better 32 random ones"
                )
        self._secrets = MappingProxyType(dict(secrets))
        self.newest = next(reversed(self._secrets))
        """Id of the key that signs."""

    @classmethod
    def generate(cls) -> LinkKeys:
        """One new random key of 32 bytes."""
        return cls({secrets.token_hex(4): secrets.token_bytes(32)})

    def signature(self, key_id: str, message: bytes) -> str | None:
        """Signature of a message, None for a key that is not accepted."""
        secret = self._secrets.get(key_id)
        if secret is None:
            return None
        mac = hmac.digest(secret, message, "sha256")
        return binascii.b2a_base64(mac, newline=False).decode().translate(_URL_SAFE).rstrip("=")

    def __iter__(self) -> Iterator[str]:
        return iter(self._secrets)

    def __len__(self) -> int:
        return len(self._secrets)

    def __repr__(self) -> str:
        return f"<LinkKeys {', '.join(self)}>"

    def __reduce__(self) -> tuple[object, ...]:
        return LinkKeys, (dict(self._secrets),)


_URL_SAFE = str.maketrans("+/", "-_")


@dataclass(frozen=True, slots=True)
class LinkClaims:
    """What a verified link allows.

    Attributes:
        id: Random id of the link, for logs.
        key_id: The key that signed it.
        expires: Unix seconds from which on it is refused.
        issuer: Who vouches for it: a service or an access grant; empty for the profile.
        content_type: On PUT what the body must be, on GET and HEAD what the reply says.
        content_length: Exact size of the body in bytes.
        checksum: Algorithm and hexadecimal digest of the body.
        filename: Name under which the reply is to be saved.
        if_absent: The object must not exist yet.
    """

    method: Method
    bucket: str
    key: str
    expires: int
    id: str
    key_id: str
    issuer: str = ""
    version: str | None = None
    upload_id: str | None = None
    part_number: int | None = None
    content_type: str | None = None
    content_length: int | None = None
    checksum: tuple[str, str] | None = None
    filename: str | None = None
    if_absent: bool = False


# --- signing --------------------------------------------------------------------------


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
    for name, attribute, encode, _ in _OPTIONAL:
        value = getattr(request, attribute)
        if value is not None and value is not False:
            parameters[name] = encode(value)
    message = _message(request.bucket, request.key, parameters)
    signature = keys.signature(keys.newest, message)
    query = "&".join(f"{name}={_encode(value)}" for name, value in parameters.items())
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
    out = [ROUTE, _encode(bucket), "/", _encode(segments[0])]
    for before, segment in pairwise(segments):
        out.append("%2F" if before in _FRAGILE or segment in _FRAGILE else "/")
        out.append(_encode(segment))
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
    if request.filename is not None and (
        not request.filename or len(request.filename) > 255 or _UNSAFE_NAME.search(request.filename)
    ):
        raise InvalidRequestError(
            f"filename {request.filename!r} is not 1 to 255 printable characters"
        )


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
        ("filename", request.filename is not None, is_read),
        ("if_absent", request.if_absent, is_put and not is_part),
    ):
        if given and not fits:
            what = "a part" if is_part else request.method
            raise InvalidRequestError(f"a link for {what} can not bind {name}")


def check_digest(algorithm: str, digest: str) -> None:
    """Refuse an unknown algorithm or a digest that is not its length in hexadecimal.

    Raises:
        InvalidRequestError: so.
    """
    if algorithm not in ALGORITHMS:
        raise InvalidRequestError(
            f"checksum algorithm {algorithm!r} is not one of {', '.join(ALGORITHMS)}"
        )
    size = ALGORITHMS[algorithm][1]
    if not re.fullmatch(f"[0-9a-fA-F]{{{2 * size}}}", digest, re.ASCII):
        raise InvalidRequestError(f"a {algorithm} checksum is {2 * size} hexadecimal digits")


def _encode(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text, safe="")


def _message(bucket: str, key: str, parameters: Mapping[str, str]) -> bytes:
    """The bytes that are signed; see the top of the module."""
    query = "&".join(f"{name}={_encode(parameters[name])}" for name in sorted(parameters))
    lines = ("storage-core-link", _encode(bucket), _encode(key), query)
    return "\n".join(lines).encode("ascii")


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _digest(text: str) -> tuple[str, str]:
    algorithm, _, digest = text.partition(":")
    check_digest(algorithm, digest)
    return algorithm, digest


# Parameter, attribute of both request and claims, how it is written, how it is read.
_OPTIONAL: Final[tuple[tuple[str, str, Callable[[Any], str], Callable[[str], object]], ...]] = (
    ("sc-version", "version", str, str),
    ("sc-upload", "upload_id", str, str),
    ("sc-part", "part_number", str, _number),
    ("sc-content-type", "content_type", str, str),
    ("sc-content-length", "content_length", str, _number),
    ("sc-checksum", "checksum", lambda pair: ":".join(pair).lower(), _digest),
    ("sc-filename", "filename", str, str),
    ("sc-if-absent", "if_absent", lambda _: "1", {"1": True}.__getitem__),
)
_REQUIRED: Final = ("sc-format", "sc-id", "sc-key-id", "sc-method", "sc-expires")
_KNOWN: Final = frozenset((*_REQUIRED, "sc-issuer", *(row[0] for row in _OPTIONAL)))


# --- verifying ------------------------------------------------------------------------


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
        message = _message(bucket, key, parameters)
    except (KeyError, UnicodeEncodeError):
        raise LinkError("malformed", "the URL is not a signed link") from None
    if link_format != FORMAT:
        raise LinkError("malformed", "the link has a format this server does not know")
    expected = keys.signature(key_id, message)
    if expected is None or not hmac.compare_digest(expected.encode(), signature):
        raise LinkError("signature", "the link was altered, or its key is not accepted any more")
    if unknown := parameters.keys() - _KNOWN:
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
        optional: dict[str, Any] = {
            attribute: decode(parameters[name])
            for name, attribute, _, decode in _OPTIONAL
            if name in parameters
        }
        method = parameters["sc-method"]
        if method not in _METHODS:
            raise ValueError(method)
        return LinkClaims(
            method=cast("Method", method),
            bucket=bucket,
            key=key,
            expires=_number(parameters["sc-expires"]),
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
    for pair in query.split("&") if query else ():
        name, equals, value = pair.partition("=")
        name = _decode(name)
        if not equals or not name.startswith("sc-") or name in parameters:
            raise LinkError("malformed", "the URL has a parameter that is not part of the link")
        # Some clients write a space of the query as "+"; a real plus is always "%2B".
        parameters[name] = _decode(value.replace("+", " "))
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
