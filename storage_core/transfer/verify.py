"""Two trees compared by their bytes, nothing changed."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import NamedTuple

from storage_core.transfer.compare import Verdict, needs_reading, same_bytes
from storage_core.transfer.context import Context
from storage_core.transfer.entries import ALL, NOT_REGULAR, Entry, KeyRange, Side
from storage_core.transfer.feed import Feed
from storage_core.transfer.filters import Filter
from storage_core.transfer.merging import Meeting, key_of, meetings
from storage_core.transfer.progress import Meter
from storage_core.transfer.report import Outcome, VerifyReport
from storage_core.transfer.rules import Rules


class Compared(NamedTuple):
    """Some consecutive keys.

    Attributes:
        report: What was found.
        last: The last key that was looked at; `KeyRange` goes on after it.
    """

    report: VerifyReport
    last: str


async def compare_trees(context: Context, source: Side, target: Side, rules: Rules) -> VerifyReport:
    """Compare all that the rules let take part.

    Args:
        context: Of the comparison.
        source: One side.
        target: The other.
        rules: Which keys take part.

    Raises:
        StorageError: a listing broke off.
    """
    team = context.team
    sources, targets = Feed(team, source.batches(team, ALL)), Feed(team, target.batches(team, ALL))
    reports: list[VerifyReport] = []

    async def work() -> None:
        found = verify_range(context, source, target, rules, sources=sources, targets=targets)
        reports.extend([compared.report async for compared in found])

    await team.together([sources.fill(), targets.fill(), work()])
    return VerifyReport.of(reports)


async def verify_range(
    context: Context,
    source: Side,
    target: Side,
    rules: Rules,
    keys: KeyRange = ALL,
    *,
    sources: AsyncIterator[list[Entry]] | None = None,
    targets: AsyncIterator[list[Entry]] | None = None,
) -> AsyncIterator[Compared]:
    """Compare all keys of a range, ascending; arguments as for `planning.plan`."""
    if sources is None:
        sources = source.batches(context.team, keys)
    if targets is None:
        targets = target.batches(context.team, keys)
    folders = source.is_folder or target.is_folder
    async for met in meetings(sources, targets, Filter(rules), folders=folders):
        if met:
            yield Compared(await _compared(context, source, target, met), key_of(met[-1]))


async def _compared(
    context: Context, source: Side, target: Side, met: list[Meeting]
) -> VerifyReport:
    found = _Found(context.meter)
    asked = []
    for meeting in met:
        if found.both_there(meeting):
            verdict = needs_reading(source, target, meeting, "checksum")
            if verdict is None:
                asked.append(meeting)
            else:
                found.judged(meeting, verdict, 0)
    if asked:
        await same_bytes(context, source, target, asked, "checksum", told=found.judged)
    return found.report()


class _Found:
    """What was found of some keys; told from any thread."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._lock = threading.Lock()
        self._same = self._bytes = self._read = 0
        self._different: list[str] = []
        self._only_source: list[str] = []
        self._only_target: list[str] = []
        self._failures: list[Outcome] = []
        self._skipped: list[str] = []

    def both_there(self, meeting: Meeting) -> bool:
        """Whether both sides have the key with the same size; if not, that is what is found."""
        source, target = meeting
        errors = [entry.error for entry in meeting if entry is not None and entry.error]
        here = source is not None and source.size != NOT_REGULAR
        there = target is not None and target.size != NOT_REGULAR
        key = key_of(meeting)
        if errors:
            self._failures.append(Outcome(key, "verify", 0, errors[0]))
        elif not here and not there:
            self._skipped.append(key)
        elif not there:
            self._only_source.append(key)
        elif not here:
            self._only_target.append(key)
        else:
            assert source is not None
            assert target is not None
            self._meter.expect(1, source.size)
            if source.size == target.size:
                return True
            self.judged(meeting, False, 0)
        return False

    def judged(self, meeting: Meeting, verdict: Verdict, read: int) -> None:
        """Both sides were compared."""
        source = meeting[0]
        assert source is not None
        key, size = source[:2]
        failed = not isinstance(verdict, bool)
        self._meter.moved(size)
        self._meter.end(failed)
        with self._lock:
            self._bytes += size
            self._read += read
            if verdict is True:
                self._same += 1
            elif verdict is False:
                self._different.append(key)
            else:
                self._failures.append(Outcome(key, "verify", 0, verdict))

    def report(self) -> VerifyReport:
        """All in all."""
        return VerifyReport(
            self._same,
            tuple(sorted(self._different)),
            tuple(self._only_source),
            tuple(self._only_target),
            tuple(sorted(self._failures, key=lambda found: found.key)),
            tuple(self._skipped),
            self._bytes,
            self._read,
        )
