"""Backends: any profile of this library, and those of keg-storage by their old arguments."""

from storage_core.compat.keg.backends.azure import AzureStorage
from storage_core.compat.keg.backends.base import (
    FileMode,
    FileNotFoundInStorageError,
    InternalLinksStorageBackend,
    InternalLinkTokenData,
    ListEntry,
    ProgressCallback,
    RemoteFile,
    ShareLinkOperation,
    StorageBackend,
)
from storage_core.compat.keg.backends.filesystem import LocalFSError, LocalFSStorage
from storage_core.compat.keg.backends.profile import StorageProfile
from storage_core.compat.keg.backends.s3 import S3Storage
from storage_core.compat.keg.backends.sftp import SFTPStorage

__all__ = [
    "AzureStorage",
    "FileMode",
    "FileNotFoundInStorageError",
    "InternalLinkTokenData",
    "InternalLinksStorageBackend",
    "ListEntry",
    "LocalFSError",
    "LocalFSStorage",
    "ProgressCallback",
    "RemoteFile",
    "S3Storage",
    "SFTPStorage",
    "ShareLinkOperation",
    "StorageBackend",
    "StorageProfile",
]
