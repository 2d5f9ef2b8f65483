"""What answers of an S3 service mean: one table on (status, service code)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from storage_core.errors import (
    AuthenticationError,
    BucketExistsError,
    BucketNotEmptyError,
    BucketNotFoundError,
    ConfigError,
    ConflictError,
    IntegrityError,
    InvalidBucketNameError,
    InvalidMetadataError,
    InvalidPartError,
    InvalidRangeError,
    InvalidRequestError,
    KeyTooLongError,
    NotModifiedError,
    ObjectNotFoundError,
    PartTooSmallError,
    PermissionDeniedError,
    PreconditionFailedError,
    QuotaExceededError,
    RateLimitedError,
    StorageError,
    UnavailableError,
    UnsupportedError,
    UploadNotFoundError,
    VersionNotFoundError,
)
from storage_core.http.dates import parse_http_date
from storage_core.http.xml import parse_xml

Kind: TypeAlias = Literal["service", "bucket", "object", "upload", "version"]


class Asked(NamedTuple):
    """What a request asked for, as far as messages need it.

    Attributes:
        action: The IAM action that allows it, such as ``"s3:GetObject"``.
        kind: What a 404 without a code says is missing.
    """

    action: str
    kind: Kind


class ErrorAnswer(NamedTuple):
    """The ``<Error>`` of an answer; `code` None where there is none.

    Attributes:
        code: Such as ``"NoSuchKey"``.
        message: The service's own words.
        fields: All of it, element to text.
    """

    code: str | None
    message: str
    fields: Mapping[str, str]


_NO_ANSWER = ErrorAnswer(None, "", {})

_AGAIN = "; nothing was changed and the request may be made again"
_KEYS = "check access_key_id and secret_access_key, or the source they come from"
_BODY = "the bytes that arrived are not those that were sent; try again"
_REGION = "the region is not one of this service; check the setting region"

# Code: class, words (None: the service's), and whether the request certainly had no effect.
TABLE: dict[str, tuple[type[StorageError], str | None, bool]] = {
    "AccessControlListNotSupported": (
        ConfigError,
        "the bucket has ACLs switched off; remove the setting acl",
        True,
    ),
    "AccountProblem": (PermissionDeniedError, None, True),
    "AllAccessDisabled": (PermissionDeniedError, None, True),
    "AuthorizationQueryParametersError": (AuthenticationError, None, True),
    "BadDigest": (IntegrityError, _BODY, True),
    "BandwidthLimitExceeded": (RateLimitedError, None, True),
    "BucketAlreadyExists": (
        BucketExistsError,
        "the name is taken, perhaps by another account; choose another",
        True,
    ),
    "BucketAlreadyOwnedByYou": (BucketExistsError, "the account has the bucket already", True),
    "BucketNotEmpty": (
        BucketNotEmptyError,
        "the bucket holds objects, versions or open uploads; delete them first",
        True,
    ),
    "ConditionalRequestConflict": (
        UnavailableError,
        f"another request changed the object at the same moment{_AGAIN}",
        True,
    ),
    "EntityTooLarge": (
        InvalidRequestError,
        "the body is larger than the service takes in one request; use an upload in parts",
        True,
    ),
    "EntityTooSmall": (PartTooSmallError, "a part other than the last is too small", True),
    "IllegalLocationConstraintException": (ConfigError, _REGION, True),
    "IncompleteBody": (UnavailableError, f"the body did not arrive whole{_AGAIN}", True),
    "InternalError": (UnavailableError, None, False),
    "InvalidBucketName": (InvalidBucketNameError, None, True),
    "InvalidBucketState": (ConflictError, None, True),
    "InvalidDigest": (IntegrityError, _BODY, True),
    "InvalidLocationConstraint": (ConfigError, _REGION, True),
    "InvalidObjectState": (
        ConflictError,
        "the object is archived; restore it before reading",
        True,
    ),
    "InvalidPart": (
        InvalidPartError,
        "a part is missing, or its etag is not that of the part as stored",
        True,
    ),
    "InvalidPartOrder": (InvalidPartError, "the parts are not in ascending order", True),
    "InvalidRange": (InvalidRangeError, "the range starts at or past the end", True),
    "InvalidStorageClass": (
        ConfigError,
        "the service has no such storage class; check the setting storage_class",
        True,
    ),
    "InvalidTag": (InvalidMetadataError, None, True),
    "KeyTooLongError": (KeyTooLongError, "the key is too long for the service", True),
    "MetadataTooLarge": (InvalidMetadataError, "the metadata is too large", True),
    "MethodNotAllowed": (UnsupportedError, "the service does not allow this here", True),
    "NoSuchBucket": (BucketNotFoundError, "the bucket does not exist", True),
    "NoSuchKey": (ObjectNotFoundError, "the object does not exist", True),
    "NoSuchUpload": (
        UploadNotFoundError,
        "the upload does not exist, or was completed or aborted before",
        True,
    ),
    "NoSuchVersion": (VersionNotFoundError, "the object has no such version", True),
    "NotImplemented": (UnsupportedError, None, True),
    "OperationAborted": (
        UnavailableError,
        f"another request works on the bucket at the moment{_AGAIN}",
        True,
    ),
    "PreconditionFailed": (PreconditionFailedError, "the condition does not hold", True),
    "QuotaExceeded": (QuotaExceededError, "the quota is used up; raise it, or delete", True),
    "RequestTimeout": (
        UnavailableError,
        f"the service waited too long for the body{_AGAIN}",
        True,
    ),
    "ServiceUnavailable": (UnavailableError, None, False),
    "SignatureDoesNotMatch": (
        AuthenticationError,
        "secret_access_key is not that of access_key_id, or a proxy changes requests",
        True,
    ),
    "TemporaryRedirect": (
        UnavailableError,
        "the bucket is new and its address not yet known everywhere; try again later",
        True,
    ),
    "TooManyBuckets": (QuotaExceededError, "the account has as many buckets as it may", True),
    "XAmzContentChecksumMismatch": (IntegrityError, _BODY, True),
    "XAmzContentSHA256Mismatch": (IntegrityError, _BODY, True),
    "XNotImplemented": (UnsupportedError, None, True),
}
TABLE.update(
    (code, (RateLimitedError, "the service asks for fewer requests", True))
    for code in (
        "Busy",
        "RequestLimitExceeded",
        "ServerBusy",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    )
)

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
"""Codes of credentials whose time is over."""
REFUSED = EXPIRED | {"InvalidAccessKeyId", "InvalidToken"}
"""Codes of credentials that others may replace."""
_AUTHENTICATION = frozenset({"InvalidSecurity", "MissingSecurityHeader", "NotSignedUp"})
_ELSEWHERE = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "MovedPermanently"})

_STATUS: dict[int, tuple[type[StorageError], str]] = {
    304: (NotModifiedError, "the caller's copy is current"),
    400: (InvalidRequestError, "the service does not accept the request"),
    401: (AuthenticationError, f"the service does not accept the credentials; {_KEYS}"),
    408: (UnavailableError, f"the service waited too long{_AGAIN}"),
    409: (ConflictError, "the state of the bucket or object forbids this"),
    412: (PreconditionFailedError, "the condition does not hold"),
    413: (InvalidRequestError, "the request is larger than the service takes"),
    416: (InvalidRangeError, "the range starts at or past the end"),
    429: (RateLimitedError, "the service asks for fewer requests"),
    501: (UnsupportedError, "the service does not offer this"),
    507: (QuotaExceededError, "the service has no room left"),
}

_MISSING: dict[Kind, tuple[type[StorageError], str]] = {
    "service": (ConfigError, "the endpoint does not know the request; check endpoint_url"),
    "bucket": (BucketNotFoundError, "the bucket does not exist"),
    "object": (ObjectNotFoundError, "the object does not exist"),
    "upload": (
        UploadNotFoundError,
        "the upload does not exist, or was completed or aborted before",
    ),
    "version": (VersionNotFoundError, "the object has no such version"),
}


def parse_error(body: bytes) -> ErrorAnswer:
    """The ``<Error>`` of a body; one without a code where there is none."""
    if not body.lstrip().startswith(b"<"):
        return _NO_ANSWER
    try:
        root = parse_xml(body)
    except UnavailableError:
        return _NO_ANSWER
    found = root if root.name == "Error" else root.find("Error")
    if found is None:
        return _NO_ANSWER
    fields = {child.name: child.text for child in found.children}
    return ErrorAnswer(fields.get("Code") or None, _words(fields.get("Message", "")), fields)


def _words(text: str) -> str:
    """The service's words, fit for a message: printable, and not without end."""
    line = " ".join(text.split())[:300]
    return "".join(c if c.isprintable() else "?" for c in line).rstrip(". ")


