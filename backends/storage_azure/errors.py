"""What answers of Azure Blob Storage mean: one table on (status, service code)."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from storage_core.errors import (
    AuthenticationError,
    BucketExistsError,
    BucketNotFoundError,
    ConfigError,
    ConflictError,
    IntegrityError,
    InvalidKeyError,
    InvalidMetadataError,
    InvalidPartError,
    InvalidRangeError,
    InvalidRequestError,
    NotModifiedError,
    ObjectNotFoundError,
    OperationTimeoutError,
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
from storage_core.http.dates import parse_http_date, parse_iso_date
from storage_core.http.xml import parse_xml

Kind: TypeAlias = Literal["service", "bucket", "object", "upload", "version"]

SKEW = 15 * 60
"""Seconds by which clocks may differ."""


class Asked(NamedTuple):
    """What a request asked for, as far as messages need it.

    Attributes:
        permission: What allows it: the letter of a SAS and the role.
        kind: What a 404 says is missing.
    """

    permission: str
    kind: Kind


READ = "'Storage Blob Data Reader' (SAS permission r)"
LIST = "'Storage Blob Data Reader' (SAS permission l)"
WRITE = "'Storage Blob Data Contributor' (SAS permission w)"
DELETE = "'Storage Blob Data Contributor' (SAS permission d)"
TAG = "'Storage Blob Data Owner' (SAS permission t)"

_AGAIN = "; nothing was changed and the request may be made again"
_BODY = "the bytes that arrived are not those that were sent; try again"
_FAILURE = (
    "the account refuses this: its firewall does not let this network in, or the SAS is not for"
    " this service or kind of resource"
)
_TIER = "the object is in the archive tier; set its access tier to hot or cool first"
_LEASED = "somebody holds a lease on it; wait until it is released, or break it"

# Code: class, words (None: the service's), and whether the request certainly had no effect.
TABLE: dict[str, tuple[type[StorageError], str | None, bool]] = {
    "APINotImplemented": (UnsupportedError, "the service does not offer this", True),
    "AccountBeingCreated": (UnavailableError, f"the account is being created{_AGAIN}", True),
    "AccountIsDisabled": (PermissionDeniedError, "the storage account is disabled", True),
    "AccountRequiresHttps": (
        ConfigError,
        "the account takes https only; use it in endpoint_url",
        True,
    ),
    "AuthorizationFailure": (
        PermissionDeniedError,
        _FAILURE,
        True,
    ),
    "AuthorizationProtocolMismatch": (
        PermissionDeniedError,
        "the SAS is for https only; use it in endpoint_url",
        True,
    ),
    "AuthorizationResourceTypeMismatch": (
        PermissionDeniedError,
        "the SAS is not for this kind of resource (srt: service, container, object)",
        True,
    ),
    "AuthorizationServiceMismatch": (
        PermissionDeniedError,
        "the SAS is not for the blob service (ss=b)",
        True,
    ),
    "AuthorizationSourceIPMismatch": (
        PermissionDeniedError,
        "the SAS is not for requests from this address (sip)",
        True,
    ),
    "BlobAlreadyExists": (PreconditionFailedError, "if_absent: the object exists", True),
    "BlobArchived": (ConflictError, _TIER, True),
    "BlobBeingRehydrated": (ConflictError, f"{_TIER}, which takes hours", True),
    "BlobImmutableDueToPolicy": (
        PermissionDeniedError,
        "a policy or legal hold forbids to change the object",
        True,
    ),
    "BlobNotFound": (ObjectNotFoundError, "the object does not exist", True),
    "BlobUsesCustomerSpecifiedEncryption": (
        PermissionDeniedError,
        "the object is encrypted with a customer's key",
        True,
    ),
    "BlockCountExceedsLimit": (QuotaExceededError, "the object has too many blocks", True),
    "BlockListTooLong": (QuotaExceededError, "an object has at most 50 000 blocks", True),
    "ContainerAlreadyExists": (BucketExistsError, "the bucket exists already", True),
    "ContainerBeingDeleted": (BucketNotFoundError, "the bucket is being deleted", True),
    "ContainerDisabled": (PermissionDeniedError, "the bucket is disabled", True),
    "ContainerNotFound": (BucketNotFoundError, "the bucket does not exist", True),
    "Crc64Mismatch": (IntegrityError, _BODY, True),
    "EmptyMetadataKey": (InvalidMetadataError, None, True),
    "InsufficientAccountPermissions": (PermissionDeniedError, None, True),
    "InternalError": (UnavailableError, "the service failed; try again", False),
    "InvalidBlobOrBlock": (InvalidPartError, None, True),
    "InvalidBlockId": (InvalidPartError, None, True),
    "InvalidBlockList": (InvalidPartError, "a part is missing", True),
    "InvalidHeaderValue": (InvalidRequestError, None, True),
    "InvalidMd5": (IntegrityError, _BODY, True),
    "InvalidMetadata": (InvalidMetadataError, None, True),
    "InvalidQueryParameterValue": (InvalidRequestError, None, True),
    "InvalidRange": (InvalidRangeError, "the range starts at or past the end", True),
    "InvalidTag": (InvalidMetadataError, None, True),
    "InvalidTags": (InvalidMetadataError, None, True),
    "KeyBasedAuthenticationNotPermitted": (
        AuthenticationError,
        "the account does not take keys; use client_id, or Azure's default credentials",
        True,
    ),
    "LeaseAlreadyPresent": (ConflictError, _LEASED, True),
    "LeaseIdMissing": (ConflictError, _LEASED, True),
    "LeaseIdMismatchWithBlobOperation": (ConflictError, _LEASED, True),
    "LeaseIdMismatchWithLeaseOperation": (ConflictError, _LEASED, True),
    "LeaseLost": (ConflictError, _LEASED, True),
    "Md5Mismatch": (IntegrityError, _BODY, True),
    "MetadataTooLarge": (InvalidMetadataError, "metadata takes 8 KiB at most", True),
    "NotImplemented": (UnsupportedError, "the service does not offer this", True),
    "OperationTimedOut": (OperationTimeoutError, "the service took too long; try again", False),
    "OutOfRangeInput": (InvalidRequestError, None, True),
    "PendingCopyOperation": (ConflictError, "a copy onto the object is under way", True),
    "PublicAccessNotPermitted": (
        PermissionDeniedError,
        "the account allows no anonymous access",
        True,
    ),
    "RequestBodyTooLarge": (QuotaExceededError, "the body is over the service's limit", True),
    "ServerBusy": (RateLimitedError, f"the service asks for fewer requests{_AGAIN}", True),
    "SnapshotsPresent": (ConflictError, "the object has snapshots", True),
    "SourceConditionNotMet": (
        PreconditionFailedError,
        "a condition on the source of the copy does not hold",
        True,
    ),
    "TargetConditionNotMet": (PreconditionFailedError, "a condition does not hold", True),
    "UnauthorizedBlobOverwrite": (
        PermissionDeniedError,
        "the SAS allows to create objects, not to replace them",
        True,
    ),
    "UnsatisfiableCondition": (InvalidRequestError, None, True),
}

# Codes that say that the credentials themselves are not accepted.
REFUSED = frozenset(("AuthenticationFailed", "InvalidAuthenticationInfo"))

_MISSING: dict[Kind, tuple[type[StorageError], str]] = {
    "service": (ConfigError, "the endpoint is no blob service; check endpoint_url"),
    "bucket": (BucketNotFoundError, "the bucket does not exist"),
    "object": (ObjectNotFoundError, "the object does not exist"),
    "upload": (UploadNotFoundError, "the session does not exist, or has ended"),
    "version": (VersionNotFoundError, "the object has no such version"),
}
_STATUS: dict[int, tuple[type[StorageError], str]] = {
    304: (NotModifiedError, "the object was not modified"),
    400: (InvalidRequestError, "the service does not understand the request"),
    401: (AuthenticationError, "the service wants credentials"),
    403: (PermissionDeniedError, "the service refuses this"),
    405: (UnsupportedError, "the service does not allow this here"),
    408: (OperationTimeoutError, "the service took too long"),
    409: (ConflictError, "the state of the object or bucket forbids this"),
    411: (InvalidRequestError, "the service wants the length of the body"),
    412: (PreconditionFailedError, "a condition does not hold"),
    413: (QuotaExceededError, "the body is over the service's limit"),
    416: (InvalidRangeError, "the range starts at or past the end"),
    429: (RateLimitedError, f"the service asks for fewer requests{_AGAIN}"),
    501: (UnsupportedError, "the service does not offer this"),
    503: (UnavailableError, "the service is out of order"),
}


_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)


class Context(NamedTuple):
    """What messages tell of the credentials in use.

    Attributes:
        account: Name of the account.
        kind: ``"key"``, ``"sas"``, ``"token"`` or ``"anonymous"``.
        sas_expiry: Until when the SAS is good, as it says.
        bucket: The request's, empty for those about the account.
    """

    account: str
    kind: Literal["key", "sas", "token", "anonymous"]
    sas_expiry: str | None = None
    bucket: str = ""


def error_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    asked: Asked,
    context: Context,
    now: float | None = None,
) -> StorageError:
    """The error an answer stands for.

    Args:
        status: HTTP status, not of success.
        headers: Of the answer, names in lower case.
        body: Empty for HEAD.
        asked: What the request was.
        context: The credentials it was made with.
        now: Seconds of the epoch; the present without it.
    """
    code, message = code_of(headers, body)
    error = _made(status, headers, code, message, asked, context, now)
    error.status = status
    error.code = code
    error.request_id = headers.get("x-ms-request-id")
    if error.retryable:
        error.retry_after = _retry_after(headers)
    return error


def is_container(name: str) -> bool:
    """Whether the service can have a container of that name."""
    return name in {"$root", "$web", "$logs"} or _CONTAINER.fullmatch(name) is not None


def code_of(headers: Mapping[str, str], body: bytes) -> tuple[str | None, str]:
    """The service's code and words; None where there are none. Never raises."""
    code, message = headers.get("x-ms-error-code"), ""
    if body.lstrip(b"\xef\xbb\xbf")[:1] == b"<":
        try:
            root = parse_xml(body)
        except UnavailableError:
            return code, message
        code = code or root.get("Code") or None
        # What follows the first line are ids and times.
        message = (root.get("Message") or "").partition("\n")[0].strip()
    return code, message


