"""What errors of the operating system mean: one table."""

from __future__ import annotations

import errno

from storage_core.errors import (
    ConfigError,
    IntegrityError,
    PermissionDeniedError,
    QuotaExceededError,
    StorageError,
    UnavailableError,
)

_FULL = "the disk is full; free space or delete objects"
_QUOTA = "the disk quota is used up; free space or raise the quota"
_DENIED = "the process may not use the root's files; check their owner and mode"

TABLE: dict[int, tuple[type[StorageError], str]] = {
    errno.ENOSPC: (QuotaExceededError, _FULL),
    errno.EDQUOT: (QuotaExceededError, _QUOTA),
    errno.EFBIG: (QuotaExceededError, "the file system or the process limits files to less"),
    errno.EROFS: (PermissionDeniedError, "the disk is read-only: reading works, writing does not"),
    errno.EACCES: (PermissionDeniedError, _DENIED),
    errno.EPERM: (PermissionDeniedError, _DENIED),
    errno.EIO: (UnavailableError, "the disk reports an input/output error; check its health"),
    errno.ESTALE: (UnavailableError, "the disk's network mount went stale"),
    errno.EMFILE: (UnavailableError, "the process has too many open files; raise `ulimit -n`"),
    errno.ENFILE: (UnavailableError, "the machine has too many open files"),
    errno.ENOMEM: (UnavailableError, "the machine is out of memory"),
    errno.ENOLCK: (ConfigError, "the file system of the root has no locks, which it needs"),
    errno.ELOOP: (
        PermissionDeniedError,
        "a symbolic link stands where the store keeps its own files; it is not followed",
    ),
    errno.ENOTDIR: (IntegrityError, "something else stands where a directory was; run fsck"),
    errno.EISDIR: (IntegrityError, "a directory stands where a record was; run fsck"),
    errno.ENXIO: (IntegrityError, "something else stands where a file was; run fsck"),
    errno.ENOENT: (IntegrityError, "a file of the store has vanished; run fsck"),
}


def classify(error: OSError) -> StorageError | None:
    """The library's error for one of the operating system; None for one not in the table."""
    if error.errno is None or (found := TABLE.get(error.errno)) is None:
        return None
    cls, message = found
    return cls(message, status=error.errno, code=errno.errorcode[error.errno])