def error_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    asked: Asked,
    *,
    region: str = "",
    endpoint: str = "",
    now: float | None = None,
) -> StorageError:
    """The error an answer stands for.

    Its `code` is None where the answer told none, as those to HEAD never do: whether the
    object or its bucket is missing then, or whether credentials or permissions are wrong,
    another request has to tell.

    Args:
        status: HTTP status, not of success.
        headers: Of the answer, names in lower case.
        body: Empty for HEAD.
        asked: What the request was.
        region: The request was signed for.
        endpoint: Its URL, for messages.
        now: Seconds of the epoch; the present without it.
    """
    answer = parse_error(body)
    error = _special(status, headers, answer, region, now)
    if error is None:
        if answer.code is None:
            error = _uncoded(status, headers, body, asked, endpoint)
        else:
            error = error_of_code(answer.code, answer.message, asked, status=status)
    error.status = status
    error.code = answer.code
    error.request_id = headers.get("x-amz-request-id") or answer.fields.get("RequestId") or None
    if error.retryable:
        error.retry_after = _retry_after(headers, now)
    return error


def error_of_code(
    code: str, message: str, asked: Asked, *, status: int | None = None
) -> StorageError:
    """The error a code stands for: of an answer, or of one key of a bulk delete.

    Args:
        code: Such as ``"AccessDenied"``.
        message: The service's own words.
        asked: What the request was.
        status: HTTP status, where there is one of its own.
    """
    said = f"; the service says: {message}" if message else ""
    known = TABLE.get(code)
    error: StorageError
    if known is not None:
        cls, words, unsent = known
        text = f"{words}{said}" if words else message or f"the service answered {code}"
        error = cls(text, unsent=True) if unsent else cls(text)
    elif code == "AccessDenied":
        error = PermissionDeniedError(
            f"the credentials do not allow this, which takes {asked.action}{said}"
        )
    elif code in EXPIRED:
        error = AuthenticationError(f"the credentials have expired; renew them{said}")
    elif code in REFUSED or code in _AUTHENTICATION:
        error = AuthenticationError(f"the service does not know the credentials; {_KEYS}{said}")
    elif code.startswith("KMS."):
        error = ConfigError(
            f"the encryption key can not be used; check kms_key_id and its policy{said}"
        )
    elif code == "InvalidArgument" and asked.kind == "version" and "version" in message.lower():
        error = VersionNotFoundError("the object has no such version")
    else:
        cls, words = _by_status(status, asked)
        error = cls(f"{words}{said}" if message else f"{words} ({code})")
    error.status = status
    error.code = code
    return error


