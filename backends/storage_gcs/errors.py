"""What answers of Cloud Storage mean: one table on (status, service code).

The JSON API names a failure by a reason (``notFound``), the XML API by a code
(``NoSuchKey``); both stand in one table here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from storage_core.errors import (
    AuthenticationError,
    BucketNotFoundError,
    ConfigError,
    ConflictError,
    IntegrityError,
    InvalidRangeError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    ObjectNotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    RateLimitedError,
    StorageError,
    UnavailableError,
    UnsupportedError,
    UploadNotFoundError,
    VersionNotFoundError,
)
from storage_core.http.dates import parse_http_date
from storage_core.http.xml import parse_xml
from storage_gcs.error_table import AGAIN, BODY, RENEW, TABLE

Kind: TypeAlias = Literal["service", "bucket", "object", "upload", "version"]


class Asked(NamedTuple):
    """What a request asked for, as far as messages need it.

    Attributes:
        permission: The IAM permission it takes, such as ``"storage.objects.get"``.
        kind: What a 404 that does not say it is about.
    """

    permission: str
    kind: Kind


GET = Asked("storage.objects.get", "object")
GET_VERSION = Asked("storage.objects.get", "version")
PUT = Asked("storage.objects.create", "bucket")
DELETE = Asked("storage.objects.delete", "object")
DELETE_MANY = Asked("storage.objects.delete", "bucket")
UPDATE = Asked("storage.objects.update", "object")
COPY = Asked("storage.objects.get and storage.objects.create", "object")
COPY_VERSION = Asked("storage.objects.get and storage.objects.create", "version")
LIST = Asked("storage.objects.list", "bucket")
GET_BUCKET = Asked("storage.buckets.get", "bucket")
CREATE_BUCKET = Asked("storage.buckets.create", "service")
DELETE_BUCKET = Asked("storage.buckets.delete", "bucket")
LIST_BUCKETS = Asked("storage.buckets.list", "service")
CREATE_UPLOAD = Asked("storage.multipartUploads.create", "bucket")
UPLOAD = Asked("storage.multipartUploads.create", "upload")
LIST_PARTS = Asked("storage.multipartUploads.listParts", "upload")
ABORT_UPLOAD = Asked("storage.multipartUploads.abort", "upload")
LIST_UPLOADS = Asked("storage.multipartUploads.list", "bucket")
SIGN = Asked("iam.serviceAccounts.signBlob", "service")


class ErrorAnswer(NamedTuple):
    """What the body of an answer says; `code` None where it says nothing."""

    code: str | None
    message: str


_NO_ANSWER = ErrorAnswer(None, "")
_SHOWN = 300

RENEWABLE: Final = frozenset({"authError", "expired", "ExpiredToken", "AuthenticationRequired"})
"""Codes of credentials that newer ones may replace."""

_STATUS: dict[int, tuple[type[StorageError], str | None, bool]] = {
    304: (NotModifiedError, "the caller's copy is current", True),
    400: (InvalidRequestError, "the service does not accept the request", True),
    401: (AuthenticationError, RENEW, True),
    405: (UnsupportedError, "the service does not allow this here", True),
    408: (UnavailableError, f"the service waited too long{AGAIN}", True),
    409: (ConflictError, "the state of the bucket or object does not allow it", True),
    410: (ConflictError, "it is gone for good", True),
    411: (InvalidRequestError, "the service wants to know the body's length", True),
    412: (PreconditionFailedError, "the condition does not hold", True),
    413: (InvalidRequestError, "the body is larger than the service takes", True),
    416: (InvalidRangeError, "the range starts at or past the end", True),
    429: (RateLimitedError, "the service asks for fewer requests", True),
    501: (UnsupportedError, "the service does not know this", True),
}
_MISSING: dict[Kind, tuple[type[StorageError], str]] = {
    "service": (ConfigError, "nothing answers there as Cloud Storage does; check endpoint_url"),
    "bucket": (BucketNotFoundError, "the bucket does not exist"),
    "object": (ObjectNotFoundError, "the object does not exist"),
    "upload": (
        UploadNotFoundError,
        "the upload does not exist, or was completed or aborted before",
    ),
    "version": (VersionNotFoundError, "the object has no such version"),
}


def parse_error(body: bytes) -> ErrorAnswer:
    """The error a body tells, of either API; never raises."""
    try:
        if body[:1] == b"{":
            return _json_error(json.loads(body))
        if body[:1] == b"<":
            root = parse_xml(body)
            text = root.get("Message") or ""
            if details := root.get("Details"):
                text = f"{text} {details}"
            return ErrorAnswer(root.get("Code"), text)
    except (ValueError, StorageError, AttributeError, TypeError):
        pass
    return _NO_ANSWER


def _json_error(answer: Any) -> ErrorAnswer:
    error = answer.get("error", answer)
    if isinstance(error, str):  # as OAuth's endpoints write it (RFC 6749 section 5.2)
        return ErrorAnswer(error, str(answer.get("error_description", "")))
    reasons = error.get("errors") or [{}]
    return ErrorAnswer(reasons[0].get("reason"), str(error.get("message", "")))


def error_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    asked: Asked,
    *,
    endpoint: str = "",
    now: float | None = None,
) -> StorageError:
    """The library's error for an answer.

    Args:
        status: Of the answer.
        headers: Names in lower case.
        body: Its beginning at least; empty for HEAD.
        asked: What the request was about.
        endpoint: Address of the service, for messages.
        now: Seconds of the epoch, for a ``Retry-After`` that is a date.
    """
    answer = parse_error(body)
    kind, text, unsent = _meaning(status, answer, asked, endpoint)
    error = kind(
        text,
        status=status,
        code=answer.code,
        request_id=headers.get("x-guploader-uploadid"),
        retry_after=_retry_after(headers.get("retry-after"), now),
        unsent=unsent,
    )
    if status == 404 and isinstance(error, NotFoundError):
        error.__dict__["certain"] = _names_what_is_missing(answer)
    return error


def error_of_code(code: str, message: str, asked: Asked, status: int | None = None) -> StorageError:
    """The error for one key of a bulk delete, or for an error in an answer that began well."""
    kind, text, unsent = _meaning(status or 400, ErrorAnswer(code, message), asked, "")
    return kind(text, status=status, code=code, unsent=unsent)


def is_certain(error: StorageError) -> bool:
    """Whether the service itself said what a 404 is about: emulators often do not."""
    return bool(getattr(error, "certain", True))


def is_refusal(error: StorageError) -> bool:
    """Whether the service did not accept the credentials, and newer ones may help."""
    return isinstance(error, AuthenticationError) and (
        error.status == 401 or error.code in RENEWABLE
    )


def _meaning(
    status: int, answer: ErrorAnswer, asked: Asked, endpoint: str
) -> tuple[type[StorageError], str, bool]:
    """Class, message and whether nothing happened."""
    if 300 <= status < 400 and status != 304:
        where = f" at {endpoint}" if endpoint else ""
        return ConfigError, f"the service{where} points elsewhere; check endpoint_url", True
    if status == 404:
        kind, text = _missing(answer, asked)
        return kind, text, True
    if status == 409 and asked is CREATE_BUCKET:
        return TABLE["BucketAlreadyExists"][0], str(TABLE["BucketAlreadyExists"][1]), True
    if asked is DELETE_BUCKET and status in {409, 412}:
        return TABLE["BucketNotEmpty"][0], str(TABLE["BucketNotEmpty"][1]), True
    found = TABLE.get(answer.code or "")
    if found is None:
        # A 403 without a reason of its own is a missing permission, and never "not there".
        if status == 403:
            return PermissionDeniedError, _denied(answer, asked), True
        found = _STATUS.get(status)
    if status == 400 and _is_digest(answer):
        return IntegrityError, BODY, True
    if found is None:
        kind = UnavailableError if status >= 500 else InvalidRequestError
        found = (kind, f"the service answered {status}", status < 500)
    kind, words, unsent = found
    if status == 503 and kind is UnavailableError:
        unsent = True  # the service did not take it on: its pages say to repeat such requests
    return kind, _sentence(words, answer), unsent


def _sentence(words: str | None, answer: ErrorAnswer) -> str:
    if not answer.message:
        return words or "the service could not carry out the request"
    theirs = answer.message[:_SHOWN]
    return f"{words} (it says: {theirs})" if words else f"the service says: {theirs}"


def _denied(answer: ErrorAnswer, asked: Asked) -> str:
    return _sentence(
        f"the credentials do not allow it; they need {asked.permission}, which a role such as"
        " roles/storage.objectUser or roles/storage.admin grants",
        answer,
    )


def _missing(answer: ErrorAnswer, asked: Asked) -> tuple[type[StorageError], str]:
    """What a 404 is about: the XML API tells by its code, the JSON API by its sentence."""
    found = TABLE.get(answer.code or "")
    if found is not None and issubclass(found[0], NotFoundError):
        if found[0] is ObjectNotFoundError and asked.kind == "version":
            return _MISSING["version"]
        return found[0], found[1] or ""
    said = answer.message.lower()
    if "bucket does not exist" in said:
        return _MISSING["bucket"]
    if said.startswith("no such object") and asked.kind not in {"object", "version"}:
        return _MISSING["object"]
    return _MISSING[asked.kind]


def _names_what_is_missing(answer: ErrorAnswer) -> bool:
    said = answer.message.lower()
    return (
        answer.code in TABLE or "bucket does not exist" in said or said.startswith("no such object")
    )


def _is_digest(answer: ErrorAnswer) -> bool:
    """Whether a refusal is about a digest: the JSON API gives it no reason of its own."""
    said = answer.message.lower()
    return "doesn't match calculated" in said or (
        ("crc32c" in said or "md5" in said) and "match" in said
    )


def _retry_after(text: str | None, now: float | None) -> float | None:
    """Seconds to wait (RFC 9110 section 10.2.3)."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parse_http_date(text).timestamp()
    except ValueError:
        return None
    return max(0.0, moment - (time.time() if now is None else now))
