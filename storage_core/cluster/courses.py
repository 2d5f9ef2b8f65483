"""The order of the work: what is looked at, moved, deleted and verified when."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from storage_core.cluster.jobs import (
    Answer,
    Carried,
    Carry,
    Check,
    Checked,
    Job,
    Look,
    Looked,
)
from storage_core.cluster.run import Course
from storage_core.errors import StorageError
from storage_core.transfer.entries import KeyRange
from storage_core.transfer.planning import Decision
from storage_core.transfer.progress import Meter
from storage_core.transfer.report import Action, OnOutcome, Outcome, TransferReport, VerifyReport
from storage_core.transfer.rules import Rules
from storage_core.transfer.spool import Spool

BATCH_BYTES: Final = 256 * 1024**2
"""Bytes of one job at most, but for a single larger object."""
_LEAST: Final = 16
"""Objects of one job at least, where there are more: a worker moves so many side by side."""
_LOOKS: Final = 16
"""Ranges that are looked at side by side."""
_STORE: Final = 16_384
"""Decisions that wait here; while there are more, nothing more is looked at."""


class _Ranges:
    """Ranges of keys to be looked at, and those that are."""

    def __init__(self, ranges: Iterable[KeyRange]) -> None:
        self._waiting = deque(ranges)
        self.out = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self.out)

    def next(self, most: int) -> KeyRange | None:
        """One to be looked at now, if there are not so many already."""
        if not self._waiting or self.out >= min(most, _LOOKS):
            return None
        self.out += 1
        return self._waiting.popleft()

    def done(self, rest: KeyRange | None) -> None:
        """One was looked at, but for the rest of it."""
        self.out -= 1
        if rest is not None:
            self._waiting.appendleft(rest)


class Transfer(Course):
    """A one-way transfer. Deletions come last, and only if all else has gone well.

    Args:
        ranges: All keys.
        bounded: Whether a listing can begin in the middle.
        batch: Objects of one job at most.
        rules: What the jobs do, and how much may be deleted.
        moving: What is done to keys that are not deleted.
        bandwidth: Bytes per second of all workers, None for no limit.
        meter: For the progress.
        on_outcome: The caller's.
        spool: Where deletions wait for all else; there may be millions.
    """

    def __init__(
        self,
        ranges: Iterable[KeyRange],
        bounded: bool,
        batch: int,
        rules: Rules,
        moving: Action,
        bandwidth: float | None,
        meter: Meter,
        on_outcome: OnOutcome | None,
        spool: Spool,
    ) -> None:
        self._ranges = _Ranges(ranges)
        self._bounded = bounded
        self._batch_most = batch
        self._rules = rules
        self._moving = moving
        self._bandwidth = bandwidth
        self._meter = meter
        self._on_outcome = on_outcome
        self._ready: deque[Decision] = deque()
        self._carrying = 0
        self._deletions = spool
        self._blocked: list[Decision] = []
        self._may_wait = True
        self._later = self._after_the_moves()
        self._transferred = self._bytes = self._unchanged = self._deleted = 0
        self._withheld = 0
        self._skipped: list[str] = []
        self._failures: list[Outcome] = []

    def next(self, threads: int) -> Job | None:
        # Where there is enough to carry, half of the workers do so meanwhile.
        enough = self._batch_most * threads
        looking = threads if len(self._ready) < enough else max(1, threads // 2)
        if len(self._ready) < _STORE and (keys := self._ranges.next(looking)) is not None:
            return Look(keys, self._bounded)
        if not self._ready and not self._ranges and not self._carrying:
            self._ready.extend(next(self._later, ()))
        decisions = self._batch(threads)
        if not decisions:
            return None
        self._carrying += 1
        share = None if self._bandwidth is None else max(1.0, self._bandwidth / threads)
        return Carry(decisions, share, self._may_wait)

    def _after_the_moves(self) -> Iterator[list[Decision]]:
        """Deletions, if all moves went well and they are not too many, and then the moves that
        they may have made room for; each step is asked for when the one before it is done."""
        count, most = self._deletions.count, self._rules.max_delete
        if most is not None and count > most:
            self._withheld = count
        # A dry run tells of those that are too many as well.
        if count and not self._failures and (self._rules.dry_run or not self._withheld):
            self._meter.expect(count, 0)
            for keys in self._deletions.batches(_STORE):
                yield [Decision(key, "delete") for key in keys]
        self._may_wait = False
        yield sorted(self._blocked, key=lambda decision: decision.key)

    def _batch(self, threads: int) -> tuple[Decision, ...]:
        # Jobs get smaller towards the end, so that all workers are busy until then.
        least = self._batch_most // 4 if self._ranges else _LEAST
        most = min(self._batch_most, max(least, -(-len(self._ready) // threads)))
        batch: list[Decision] = []
        size = 0
        while self._ready and len(batch) < most:
            size += self._ready[0].size
            if batch and size > BATCH_BYTES:
                break
            batch.append(self._ready.popleft())
        return tuple(batch)

    def moved(self, size: int) -> None:
        self._meter.moved(size)

    def take(self, job: Job, answer: Answer, told: int) -> None:
        match job, answer:
            case Look(), Looked():
                self._looked(answer)
            case Carry(), Carried():
                self._carried(job, answer, told)

    def _looked(self, answer: Looked) -> None:
        self._ranges.done(answer.rest)
        self._unchanged += answer.unchanged
        objects = size = 0
        for decision in answer.decisions:
            if decision.kind == "delete":
                self._deletions.add(decision.key)
                continue
            self._ready.append(decision)
            if decision.kind != "skip":
                objects += 1
                size += decision.size
        if objects:
            self._meter.expect(objects, size)

    def _carried(self, job: Carry, answer: Carried, told: int) -> None:
        self._carrying -= 1
        self._blocked.extend(answer.blocked)
        report = answer.report
        self._transferred += report.transferred
        self._bytes += report.bytes
        self._deleted += report.deleted
        self._skipped += report.skipped
        self._failures += report.failures
        self._meter.begin(job.decisions[-1].key)
        self._meter.moved(report.bytes - told)
        for _ in range(report.transferred + report.deleted):
            self._meter.end()
        for _ in report.failures:
            self._meter.end(failed=True)
        if self._on_outcome is not None:
            for outcome in answer.outcomes:
                self._on_outcome(outcome)

    def give_up(self, job: Job, error: StorageError, told: int) -> None:
        if not isinstance(job, Carry):
            raise error
        # What was to fail or to be skipped anyway still is.
        outcomes = tuple(
            Outcome(
                decision.key,
                "delete" if decision.kind == "delete" else self._moving,
                error=decision.error or error,
            )
            for decision in job.decisions
            if decision.kind != "skip"
        )
        skipped = tuple(decision.key for decision in job.decisions if decision.kind == "skip")
        report = TransferReport(skipped=skipped, failures=outcomes)
        self._carried(job, Carried(report, outcomes, ()), told)

    def report(self) -> TransferReport:
        """What was done."""
        return TransferReport(
            self._transferred,
            self._bytes,
            self._unchanged,
            0 if self._withheld else self._deleted,
            tuple(sorted(self._skipped)),
            tuple(sorted(self._failures, key=lambda outcome: outcome.key)),
            self._rules.dry_run,
            self._withheld,
        )


class Verification(Course):
    """A comparison of two trees by their bytes; arguments as of `Transfer`."""

    def __init__(self, ranges: Iterable[KeyRange], bounded: bool, meter: Meter) -> None:
        self._ranges = _Ranges(ranges)
        self._bounded = bounded
        self._meter = meter
        self._reports: list[VerifyReport] = []

    def next(self, threads: int) -> Job | None:
        keys = self._ranges.next(threads)
        return None if keys is None else Check(keys, self._bounded)

    def moved(self, size: int) -> None:
        self._meter.moved(size)

    def take(self, job: Job, answer: Answer, told: int) -> None:
        assert isinstance(answer, Checked)
        self._ranges.done(answer.rest)
        report = answer.report
        self._reports.append(report)
        failed = len(report.failures)
        compared = report.same + len(report.different) + failed
        self._meter.expect(compared, report.bytes)
        self._meter.moved(report.bytes - told)
        for number in range(compared):
            self._meter.end(failed=number < failed)

    def give_up(self, job: Job, error: StorageError, told: int) -> None:
        raise error

    def report(self) -> VerifyReport:
        """What was found."""
        return VerifyReport.of(self._reports)
