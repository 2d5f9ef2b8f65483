"""The library's errors for those of fsspec's filesystems, which raise `OSError` as a rule."""

from __future__ import annotations

from storage_core.errors import (
    AuthenticationError,
    ConflictError,
    ObjectNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    StorageError,
    UnavailableError,
    UnsupportedError,
)

_FULL = frozenset((28, 122))  # ENOSPC, EDQUOT


def classify(error: Exception) -> StorageError | None:
    """None for what is no failure of the filesystem."""
    if isinstance(error, FileNotFoundError):
        return ObjectNotFoundError("there is no such object", status=error.errno)
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"the filesystem refuses: {_said(error)}", status=error.errno)
    if isinstance(error, NotADirectoryError | IsADirectoryError | FileExistsError):
        return ConflictError(
            f"a file or directory of others is in the way: {_said(error)}; rename it",
            status=error.errno,
        )
    if isinstance(error, NotImplementedError):
        return UnsupportedError(f"the filesystem can not do this: {_said(error)}")
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return QuotaExceededError("the filesystem is full", status=error.errno)
        return UnavailableError(f"the filesystem failed: {_said(error)}", status=error.errno)
    if type(error).__name__ in _REFUSED:
        return AuthenticationError(
            "the filesystem does not accept the credentials; see options and secrets"
        )
    if isinstance(error, EOFError) or type(error).__module__.partition(".")[0] in _TRANSPORTS:
        return UnavailableError(f"the connection failed: {_said(error)}")
    return None


# Of paramiko and asyncssh.
_REFUSED = frozenset(("AuthenticationException", "PermissionDenied"))
_TRANSPORTS = frozenset(("aiohttp", "asyncssh", "ftplib", "httpx", "paramiko", "requests"))


def _said(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text or type(error).__name__
