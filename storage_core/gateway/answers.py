"""Replies of the link server: headers of an object, and one table of failures."""

from __future__ import annotations

import binascii
import functools
import json
import re
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import quote

from storage_core import errors
from storage_core.gateway.conditions import whole_second
from storage_core.http.disposition import attachment
from storage_core.links import LinkClaims, LinkError
from storage_core.model import ObjectInfo

Headers = list[tuple[bytes, bytes]]

METADATA_PREFIX: Final = "x-storage-meta-"
VERSION_HEADER: Final = "x-storage-version"
_VERSION: Final = VERSION_HEADER.encode()
EXPOSED: Final = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "ETag",
    "Last-Modified",
    "Repr-Digest",
    "Retry-After",
    VERSION_HEADER,
    "X-Request-Id",
)
"""Headers that scripts of an allowed origin may see."""

GUARDS: Final[tuple[tuple[bytes, bytes], ...]] = (
    # An object is its owner's word, not ours: a browser that opens it must not guess a
    # livelier type, run its scripts with this origin's rights, or tell other sites its URL.
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'; style-src 'unsafe-inline'"),
    (b"referrer-policy", b"no-referrer"),
)

# RFC 9530 names, of the IANA registry of digest algorithms.
DIGEST_NAMES: Final = {"sha256": "sha-256", "md5": "md5", "sha1": "sha", "crc32c": "crc32c"}

_NOT_ETAG = re.compile(r"[^\x21\x23-\x7e]")
_NOT_VALUE = re.compile(r"[^\t\x20-\x7e]")


class RefusedError(Exception):
    """An answer other than success, as the client is told it.

    Attributes:
        status: HTTP status.
        code: Short name of the reason.
        message: For people.
        headers: Further headers.
        fields: Names of the request's fields at fault, each with what is wrong with it.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        *,
        fields: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.fields = fields

    def body(self) -> bytes:
        return json.dumps({"code": self.code, "message": self.message}).encode()


# First match by class counts. The client is told what it can act on; the library's own
# message may name the server's inside, so it goes to the log.
_FAILURES: Final[tuple[tuple[type[Exception], int, str, str], ...]] = (
    (errors.BucketNotFoundError, 404, "bucket_not_found", "the bucket does not exist"),
    (errors.VersionNotFoundError, 404, "version_not_found", "the object has no such version"),
    (errors.UploadNotFoundError, 404, "upload_not_found", "the upload is not open (any more)"),
    (errors.NotFoundError, 404, "object_not_found", "the object does not exist"),
    (errors.PreconditionFailedError, 412, "precondition_failed", "a condition does not hold"),
    (errors.NotModifiedError, 304, "not_modified", "the client's copy is current"),
    (errors.ObjectChangedError, 409, "object_changed", "the object was replaced meanwhile"),
    (errors.ConflictError, 409, "conflict", "the state of the object forbids this"),
    (errors.InvalidRangeError, 416, "invalid_range", "the range is outside of the object"),
    (errors.PartTooSmallError, 400, "part_too_small", "the part is below the minimum size"),
    (errors.InvalidRequestError, 400, "invalid_request", "the request can not be carried out"),
    (errors.IntegrityError, 400, "body_mismatch", "the body is not what was announced for it"),
    (errors.UnsupportedError, 501, "unsupported", "the storage behind can not do this"),
    (errors.PermissionDeniedError, 403, "permission_denied", "the storage behind forbids this"),
    (errors.QuotaExceededError, 507, "quota_exceeded", "the storage is full"),
    (errors.RateLimitedError, 503, "slow_down", "too many requests; try again later"),
    (errors.OperationTimeoutError, 504, "timeout", "the storage behind did not answer in time"),
    (errors.TransientError, 503, "unavailable", "the storage behind is out of order"),
    (errors.AuthenticationError, 502, "bad_gateway", "the storage behind refuses this server"),
    (errors.ClosedError, 503, "stopping", "the server is stopping"),
    (errors.ProfileNotFoundError, 503, "profile_not_served", "this server lacks the storage"),
)


def refusal_for(error: Exception) -> RefusedError:
    """What the client is told of a failure."""
    if isinstance(error, LinkError):
        return RefusedError(403, str(error.code), error.message)
    for kind, status, code, message in _FAILURES:
        if isinstance(error, kind):
            after = getattr(error, "retry_after", None)
            headers = ((b"retry-after", b"%d" % max(1, round(after))),) if after else ()
            return RefusedError(status, code, message, headers)
    return RefusedError(500, "internal_error", "the request failed on the server's side")


def object_headers(info: ObjectInfo, claims: LinkClaims) -> Headers:
    """All headers of a reply about an object but Content-Length and Content-Range."""
    content_type = claims.content_type or info.content_type or "application/octet-stream"
    disposition = info.content_disposition
    if claims.filename is not None:
        disposition = attachment(claims.filename)
    fields: list[tuple[bytes, str | None]] = [
        (b"content-type", content_type),
        (b"content-disposition", disposition),
        (b"content-encoding", info.content_encoding),
        (b"content-language", info.content_language),
        # The URL is a secret of its holder, and good for a while only.
        (b"cache-control", info.cache_control or "private, no-cache"),
        (b"etag", quoted_etag(info.etag)),
        (b"last-modified", _http_date(whole_second(info.modified))),
        (b"accept-ranges", "bytes"),
        (_VERSION, info.version),
        (b"repr-digest", repr_digest(info) or None),
    ]
    for name, value in info.metadata.items():
        fields.append(((METADATA_PREFIX + name).encode("ascii"), meta(value)))
    headers = [
        (name, value.encode("ascii"))
        for name, value in fields
        if value is not None and not _NOT_VALUE.search(value)
    ]
    headers += GUARDS
    return headers


@functools.lru_cache(256)
def _http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def quoted_etag(etag: str) -> str:
    """An entity tag; what may not stand in one is percent-encoded."""
    if _NOT_ETAG.search(etag):
        etag = _NOT_ETAG.sub(lambda found: quote(found.group()), etag)
    return f'"{etag}"'


def repr_digest(info: ObjectInfo) -> str:
    """Value of Repr-Digest (RFC 9530 section 3): digests of the whole object, also in the
    answer to a range."""
    return ", ".join(
        f"{DIGEST_NAMES[algorithm]}=:{_base64(digest)}:"
        for algorithm, digest in info.checksums.items()
        if algorithm in DIGEST_NAMES
    )


def _base64(hexdigest: str) -> str:
    return binascii.b2a_base64(bytes.fromhex(hexdigest), newline=False).decode()


def meta(value: str) -> str:
    """Value of user metadata in a header: UTF-8, percent-encoded but for visible ASCII."""
    return quote(value, safe="!\"#$&'()*+,/:;<=>?@[\\]^`{|}~")
