"""What runs on a worker, of whatever engine it is."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeVar

import storage_core
from storage_core.cluster.jobs import (
    Answer,
    Carried,
    Carry,
    Check,
    Checked,
    Job,
    Look,
    Looked,
    Refusal,
)
from storage_core.cluster.portable import portable, portable_answer
from storage_core.cluster.session import Session, side
from storage_core.errors import ConfigError, InvalidKeyError, StorageError
from storage_core.runtime import drive
from storage_core.runtime.team import ThreadTeam
from storage_core.transfer.context import Context
from storage_core.transfer.entries import KeyRange
from storage_core.transfer.filters import Filter
from storage_core.transfer.folder import FolderSide
from storage_core.transfer.moving import carry_out
from storage_core.transfer.placing import Neighbours
from storage_core.transfer.planning import Decision, Stretch, plan
from storage_core.transfer.prefix import BucketSide
from storage_core.transfer.progress import OnProgress, Progress
from storage_core.transfer.report import Outcome, VerifyReport
from storage_core.transfer.verify import verify_range

T = TypeVar("T")

KEYS: Final = 20_000
"""Keys that one job looks at."""
MOVES: Final = 2_000
"""Decisions that one answer holds."""
SECONDS: Final = 15.0
"""Time after which a job that lists, and perhaps reads, gives back what is left."""
EVERY: Final = 1.0
"""Seconds after which a job tells how far it has come, at least."""


def answered(name: str, work: Callable[[], T]) -> T | Refusal:
    """Do something for the client, who is told by an answer if it can not be done.

    Args:
        name: Of the worker, such as ``the worker tcp://10.0.0.6:4711``.
        work: What.
    """
    try:
        return work()
    except ConfigError as error:
        return Refusal(ConfigError(f"{name} can not take part: {error.message}"))
    except (StorageError, OSError) as error:
        error.add_note(f"on {name}")
        return Refusal(portable(error))


def check_version(version: str) -> None:
    """Refuse a client of another version.

    Raises:
        ConfigError: it is.
    """
    here = storage_core.__version__
    if here != version:
        raise ConfigError(
            f"it has storage-core {here} and the client has {version}; install the same version"
            " on all machines"
        )


def perform(session: Session, job: Job, tell: Callable[[int], None]) -> Answer:
    """Do one job.

    Args:
        session: Of the operation.
        job: What to do.
        tell: Called from any thread with the bytes that were moved so far, if the operation's
            progress is wanted.

    Raises:
        StorageError, OSError: all other jobs would fail too.
    """
    return portable_answer(drive(_do(session, job, tell)))


async def _do(session: Session, job: Job, tell: Callable[[int], None]) -> Answer:
    match job:
        case Look():
            return await _look(session, job)
        case Carry():
            return await _carry(session, job, tell)
        case Check():
            return await _check(session, job)


def _teller(tell: Callable[[int], None]) -> OnProgress:
    last = time.monotonic()

    def on_progress(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() >= last + EVERY:
            last = time.monotonic()
            tell(progress.bytes)

    return on_progress


def _context(session: Session) -> Context:
    return Context(ThreadTeam(), session.operation.options, None)


async def _look(session: Session, job: Look) -> Looked:
    operation = session.operation
    source, target = side(operation.source), side(operation.target)
    judge = await _judge(session, source, target, job.keys.after)
    decisions: list[Decision] = []
    seen = unchanged = 0
    until = time.monotonic() + SECONDS
    found = plan(_context(session), source, target, operation.rules, job.keys)
    async for stretch in found:
        session.checkpoint()
        decisions += map(judge, stretch.decisions)
        unchanged += stretch.unchanged
        seen += len(stretch.decisions) + stretch.unchanged
        enough = seen >= KEYS or len(decisions) >= MOVES or time.monotonic() >= until
        if job.bounded and enough:
            rest = KeyRange(stretch.last, job.keys.until)
            return Looked(tuple(decisions), unchanged, rest)
    return Looked(tuple(decisions), unchanged, None)


async def _judge(
    session: Session, source: BucketSide | FolderSide, target: BucketSide | FolderSide, after: str
) -> Callable[[Decision], Decision]:
    """Fails a decision for which an object that comes before the range is in the way: of ``a``
    and ``a/b`` a folder can have one, and the plan of a range knows only what is in it."""
    if not after or not isinstance(source, BucketSide) or not isinstance(target, FolderSide):
        return lambda decision: decision
    keep, core = Filter(session.operation.rules), source.end.core
    neighbours = Neighbours(target)
    # Of "a", "a.b" and "a/c", in this order, the second can be where the range begins.
    for end in [*(found.start() for found in re.finditer("[\0-/]", after)), len(after)]:
        key = after[:end]
        if key and key[-1] != "/" and keep.takes(key):
            with suppress(InvalidKeyError):  # it fails where it is, and is in nobody's way
                if await source.end.run(core.exists(source.prefix + key, None, None)):
                    neighbours.check(key)

    def judge(decision: Decision) -> Decision:
        if decision.kind != "download":
            return decision
        try:
            neighbours.check(decision.key)
        except InvalidKeyError as error:
            return Decision(decision.key, "fail", error=error.with_traceback(None))
        return decision

    return judge


async def _carry(session: Session, job: Carry, tell: Callable[[int], None]) -> Carried:
    operation = session.operation
    outcomes: list[Outcome] = []
    blocked: list[Decision] = []
    options = replace(operation.options, bandwidth=job.bandwidth)
    progress = _teller(tell) if operation.progress else None
    report = await carry_out(
        Context(ThreadTeam(), options, progress),
        side(operation.source),
        side(operation.target),
        operation.rules,
        _all_of(job.decisions),
        outcomes.append if operation.outcomes else None,
        blocked if job.may_wait else None,
    )
    return Carried(report, tuple(outcomes), tuple(blocked))


async def _all_of(decisions: Sequence[Decision]) -> AsyncIterator[Stretch]:
    yield Stretch(list(decisions), 0, decisions[-1].key)


async def _check(session: Session, job: Check) -> Checked:
    operation = session.operation
    reports: list[VerifyReport] = []
    seen = 0
    until = time.monotonic() + SECONDS
    found = verify_range(
        _context(session),
        side(operation.source),
        side(operation.target),
        operation.rules,
        job.keys,
    )
    async for compared in found:
        session.checkpoint()
        report = compared.report
        reports.append(report)
        lists = report.different, report.only_source, report.only_target, report.failures
        seen += report.same + sum(map(len, lists))
        if job.bounded and (seen >= KEYS or time.monotonic() >= until):
            return Checked(VerifyReport.of(reports), KeyRange(compared.last, job.keys.until))
    return Checked(VerifyReport.of(reports), None)