def _special(
    status: int,
    headers: Mapping[str, str],
    answer: ErrorAnswer,
    region: str,
    now: float | None,
) -> StorageError | None:
    """Errors whose message or class takes more than the code."""
    code = answer.code
    if (
        code in _ELSEWHERE
        or status == 301
        or (status == 400 and code is None and "x-amz-bucket-region" in headers)
    ):
        right = headers.get("x-amz-bucket-region") or answer.fields.get("Region")
        if right != region or code in _ELSEWHERE or status == 301:
            return _wrong_region(right, region, answer)
    if code == "RequestTimeTooSkewed":
        return AuthenticationError(_skew(headers, now))
    if status == 405 and headers.get("x-amz-delete-marker") == "true":
        return VersionNotFoundError("this version is a delete marker and has no bytes")
    return None


def _wrong_region(right: str | None, region: str, answer: ErrorAnswer) -> StorageError:
    if right and right != region:
        return ConfigError(
            f"the bucket is in region {right!r}, the request was for {region!r}:"
            f" set region = {right!r}"
        )
    if right is None and (endpoint := answer.fields.get("Endpoint")):
        return ConfigError(
            f"the bucket is reached at {_words(endpoint)!r}: check region and endpoint_url"
        )
    if answer.code == "AuthorizationHeaderMalformed":
        return AuthenticationError(
            f"the service does not accept the signature's form: {answer.message}; check region"
            " and access_key_id"
        )
    return ConfigError(
        f"the bucket is not reached by this endpoint in region {region!r}: check region and"
        " endpoint_url"
    )


def _skew(headers: Mapping[str, str], now: float | None) -> str:
    text = "this machine's clock and the service's differ too much"
    try:
        theirs = parse_http_date(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return f"{text}; set the clock"
    apart = (time.time() if now is None else now) - theirs
    side = "ahead of" if apart > 0 else "behind"
    return f"this machine's clock is {abs(apart):.0f} s {side} the service's; set the clock"


def _uncoded(
    status: int, headers: Mapping[str, str], body: bytes, asked: Asked, endpoint: str
) -> StorageError:
    """An answer without an error of S3: to HEAD, or from something that speaks no S3."""
    page = "html" in headers.get("content-type", "") or body.lstrip()[:1] == b"<"
    if body and page and status in {200, 301, 302, 307, 308, 400, 403, 404, 405}:
        where = f" ({endpoint})" if endpoint else ""
        return ConfigError(
            "the answer is a web page, not one of an S3 service: check endpoint_url and"
            f" proxies{where}"
        )
    if body and status in {404, 405}:
        return ConfigError("the endpoint does not speak S3: check endpoint_url")
    cls, words = _by_status(status, asked)
    return cls(words)


def _by_status(status: int | None, asked: Asked) -> tuple[type[StorageError], str]:
    if status is None:
        return StorageError, "the service refused this"
    if status == 403:
        return (
            PermissionDeniedError,
            f"the service refuses this, which takes {asked.action}; it does not say why",
        )
    if status == 404:
        return _MISSING[asked.kind]
    if status == 405:
        return UnsupportedError, "the service does not allow this here"
    if status in _STATUS:
        return _STATUS[status]
    if 300 <= status < 400:
        return ConfigError, "the service sends the request elsewhere: check endpoint_url and region"
    if status >= 500:
        return UnavailableError, "the service is out of order"
    return StorageError, "the service refused the request"


def _retry_after(headers: Mapping[str, str], now: float | None) -> float | None:
    """Seconds to wait as the service says (RFC 9110 section 10.2.3)."""
    value = headers.get("retry-after")
    if value is None:
        return None
    if value.isdecimal():
        return float(value)
    try:
        moment = parse_http_date(value).timestamp()
    except ValueError:
        return None
    return max(0.0, moment - (time.time() if now is None else now))
