"""The error tree: every failure that leaves the library is one of these.

    StorageError
    ├─ ConfigError
    │  ├─ DriverNotFoundError
    │  └─ ProfileNotFoundError
    ├─ InvalidRequestError (ValueError)
    │  ├─ InvalidKeyError
    │  │  └─ KeyTooLongError
    │  ├─ InvalidBucketNameError
    │  ├─ InvalidMetadataError
    │  ├─ InvalidPartError
    │  │  └─ PartTooSmallError
    │  └─ InvalidRangeError
    ├─ UnsupportedError (NotImplementedError)
    ├─ NotFoundError (FileNotFoundError)
    │  ├─ BucketNotFoundError
    │  ├─ ObjectNotFoundError
    │  │  └─ VersionNotFoundError
    │  └─ UploadNotFoundError
    ├─ ConflictError
    │  ├─ BucketExistsError
    │  ├─ BucketNotEmptyError
    │  ├─ PreconditionFailedError
    │  └─ ObjectChangedError
    ├─ NotModifiedError
    ├─ OutcomeUnknownError
    ├─ ClosedError (ValueError)
    ├─ AuthenticationError
    ├─ PermissionDeniedError (PermissionError)
    ├─ IntegrityError
    ├─ QuotaExceededError
    ├─ TransferIncompleteError
    └─ TransientError
       ├─ RateLimitedError
       ├─ UnavailableError
       └─ OperationTimeoutError (TimeoutError)

A driver raises one of these with a message, or lets its own exception pass and
classifies it (`Driver.classify`). Core fills in the context in one place.
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of all errors of the library.

    Attributes:
        message: What was wrong and what to do about it, without the context below.
        operation: Name of the public operation, such as ``"put"``.
        bucket: Bucket the operation named, as the caller wrote it.
        key: Object key the operation named, as the caller wrote it.
        status: HTTP status (or ``errno``) of the service's answer.
        code: The service's own code, such as ``"NoSuchKey"``.
        request_id: The service's id of the request, for its support.
        attempts: How many times the operation was tried; 0 where it never started.
        retryable: Whether the same call may succeed if simply made again.
        retry_after: Seconds the service asked to wait before the next try.
        unsent: Whether the request certainly had no effect, as when no connection could be
            made or the service refused it for its load. Of a failed write without it core
            assumes that it may have happened.
    """

    retryable: bool = False
    unsent: bool = False

    def __init__(
        self,
        message: str = "",
        *,
        operation: str | None = None,
        bucket: str | None = None,
        key: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        unsent: bool | None = None,
    ) -> None:
        # OSError-derived bases would turn (errno, text) pairs into attributes; one
        # argument keeps them ordinary exceptions.
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.bucket = bucket
        self.key = key
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        if unsent is not None:
            self.unsent = unsent
        self.attempts = 0

    def with_context(self, operation: str, bucket: str | None, key: str | None) -> StorageError:
        """Fill in what the raiser did not know; returns ``self``."""
        if self.operation is None:
            self.operation = operation
        if self.bucket is None:
            self.bucket = bucket
        if self.key is None:
            self.key = key
        return self

    def __str__(self) -> str:
        # A key may hold line breaks and terminal codes, which no log or screen is to run.
        target = "/".join(
            part if part.isprintable() else repr(part)[1:-1]
            for part in (self.bucket, self.key)
            if part is not None
        )
        where = " ".join(part for part in (self.operation, target) if part)
        facts = [
            f"{name} {value}"
            for name, value in (
                ("status", self.status),
                ("code", self.code),
                ("request id", self.request_id),
            )
            if value is not None
        ]
        if self.attempts > 1:
            facts.append(f"{self.attempts} attempts")
        text = self.message or type(self).__name__
        if where:
            text = f"{where}: {text}"
        return f"{text} ({', '.join(facts)})" if facts else text

    def __copy__(self) -> StorageError:
        return _rebuild(type(self), self.message, dict(self.__dict__), self.__cause__)

    def __reduce__(self) -> tuple[object, ...]:
        cause = _picklable(self.__cause__)
        return _rebuild, (type(self), self.message, dict(self.__dict__), cause)


