"""Codes of the XML API and reasons of the JSON API, and what they mean to the library."""

from __future__ import annotations

from typing import Final

from storage_core.errors import (
    AuthenticationError,
    BucketExistsError,
    BucketNotEmptyError,
    BucketNotFoundError,
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

AGAIN: Final = "; nothing was changed and the request may be made again"
BODY: Final = "the bytes that arrived are not those that were sent; try again"
RENEW: Final = (
    "the service does not accept the credentials: an access token lasts about an hour, so get a"
    " new one, or set token to what renews itself, such as google_default or a key file"
)
_PAYS: Final = "the bucket's requesters pay; name the project that does by the setting user_project"

# Code or reason: class, words (None: the service's), and whether the request certainly had no
# effect.
TABLE: dict[str, tuple[type[StorageError], str | None, bool]] = {
    # --- what there is not
    "NoSuchBucket": (BucketNotFoundError, "the bucket does not exist", True),
    "NoSuchKey": (ObjectNotFoundError, "the object does not exist", True),
    "NoSuchVersion": (VersionNotFoundError, "the object has no such version", True),
    "NoSuchUpload": (
        UploadNotFoundError,
        "the upload does not exist, or was completed or aborted before",
        True,
    ),
    # --- what is in the way
    "BucketAlreadyExists": (
        BucketExistsError,
        "the name is taken, perhaps by another project: names are shared by all; choose another",
        True,
    ),
    "BucketAlreadyOwnedByYou": (BucketExistsError, "the project has the bucket already", True),
    "BucketNameUnavailable": (BucketExistsError, "the name can not be had; choose another", True),
    "BucketNotEmpty": (
        BucketNotEmptyError,
        "the bucket holds objects, versions or open uploads; delete them first",
        True,
    ),
    "PreconditionFailed": (PreconditionFailedError, "the condition does not hold", True),
    "conditionNotMet": (PreconditionFailedError, "the condition does not hold", True),
    "notModified": (NotModifiedError, "the caller's copy is current", True),
    "retentionPolicyNotMet": (
        ConflictError,
        "the bucket's retention policy still protects the object",
        True,
    ),
    "objectUnderActiveHold": (ConflictError, "a hold on the object protects it", True),
    # --- who asks
    "authError": (AuthenticationError, RENEW, True),
    "expired": (AuthenticationError, RENEW, True),
    "ExpiredToken": (AuthenticationError, RENEW, True),
    "AuthenticationRequired": (AuthenticationError, RENEW, True),
    "InvalidSecurity": (AuthenticationError, RENEW, True),
    "MissingSecurityHeader": (
        AuthenticationError,
        "the request came without credentials; set token, or check that no proxy drops them",
        True,
    ),
    "SignatureDoesNotMatch": (
        AuthenticationError,
        "the signature is not that of the key, or a proxy changes requests",
        True,
    ),
    "RequestTimeTooSkewed": (
        AuthenticationError,
        "this machine's clock differs from the service's; set it right",
        True,
    ),
    "insufficientPermissions": (
        PermissionDeniedError,
        "the credentials lack a scope for Cloud Storage, such as devstorage.full_control",
        True,
    ),
    "accessNotConfigured": (
        PermissionDeniedError,
        "the Cloud Storage API is not enabled in the project; enable it, or check project",
        True,
    ),
    "accountDisabled": (
        PermissionDeniedError,
        "the project's account is disabled: check its billing, and the setting project",
        True,
    ),
    "UserProjectMissing": (PermissionDeniedError, _PAYS, True),
    "userProjectMissing": (PermissionDeniedError, _PAYS, True),
    "UserProjectAccessDenied": (
        PermissionDeniedError,
        "the credentials may not spend for user_project; they need serviceusage.services.use",
        True,
    ),
    # --- what was asked
    "InvalidRange": (InvalidRangeError, "the range starts at or past the end", True),
    "requestedRangeNotSatisfiable": (
        InvalidRangeError,
        "the range starts at or past the end",
        True,
    ),
    "InvalidBucketName": (InvalidBucketNameError, None, True),
    "KeyTooLong": (KeyTooLongError, "the key is too long for the service", True),
    "MetadataTooLarge": (InvalidMetadataError, "the metadata is too large", True),
    "InvalidPart": (
        InvalidPartError,
        "a part is missing, or its etag is not that of the part as stored",
        True,
    ),
    "InvalidPartOrder": (InvalidPartError, "the parts are not in ascending order", True),
    "EntityTooSmall": (PartTooSmallError, "a part other than the last is too small", True),
    "EntityTooLarge": (
        InvalidRequestError,
        "the body is larger than the service takes in one request; use an upload in parts",
        True,
    ),
    "uploadTooLarge": (
        InvalidRequestError,
        "the body is larger than the service takes in one request; use an upload in parts",
        True,
    ),
    "BadDigest": (IntegrityError, BODY, True),
    "InvalidDigest": (IntegrityError, BODY, True),
    "XAmzContentSHA256Mismatch": (IntegrityError, BODY, True),
    "IncompleteBody": (UnavailableError, f"the body did not arrive whole{AGAIN}", True),
    "RequestTimeout": (
        UnavailableError,
        f"the service waited too long for the body{AGAIN}",
        True,
    ),
    "MethodNotAllowed": (UnsupportedError, "the service does not allow this here", True),
    "NotImplemented": (UnsupportedError, None, True),
    # --- too much
    "quotaExceeded": (QuotaExceededError, "a quota is used up; raise it, or delete", True),
    "InsufficientQuota": (QuotaExceededError, "a quota is used up; raise it, or delete", True),
    "TooManyBuckets": (QuotaExceededError, "the project has as many buckets as it may", True),
    # --- out of order
    "backendError": (UnavailableError, None, False),
    "internalError": (UnavailableError, None, False),
    "InternalError": (UnavailableError, None, False),
    "ServiceUnavailable": (UnavailableError, None, False),
}
TABLE.update(
    (code, (RateLimitedError, "the service asks for fewer requests", True))
    for code in (
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "usageLimits",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
    )
)
