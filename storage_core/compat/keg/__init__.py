"""The interface of keg-storage: backends, share links, `StorageOperations` and the Flask plug-in.

    from storage_core.compat import keg

    keg.Storage(profiles=[keg.StorageProfile("uploads", profile="prod")]).activate()
    name = keg.StorageOperations.storage_upload_file(file, "report.pdf")

An application written for keg-storage changes its import; modules have the same names.
It needs the extra ``keg`` (``pip install 'storage-core[keg]'``), for the plug-in and the view
``flask``, for `SFTPStorage` ``sftp``.
"""

from storage_core.compat.keg.backends import (
    AzureStorage,
    FileMode,
    FileNotFoundInStorageError,
    InternalLinksStorageBackend,
    InternalLinkTokenData,
    ListEntry,
    LocalFSError,
    LocalFSStorage,
    ProgressCallback,
    RemoteFile,
    S3Storage,
    SFTPStorage,
    ShareLinkOperation,
    StorageBackend,
    StorageProfile,
)
from storage_core.compat.keg.operations import StorageOperations
from storage_core.compat.keg.plugin import Storage
from storage_core.compat.keg.redeem import LinkRefusedError, Redeemed, redeem
from storage_core.compat.keg.tokens import LinkTokenError
from storage_core.compat.keg.views import LinkViewMixin

__all__ = [
    "AzureStorage",
    "FileMode",
    "FileNotFoundInStorageError",
    "InternalLinkTokenData",
    "InternalLinksStorageBackend",
    "LinkRefusedError",
    "LinkTokenError",
    "LinkViewMixin",
    "ListEntry",
    "LocalFSError",
    "LocalFSStorage",
    "ProgressCallback",
    "Redeemed",
    "RemoteFile",
    "S3Storage",
    "SFTPStorage",
    "ShareLinkOperation",
    "Storage",
    "StorageBackend",
    "StorageOperations",
    "StorageProfile",
    "redeem",
]