def _picklable(error: BaseException | None) -> BaseException | None:
    """The error where it survives pickling; other libraries' errors often do not, and must
    not keep ours from reaching the process that waits for it."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was just dumped
    except Exception:  # noqa: BLE001 - whatever their constructors raise
        return None
    return error


def _rebuild(
    cls: type[StorageError],
    message: str,
    state: dict[str, object],
    cause: BaseException | None,
) -> StorageError:
    error = cls(message)
    error.__dict__.update(state)
    error.__cause__ = cause
    return error


class ConfigError(StorageError):
    """A setting is missing, unknown, contradictory or unreadable."""


class DriverNotFoundError(ConfigError):
    """No installed distribution offers the driver a profile names."""


class ProfileNotFoundError(ConfigError):
    """The configuration has no profile of that name."""


class InvalidRequestError(StorageError, ValueError):
    """An argument is refused before any request is sent."""


class InvalidKeyError(InvalidRequestError):
    """The key can not be an object's key."""


class KeyTooLongError(InvalidKeyError):
    """The key, as encoded for this profile, is over the limit."""


class InvalidBucketNameError(InvalidRequestError):
    """The name can not be a bucket's name on every backend."""


class InvalidMetadataError(InvalidRequestError):
    """User metadata, tags or a content header are malformed or too large."""


class InvalidPartError(InvalidRequestError):
    """A part number, its order, or its etag does not fit the session."""


class PartTooSmallError(InvalidPartError):
    """A part other than the last is below the minimum size."""


class InvalidRangeError(InvalidRequestError):
    """The range starts at or past the end of the object, or is inverted."""


class UnsupportedError(StorageError, NotImplementedError):
    """The profile does not declare the capability; nothing was sent."""


class NotFoundError(StorageError, FileNotFoundError):
    """Something named by the call does not exist."""


class BucketNotFoundError(NotFoundError):
    """The bucket does not exist."""


class ObjectNotFoundError(NotFoundError):
    """The object does not exist."""


class VersionNotFoundError(ObjectNotFoundError):
    """The object has no such version."""


class UploadNotFoundError(NotFoundError):
    """The session does not exist, or was completed or aborted before."""


class ConflictError(StorageError):
    """The state of the bucket or object forbids the operation."""


class BucketExistsError(ConflictError):
    """A bucket of that name exists."""


class BucketNotEmptyError(ConflictError):
    """The bucket holds objects, versions or open uploads."""


class PreconditionFailedError(ConflictError):
    """A condition such as ``if_match`` or ``if_absent`` does not hold; nothing was written."""


class ObjectChangedError(ConflictError):
    """The object was replaced while it was being read."""


class NotModifiedError(StorageError):
    """The condition of a read says the caller's copy is current."""


class OutcomeUnknownError(StorageError):
    """The answer to a write was lost and whether it happened can not be told."""


class ClosedError(StorageError, ValueError):
    """The storage, reader, writer or session was closed before the call."""


class AuthenticationError(StorageError):
    """The service does not accept the credentials."""


class PermissionDeniedError(StorageError, PermissionError):
    """The credentials are valid but do not allow the operation."""


class IntegrityError(StorageError):
    """Bytes do not match their declared size or checksum."""


class QuotaExceededError(StorageError):
    """The disk is full, or a quota or size limit is reached."""


class TransientError(StorageError):
    """A failure that may pass; core has used up its tries."""

    retryable = True


class RateLimitedError(TransientError):
    """The service asks for fewer requests; it did not carry this one out."""

    unsent = True


class UnavailableError(TransientError):
    """The service or the way to it is out of order."""


class OperationTimeoutError(TransientError, TimeoutError):
    """A timeout or the call's deadline passed."""
