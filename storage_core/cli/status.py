"""Exit statuses of the command line, and which failure has which."""

from __future__ import annotations

from storage_core import errors

OK = 0
FAILURE = 1
USAGE = 2
NOT_FOUND = 3
CONFLICT = 4
DENIED = 5
CONFIG = 6
INTEGRITY = 7
UNSUPPORTED = 8
TRANSIENT = 9
INTERRUPTED = 130
OUTPUT_CLOSED = 141
TERMINATED = 143

MEANINGS = {
    OK: "done",
    FAILURE: "failed for a reason without a status of its own, or several failed differently",
    USAGE: "the command line, an address, a name or a key is not valid; nothing was sent",
    NOT_FOUND: "the bucket, object, version, upload or local file does not exist",
    CONFLICT: "it exists already, is not empty, was changed, or a condition does not hold",
    DENIED: "not permitted, or the credentials are not accepted",
    CONFIG: "the configuration, a profile or a driver is missing or wrong",
    INTEGRITY: "bytes do not match their checksum or size, or two trees differ",
    UNSUPPORTED: "the profile does not offer this",
    TRANSIENT: "the service is out of order or too slow; the same command may succeed later",
    INTERRUPTED: "interrupted by Ctrl-C",
    OUTPUT_CLOSED: "whoever read the output stopped reading",
    TERMINATED: "ended by SIGTERM",
}

# The first class that fits counts, so subclasses that differ stand above their base.
_TABLE: tuple[tuple[type[BaseException], int], ...] = (
    (errors.InvalidRequestError, USAGE),
    (errors.NotFoundError, NOT_FOUND),
    (errors.ConflictError, CONFLICT),
    (errors.AuthenticationError, DENIED),
    (errors.PermissionDeniedError, DENIED),
    (errors.ConfigError, CONFIG),
    (errors.IntegrityError, INTEGRITY),
    (errors.UnsupportedError, UNSUPPORTED),
    (errors.TransientError, TRANSIENT),
    (errors.StorageError, FAILURE),
    # Of local files
    (FileNotFoundError, NOT_FOUND),
    (FileExistsError, CONFLICT),
    (PermissionError, DENIED),
)


class UsageError(Exception):
    """The command line asks for something that makes no sense; the message names the remedy."""


class Failed(Exception):  # noqa: N818 - ends a command whose failures were already told
    """Ends a command with a status; what failed has been told.

    Args:
        status: One of the statuses of this module.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def status_of(error: BaseException) -> int:
    """The exit status of a failure."""
    if isinstance(error, UsageError):
        return USAGE
    return next((status for kind, status in _TABLE if isinstance(error, kind)), FAILURE)