def _made(
    status: int,
    headers: Mapping[str, str],
    code: str | None,
    message: str,
    asked: Asked,
    context: Context,
    now: float | None,
) -> StorageError:
    if code in REFUSED or (status == 401 and context.kind != "anonymous"):
        return AuthenticationError(_refused(headers, context, now))
    if code == "AuthorizationPermissionMismatch":
        return PermissionDeniedError(
            f"the credentials do not allow this, which takes {asked.permission}", unsent=True
        )
    if code in {"ResourceNotFound", "NoAuthenticationInformation"}:
        # What anonymous requests get for what is not public, there or not.
        if context.kind == "anonymous":
            return PermissionDeniedError("the bucket is not public; set credentials", unsent=True)
        if code == "NoAuthenticationInformation":
            return AuthenticationError("the service wants other credentials than these")
    if code == "InvalidResourceName":
        if asked.kind in {"bucket", "service"} or not is_container(context.bucket):
            return BucketNotFoundError("the service has no buckets of such names", unsent=True)
        return InvalidKeyError("the service does not take the key")
    if code == "InvalidUri":
        return InvalidKeyError("the service does not take the key")
    if code == "ConditionNotMet":
        cls, words = _STATUS[304 if status == 304 else 412]
        return cls(words, unsent=True)
    if code == "BlobNotFound":
        cls, words = _MISSING[asked.kind]
        return cls(words, unsent=True)
    if code == "CannotVerifyCopySource":
        return _bad_source(status, message)
    if code == "InvalidOperation" and "md5" in message.lower():
        return IntegrityError(_BODY, unsent=True)
    said = f"; the service says: {message}" if message else ""
    if code is not None and (known := TABLE.get(code)) is not None:
        cls, own, unsent = known
        text = f"{own}{said}" if own and cls in _WORDY else own or message or code
        return cls(text, unsent=True) if unsent else cls(text)
    cls, words = _by_status(status, asked)
    return cls(f"{words}{said}" if message or code is None else f"{words} ({code})")


