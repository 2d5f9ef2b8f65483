"""What runs on a worker."""

from __future__ import annotations

import asyncio
import pickle
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

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
    Sealed,
)
from storage_core.cluster.session import SESSIONS, Session, side
from storage_core.cluster.telling import teller
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
from storage_core.transfer.report import Outcome, VerifyReport
from storage_core.transfer.verify import verify_range

if TYPE_CHECKING:
    from distributed import Worker

KEYS = 20_000
"""Keys that one job looks at."""
MOVES = 2_000
"""Decisions that one answer holds."""
SECONDS = 15.0
"""Time after which a job that lists, and perhaps reads, gives back what is left."""


def perform(version: str, token: str, operation: Sealed, job: Sealed) -> Answer | None:
    """Do one job. The arguments are plain, so that another version can still refuse them."""
    from distributed import get_worker

    return _perform(get_worker(), version, token, operation, job)


async def welcome(
    version: str, token: str, operation: Sealed, *, dask_worker: Worker
) -> Answer | None:
    """Find out, before anything is moved, whether this worker can take part."""
    return await asyncio.to_thread(_perform, dask_worker, version, token, operation, None)


def _perform(
    worker: Worker, version: str, token: str, operation: Sealed, job: Sealed | None
) -> Answer | None:
    try:
        _check_version(version)
        with SESSIONS.use(token, operation) as session:
            if job is None:
                return None
            given: Job = pickle.loads(job)  # noqa: S301 - from the client, as all tasks are
            return drive(_do(worker, session, given))
    except ConfigError as error:
        text = f"the worker {worker.address} can not take part: {error.message}"
        return Refusal(ConfigError(text))
    except (StorageError, OSError) as error:
        error.add_note(f"on the worker {worker.address}")
        return Refusal(error)


async def dismiss(token: str) -> None:
    """End an operation: close what it has open here."""
    await asyncio.to_thread(SESSIONS.end, token)


def _check_version(version: str) -> None:
    here = storage_core.__version__
    if here != version:
        raise ConfigError(
            f"it has storage-core {here} and the client has {version}; install the same version"
            " on all machines"
        )


async def _do(worker: Worker, session: Session, job: Job) -> Answer:
    match job:
        case Look():
            return await _look(session, job)
        case Carry():
            return await _carry(worker, session, job)
        case Check():
            return await _check(session, job)


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


async def _carry(worker: Worker, session: Session, job: Carry) -> Carried:
    operation = session.operation
    outcomes: list[Outcome] = []
    blocked: list[Decision] = []
    options = replace(operation.options, bandwidth=job.bandwidth)
    progress = teller(worker) if operation.progress else None
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
