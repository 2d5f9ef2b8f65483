"""What the database raises, as the library's own errors.

Neither statements with their values nor URLs are shown: they may hold secrets.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from storage_core.errors import (
    ConfigError,
    ConflictError,
    InvalidRequestError,
    QuotaExceededError,
    StorageError,
    UnavailableError,
)

# SQLSTATE (PostgreSQL, appendix A), or its class of two characters, or SQLite's result code.
_UNIQUE = ("23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
_CODES: dict[str, type[StorageError]] = {
    **dict.fromkeys(_UNIQUE, ConflictError),
    "23503": ConflictError,
    "SQLITE_CONSTRAINT_FOREIGNKEY": ConflictError,
    "22": InvalidRequestError,  # a value that can not be stored
    "SQLITE_TOOBIG": InvalidRequestError,
    "25006": ConfigError,  # a read-only server
    "42": ConfigError,  # no such table, not permitted
    "SQLITE_CANTOPEN": ConfigError,
    "SQLITE_ERROR": ConfigError,
    "SQLITE_NOTADB": ConfigError,
    "SQLITE_CORRUPT": ConfigError,
    "SQLITE_PERM": ConfigError,
    "SQLITE_READONLY": ConfigError,
    "53100": QuotaExceededError,
    "SQLITE_FULL": QuotaExceededError,
}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise what the database raises as an error of ours.

    Args:
        where: The database, for the message.
    """
    try:
        yield
    except (exc.SQLAlchemyError, sqlite3.Error) as error:
        raise _translate(error, where) from error


@contextmanager
def on_conflict(error: StorageError) -> Iterator[None]:
    """Raise `error` where a statement would make a second row of what there is one of."""
    try:
        yield
    except exc.IntegrityError as refused:
        if _code(refused) not in _UNIQUE:
            raise
        raise error from None


def _translate(error: exc.SQLAlchemyError | sqlite3.Error, where: str) -> StorageError:
    if isinstance(error, exc.TimeoutError):
        return UnavailableError(f"{where} is busy: no connection became free")
    if not isinstance(error, exc.DBAPIError | sqlite3.Error):
        return StorageError(f"{where}: {type(error).__name__}")
    code = _code(error)
    kind = _CODES.get(code) or _CODES.get(code[:2]) or _by_class(error)
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    reason = " ".join(str(original).split())
    return kind(f"{where}: {reason}", code=code or None)


def _by_class(error: exc.DBAPIError | sqlite3.Error) -> type[StorageError]:
    """Of an error without a code: one of the connection, or a value the driver refuses. That
    the password is wrong, libpq says by words alone."""
    if isinstance(error, exc.OperationalError | exc.InterfaceError | sqlite3.OperationalError):
        return UnavailableError
    return InvalidRequestError if isinstance(error, exc.DataError) else StorageError


def _code(error: exc.DBAPIError | sqlite3.Error) -> str:
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    for name in ("sqlstate", "sqlite_errorname"):
        if code := getattr(original, name, None):
            return str(code)
    return ""