# Where the service's own words tell something of this very case.
_WORDY = frozenset((InvalidPartError, QuotaExceededError, UnavailableError))


def _bad_source(status: int, message: str) -> StorageError:
    if status == 404:
        return ObjectNotFoundError("the source of the copy does not exist", unsent=True)
    if status == 403:
        return PermissionDeniedError(
            f"the credentials do not allow to read the source of the copy, which takes {READ}",
            unsent=True,
        )
    if status == 412:
        return PreconditionFailedError(
            "a condition on the source of the copy does not hold", unsent=True
        )
    return InvalidRequestError(f"the service can not read the source of the copy: {message}")


def _by_status(status: int, asked: Asked) -> tuple[type[StorageError], str]:
    if status == 404:
        return _MISSING[asked.kind]
    if status in _STATUS:
        return _STATUS[status]
    if 300 <= status < 400:
        return ConfigError, "the service sends the request elsewhere: check endpoint_url"
    if status >= 500:
        return UnavailableError, "the service is out of order"
    return StorageError, "the service refused the request"


def _refused(headers: Mapping[str, str], context: Context, now: float | None) -> str:
    """Why the credentials may not have been accepted, and what to do."""
    now = time.time() if now is None else now
    if context.kind == "sas":
        try:
            expiry = parse_iso_date(context.sas_expiry or "").timestamp()
        except ValueError:
            expiry = now + 1
        if expiry <= now:
            return f"the SAS token expired at {context.sas_expiry}; get a new one"
    try:
        apart = now - parse_http_date(headers["date"]).timestamp()
    except (KeyError, ValueError):
        apart = 0.0
    if abs(apart) > SKEW - 60:
        side = "ahead of" if apart > 0 else "behind"
        return f"this machine's clock is {abs(apart):.0f} s {side} the service's; set the clock"
    what = {
        "key": "the account key is not that of the account",
        "sas": "the SAS token is not accepted: altered, not valid yet, or its key was renewed;"
        " check sas_token",
        "token": "the token is not accepted: check tenant_id, and that the account is of that"
        " tenant",
        "anonymous": "the service wants credentials",
    }[context.kind]
    remedy = "; check account_name and account_key" if context.kind == "key" else ""
    return f"{what} {context.account!r}{remedy}" if context.kind == "key" else what


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as the service says (RFC 9110 section 10.2.3)."""
    value = headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None
