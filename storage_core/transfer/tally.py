"""What became of the keys of a tree, counted from all jobs."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING, Final

from storage_core.errors import (
    QuotaExceededError,
    StorageError,
    TransientError,
)
from storage_core.transfer.compare import HOPELESS
from storage_core.transfer.planning import Decision
from storage_core.transfer.report import Action, OnOutcome, Outcome, TransferReport

if TYPE_CHECKING:
    from storage_core.transfer.progress import Meter

_PERHAPS: Final = (QuotaExceededError, TransientError)
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE}
IN_A_ROW: Final = 40
"""So many failures that may concern all others, and no success between them, do concern them."""

_ACTIONS: Final[dict[str, Action]] = {
    "upload": "upload",
    "download": "download",
    "copy": "copy",
    "delete": "delete",
}


class Tally:
    """Counts, and tells each outcome to a callback, never two at a time.

    Args:
        meter: Counts for the progress.
        on_outcome: The caller's, or None.
        moving: What is done to those that only fail.
    """

    def __init__(self, meter: Meter, on_outcome: OnOutcome | None, moving: Action) -> None:
        self._meter = meter
        self._on_outcome = on_outcome
        self._moving = moving
        self._lock = threading.Lock()
        self._transferred = self._bytes = self._unchanged = self._deleted = 0
        self._withheld = 0
        self._skipped: list[str] = []
        self.failures: list[Outcome] = []
        self._in_a_row = 0

    def unchanged(self, count: int) -> None:
        """So many are the same on both sides."""
        with self._lock:
            self._unchanged += count

    def skipped(self, key: str) -> None:
        """There is nothing to transfer under a key."""
        with self._lock:
            self._skipped.append(key)

    def withheld(self, count: int) -> None:
        """So many are more than may be deleted. A dry run has told of them nevertheless."""
        with self._lock:
            self._withheld, self._deleted = count, 0

    def done(
        self, decision: Decision, size: int, etag: str | None = None, *, counted: bool = False
    ) -> None:
        """What was decided is done; ``counted`` if the meter knows of the bytes already."""
        if not counted:
            self._meter.moved(size)
        self._meter.end()
        with self._lock:
            if decision.kind == "delete":
                self._deleted += 1
            else:
                self._transferred += 1
                self._bytes += size
            self._in_a_row = 0
            if self._on_outcome is not None:
                action = _ACTIONS[decision.kind]
                self._on_outcome(Outcome(decision.key, action, size, None, etag))

    def failed(self, decision: Decision, error: StorageError | OSError) -> None:
        """What was decided failed.

        Raises:
            StorageError: so will all others.
            OSError: likewise.
        """
        self._meter.end(failed=True)
        error = error.with_traceback(None)  # it would keep alive all that it passed through
        outcome = Outcome(decision.key, _ACTIONS.get(decision.kind, self._moving), 0, error)
        with self._lock:
            self.failures.append(outcome)
            if self._on_outcome is not None:
                self._on_outcome(outcome)
            concerns_all = isinstance(error, _PERHAPS) or (
                isinstance(error, OSError) and error.errno in _FULL
            )
            self._in_a_row = self._in_a_row + 1 if concerns_all else 0
            if isinstance(error, HOPELESS) or self._in_a_row >= IN_A_ROW:
                raise error

    def report(self, *, dry_run: bool) -> TransferReport:
        """All in all."""
        return TransferReport(
            self._transferred,
            self._bytes,
            self._unchanged,
            self._deleted,
            tuple(sorted(self._skipped)),
            tuple(sorted(self.failures, key=lambda found: found.key)),
            dry_run,
            self._withheld,
        )
