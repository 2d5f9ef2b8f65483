"""Transfers of a command: shown while they run, each object told of, summed up at the end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from storage_core.cli.address import Address
from storage_core.cli.formats import clean, count, size_pair, size_text
from storage_core.cli.output import Output
from storage_core.cli.progress import Bars
from storage_core.cli.session import Session, is_hopeless
from storage_core.cli.signals import Terminated
from storage_core.cli.telling import words_for
from storage_core.errors import StorageError
from storage_core.transfer.report import (
    OnOutcome,
    Outcome,
    TransferIncompleteError,
    TransferReport,
)

if TYPE_CHECKING:
    from types import TracebackType

    from storage_core.transfer.progress import OnProgress, Progress

T = TypeVar("T")

GO_ON: Final = "run the same command again to go on"
ANEW: Final = "run the same command again"
AGAIN: Final = "run the same command again to do it all, or 'storage sync' to do what is left"
MOVE_ON: Final = "nothing was deleted that was not copied; run the same command again to go on"
NOTHING: Final = "nothing was stored"


class _OutputLostError(BaseException):
    """Standard output does not take what is written: no matter of the object at hand."""


class _GivenUpError(Exception):
    """What failed would make all others fail alike."""


@contextmanager
def shown(session: Session, what: str, remedy: str = GO_ON) -> Iterator[Bars]:
    """The bars of a transfer of one object. If it is interrupted, how far it came is told.

    Args:
        session: Of the command.
        what: Name of what is transferred.
        remedy: What to do after an interruption.
    """
    bars = Bars(session.out, what)
    try:
        with bars:
            yield bars
    except (KeyboardInterrupt, Terminated):
        session.out.interrupted(_so_far(bars.latest), remedy)
        raise


def _so_far(now: Progress | None) -> str:
    """How far it came, for people."""
    parts = []
    if now is not None and now.total_objects not in {None, 1}:
        parts.append(f"{now.objects} of {now.total_objects} objects")
    if now is not None and now.bytes:
        parts.append(size_pair(now.bytes, now.total_bytes))
    return f"interrupted after {', '.join(parts)}" if parts else "interrupted"


class Many:
    """The transfers of one command with many objects.

    Each object that was transferred is told of at once; failures at the end, in the order of
    their names, and then the sum of it all. Leaving the ``with`` block ends the command if
    something failed.

    Args:
        session: Of the command.
        what: Text before the bar while nothing is known of what is under way.
        remedy: What to do after an interruption.
        dry_run: Whether all this is only looked at.
    """

    def __init__(
        self, session: Session, what: str, *, remedy: str = GO_ON, dry_run: bool = False
    ) -> None:
        self._session = session
        self._remedy = remedy
        self.dry_run = dry_run
        self._lock = threading.Lock()
        self._failures: list[tuple[str, Exception]] = []
        self._skipped: list[str] = []
        self._withheld: list[tuple[str, TransferIncompleteError]] = []
        self._done: Counter[str] = Counter()
        self._bytes = self._unchanged = 0
        self._began = time.monotonic()
        self.bars = Bars(session.out, what)

    def run(
        self,
        name: str,
        transfer: Callable[[OnProgress, OnOutcome], TransferReport],
        succeeded: OnOutcome,
        naming: Callable[[str], str],
    ) -> None:
        """Carry out a transfer of the engine's.

        Args:
            name: What it is called if it fails as a whole.
            transfer: Does it, and tells of its progress and of each object.
            succeeded: Called for each object that did not fail; see `tell`.
            naming: What a key that failed or was left out is called.
        """

        def on_outcome(outcome: Outcome) -> None:
            if outcome.error is None:
                succeeded(outcome)
            else:
                self.failed(naming(outcome.key), outcome.error)

        with self.attempt(name):
            try:
                report = transfer(self.bars.progress, on_outcome)
            except TransferIncompleteError as error:
                report = error.report
                if report.withheld:
                    self._withheld.append((name, error))
            self._unchanged += report.unchanged
            self._skipped += map(naming, report.skipped)

    def tell(self, target: Address | Path) -> OnOutcome:
        """Tells of each object what became of it.

        Args:
            target: Root of the tree that it went to.
        """

        def succeeded(outcome: Outcome) -> None:
            value, text = words_for(target, outcome, self.dry_run)
            self.done(outcome.action, outcome.size, value, text)

        return succeeded

    def done(self, action: str, size: int, value: Mapping[str, object], text: str) -> None:
        """An object was done; from any thread."""
        out = self._session.out
        value = {"type": "object", **value}
        with self._lock:
            self._done[action] += 1
            self._bytes += size
            try:
                if self.bars.wanted:
                    self.bars.line(clean(text))
                elif self.dry_run:
                    out.result(value, text)
                else:
                    out.done(value, text)
            except OSError as error:
                raise _OutputLostError from error

    def failed(self, name: str, error: Exception) -> None:
        """An object failed; from any thread."""
        with self._lock:
            self._failures.append((name, error))

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """One of several: a failure is kept to be told of, and the next one follows, unless it
        would fail for the same reason; from any thread."""
        try:
            yield
        except (StorageError, OSError) as error:
            self.failed(name, error)
            if is_hopeless(error):
                raise _GivenUpError from error

    def __enter__(self) -> Many:
        self.bars.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.bars.__exit__(kind, error, trace)
        if isinstance(error, _OutputLostError) and error.__cause__ is not None:
            raise error.__cause__
        interrupted = isinstance(error, (KeyboardInterrupt, Terminated))
        if error is not None and not (interrupted or isinstance(error, _GivenUpError)):
            return False
        out = self._session.out
        for place in sorted(self._skipped):
            why = "only marks a folder" if place.endswith("/") else "is no regular file"
            out.note(f"left out, as it {why}: {place}")
        for name, failure in (*sorted(self._failures, key=lambda pair: pair[0]), *self._withheld):
            self._session.failed(failure, "" if name in str(failure) else name)
        self._sum_up(out, interrupted)
        if interrupted:
            out.interrupted(_so_far(self.bars.latest), self._remedy)
            return False
        self._session.check()
        return False

    def _sum_up(self, out: Output, interrupted: bool) -> None:
        """The sum of it all."""
        seconds = time.monotonic() - self._began
        withheld = sum(error.report.withheld for _, error in self._withheld)
        told = self._done["delete"]
        moved = self._done.total() - told
        deleted = 0 if withheld else told  # a dry run tells of those over the limit too
        value: dict[str, Any] = {
            "type": "summary",
            "objects": moved,
            "bytes": self._bytes,
            "unchanged": self._unchanged,
            "deleted": deleted,
            "withheld": withheld,
            "failed": len(self._failures),
            "left_out": len(self._skipped),
            "seconds": round(seconds, 3),
            "dry_run": self.dry_run,
            "interrupted": interrupted,
        }
        parts = []
        if moved or not told:
            parts += [count(moved, "object"), size_text(self._bytes)]
        if self._bytes and not self.dry_run:
            parts[-1] += f" ({size_text(round(self._bytes / max(seconds, 0.001)))}/s)"
        for word in ("unchanged", "deleted", "withheld", "failed", "left_out"):
            if value[word]:
                parts.append(f"{value[word]} {word.replace('_', ' ')}")
        text = ", ".join(parts)
        if out.json:
            out.record(value)
        else:
            out.note(f"dry run: {text}" if self.dry_run else text)


def batches(items: Iterable[T], size: int = 1000) -> Iterator[list[T]]:
    """The items, many at a time."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


def in_parallel(items: Iterable[T], work: Callable[[T], None], width: int) -> None:
    """Do ``work`` for all items, each in one of ``width`` threads. Items are asked for one after
    the other, as threads get free; the first failure ends it and is raised."""
    from storage_core.runtime import drive
    from storage_core.runtime.team import ThreadTeam
    from storage_core.transfer.jobs import each

    async def asked() -> AsyncIterator[T]:
        for item in items:
            yield item

    async def job(item: T) -> None:
        work(item)

    drive(each(ThreadTeam(), asked(), job, width))
