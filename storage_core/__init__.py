"""One storage API for Python: buckets and objects behind drivers that a config file chooses.

    import storage_core

    with storage_core.open("dev") as storage:
        bucket = storage.create_bucket("fruit", exist_ok=True)
        bucket.put("apple.txt", b"red")

`storage_core.aio` has the same for asyncio.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage_core.blocking.bucket import Bucket
    from storage_core.blocking.listing import Listing
    from storage_core.blocking.reader import Reader
    from storage_core.blocking.storage import Storage, open, open_driver, open_url  # noqa: A004
    from storage_core.blocking.sync import sync, verify
    from storage_core.blocking.tree import Tree
    from storage_core.blocking.upload import Upload
    from storage_core.blocking.writer import Writer
    from storage_core.core.copying import KEEP
    from storage_core.core.settings import LinkSettings, RetryPolicy
    from storage_core.errors import (
        AuthenticationError,
        BucketExistsError,
        BucketNotEmptyError,
        BucketNotFoundError,
        ClosedError,
        ConfigError,
        ConflictError,
        DriverNotFoundError,
        IntegrityError,
        InvalidBucketNameError,
        InvalidKeyError,
        InvalidMetadataError,
        InvalidPartError,
        InvalidRangeError,
        InvalidRequestError,
        KeyTooLongError,
        NotFoundError,
        NotModifiedError,
        ObjectChangedError,
        ObjectNotFoundError,
        OperationTimeoutError,
        OutcomeUnknownError,
        PartTooSmallError,
        PermissionDeniedError,
        PreconditionFailedError,
        ProfileNotFoundError,
        QuotaExceededError,
        RateLimitedError,
        StorageError,
        TransientError,
        UnavailableError,
        UnsupportedError,
        UploadNotFoundError,
        VersionNotFoundError,
    )
    from storage_core.model import (
        Attributes,
        BucketInfo,
        Buffer,
        ByteRange,
        Capabilities,
        Conditions,
        DeleteResult,
        Link,
        ObjectInfo,
        ObjectSummary,
        Page,
        Part,
        Prefix,
        PutResult,
        UploadInfo,
        VersionSummary,
    )
    from storage_core.transfer.memory import set_max_memory
    from storage_core.transfer.options import TransferOptions
    from storage_core.transfer.progress import Progress
    from storage_core.transfer.report import (
        Outcome,
        TransferIncompleteError,
        TransferReport,
        VerifyReport,
    )

_MODULES = {
    "storage_core.blocking.bucket": "Bucket",
    "storage_core.blocking.listing": "Listing",
    "storage_core.blocking.reader": "Reader",
    "storage_core.blocking.storage": "Storage open open_driver open_url",
    "storage_core.blocking.sync": "sync verify",
    "storage_core.blocking.tree": "Tree",
    "storage_core.blocking.upload": "Upload",
    "storage_core.blocking.writer": "Writer",
    "storage_core.core.copying": "KEEP",
    "storage_core.core.settings": "LinkSettings RetryPolicy",
    "storage_core.errors": (
        "AuthenticationError BucketExistsError BucketNotEmptyError BucketNotFoundError "
        "ClosedError ConfigError ConflictError DriverNotFoundError IntegrityError "
        "InvalidBucketNameError InvalidKeyError InvalidMetadataError InvalidPartError "
        "InvalidRangeError InvalidRequestError KeyTooLongError NotFoundError "
        "NotModifiedError ObjectChangedError ObjectNotFoundError OperationTimeoutError "
        "OutcomeUnknownError PartTooSmallError PermissionDeniedError "
        "PreconditionFailedError ProfileNotFoundError QuotaExceededError "
        "RateLimitedError StorageError TransientError UnavailableError UnsupportedError "
        "UploadNotFoundError VersionNotFoundError"
    ),
    "storage_core.model": (
        "Attributes BucketInfo Buffer ByteRange Capabilities Conditions DeleteResult "
        "Link ObjectInfo ObjectSummary Page Part Prefix PutResult UploadInfo "
        "VersionSummary"
    ),
    "storage_core.transfer.memory": "set_max_memory",
    "storage_core.transfer.options": "TransferOptions",
    "storage_core.transfer.progress": "Progress",
    "storage_core.transfer.report": "Outcome TransferIncompleteError TransferReport VerifyReport",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "KEEP",
    "Attributes",
    "AuthenticationError",
    "Bucket",
    "BucketExistsError",
    "BucketInfo",
    "BucketNotEmptyError",
    "BucketNotFoundError",
    "Buffer",
    "ByteRange",
    "Capabilities",
    "ClosedError",
    "Conditions",
    "ConfigError",
    "ConflictError",
    "DeleteResult",
    "DriverNotFoundError",
    "IntegrityError",
    "InvalidBucketNameError",
    "InvalidKeyError",
    "InvalidMetadataError",
    "InvalidPartError",
    "InvalidRangeError",
    "InvalidRequestError",
    "KeyTooLongError",
    "Link",
    "LinkSettings",
    "Listing",
    "NotFoundError",
    "NotModifiedError",
    "ObjectChangedError",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectSummary",
    "OperationTimeoutError",
    "Outcome",
    "OutcomeUnknownError",
    "Page",
    "Part",
    "PartTooSmallError",
    "PermissionDeniedError",
    "PreconditionFailedError",
    "Prefix",
    "ProfileNotFoundError",
    "Progress",
    "PutResult",
    "QuotaExceededError",
    "RateLimitedError",
    "Reader",
    "RetryPolicy",
    "Storage",
    "StorageError",
    "TransferIncompleteError",
    "TransferOptions",
    "TransferReport",
    "TransientError",
    "Tree",
    "UnavailableError",
    "UnsupportedError",
    "Upload",
    "UploadInfo",
    "UploadNotFoundError",
    "VerifyReport",
    "VersionNotFoundError",
    "VersionSummary",
    "Writer",
    "open",
    "open_driver",
    "open_url",
    "set_max_memory",
    "sync",
    "verify",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'storage_core' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
