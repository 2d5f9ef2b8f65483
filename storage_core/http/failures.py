"""What went wrong on a connection, as errors of the library."""

from __future__ import annotations

import os
import socket
import ssl

from storage_core.errors import ConfigError, OperationTimeoutError, StorageError, UnavailableError
from storage_core.http.wire import BrokenError


def describe(error: BaseException) -> str:
    """What an error of sockets or TLS says, for messages."""
    if isinstance(error, OSError) and error.strerror:
        resolver_or_tls = isinstance(error, socket.gaierror | ssl.SSLError)
        # The system's words: asyncio has some of its own.
        return error.strerror if resolver_or_tls or not error.errno else os.strerror(error.errno)
    return str(error) or type(error).__name__


def not_connected(name: str, error: Exception) -> StorageError:
    """No connection came about, so the service saw nothing of the request."""
    if isinstance(error, StorageError):
        error.unsent = True
        return error
    if isinstance(error, BrokenError) and isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConfigError(
            f"the certificate of {name} is not trusted: {error.verify_message}. Set ca_file to the"
            " certificates that sign it, or correct the endpoint",
            unsent=True,
        )
    if isinstance(error, TimeoutError):
        return OperationTimeoutError(f"{name}: no connection within the timeout", unsent=True)
    if isinstance(error, ssl.SSLError):
        return UnavailableError(f"{name}: TLS failed: {describe(error)}", unsent=True)
    return UnavailableError(f"{name}: no connection: {describe(error)}", unsent=True)


def broken(name: str, error: object, *, unsent: bool = False) -> UnavailableError:
    """The connection broke, or what came over it is no answer."""
    said = describe(error) if isinstance(error, BaseException) else error
    return UnavailableError(f"{name}: the connection broke: {said}", unsent=unsent)
