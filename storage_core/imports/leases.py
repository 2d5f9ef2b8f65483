"""Who works at a job: claims with a lease, and jobs given back, lost or ended.

The row of a job is the truth; what is in the queue only tells workers to look. A worker's claim
counts until its lease ends, and `attempts`, which each claim raises, tells its changes from those
of one before it. A job's state only ever moves on: one that lost its worker stays ``processing``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, select, update

from storage_core.imports.jobs import ACTIVE, ImportJob, get_job
from storage_core.state.tables import import_jobs as table

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage_core.imports.rows import Counts
    from storage_core.state import State


def claim(state: State, job_id: str, worker: str, lease_seconds: float) -> ImportJob | None:
    """Take a job that nobody works at; None if somebody does, or it has ended."""
    now = state.now()
    change = (
        update(table)
        .where(table.c.id == job_id, table.c.state.in_(ACTIVE), table.c.worker.is_(None))
        .values(
            state="processing",
            worker=worker,
            attempts=table.c.attempts + 1,
            started=now,
            lease_until=now + timedelta(seconds=lease_seconds),
            bytes_read=0,
            rows_total=0,
        )
    )
    with state.write() as connection:
        if connection.execute(change).rowcount != 1:
            return None
    return get_job(state, job_id)


def renew(state: State, job: ImportJob, lease_seconds: float, read: int, rows: int) -> bool:
    """Tell that the worker is alive, and how far it has come.

    Returns:
        False if the job is not its own any more.
    """
    until = state.now() + timedelta(seconds=lease_seconds)
    return _change(state, job, lease_until=until, bytes_read=read, rows_total=rows)


def finish(state: State, job: ImportJob, counts: Counts) -> bool:
    """The job is done; False as of `renew`."""
    return _change(
        state,
        job,
        state="imported",
        **_ended(state.now()),
        bytes_read=job.size,
        rows_total=counts.total,
        rows_ok=counts.ok,
        rows_deleted=counts.deleted,
        error_code=None,
        error=None,
    )


def fail(
    state: State, job: ImportJob, code: str, error: str, *, line: int | None = None, rows: int = 0
) -> bool:
    """The job has failed for good; False as of `renew`.

    Args:
        state: Where it is written down.
        job: The job, claimed.
        code: What it failed of, in one word.
        error: Likewise, for people.
        line: Line of the file that is at fault.
        rows: Rows read, that line's included.
    """
    return _change(
        state,
        job,
        state="failed",
        **_ended(state.now()),
        rows_total=rows,
        rows_failed=min(rows, 1),
        error_code=code,
        error_line=line,
        error=error,
    )


def give_back(
    state: State,
    job: ImportJob,
    *,
    after: float,
    counted: bool,
    because: tuple[str, str] | None = None,
) -> bool:
    """Leave the job to another attempt; False as of `renew`.

    Args:
        state: Where it is written down.
        job: The job, claimed.
        after: Seconds until it is queued again, unless the caller does so.
        counted: Whether this attempt counts.
        because: Code and text of what stopped it.
    """
    code, error = because or (job.error_code, job.error)
    return _change(
        state,
        job,
        worker=None,
        lease_until=state.now() + timedelta(seconds=after),
        attempts=job.attempts if counted else job.attempts - 1,
        error_code=code,
        error=error,
    )


def requeue_lapsed(
    state: State, lease_seconds: float, waiting: Callable[[], set[str]], put: Callable[[str], None]
) -> None:
    """Queue the jobs again whose worker, or whose message in the queue, was lost. Any number of
    processes may do so at once.

    Args:
        state: Where the jobs are.
        lease_seconds: Time until one that is queued now is looked at again.
        waiting: Gives the jobs that are in the queue.
        put: Puts one there.
    """
    now = state.now()
    wanted = select(table.c.id, table.c.worker, table.c.lease_until).where(
        table.c.state.in_(ACTIVE), table.c.lease_until <= now
    )
    with state.read() as connection:
        lapsed = connection.execute(wanted.order_by(table.c.lease_until)).all()
    if not lapsed:
        return
    queued = waiting()
    for job_id, worker, until in lapsed:
        same = (
            table.c.id == job_id,
            table.c.state.in_(ACTIVE),
            table.c.lease_until == until,
            table.c.worker.is_(None) if worker is None else table.c.worker == worker,
        )
        lease = now + timedelta(seconds=lease_seconds)
        if _update(state, *same, worker=None, lease_until=lease) and job_id not in queued:
            put(job_id)


def _ended(now: datetime) -> dict[str, Any]:
    return {"worker": None, "lease_until": None, "finished": now}


def _change(state: State, job: ImportJob, /, **values: Any) -> bool:
    return _update(
        state,
        table.c.project_id == job.project_id,
        table.c.id == job.id,
        table.c.worker == job.worker,
        table.c.attempts == job.attempts,
        table.c.state == "processing",
        **values,
    )


def _update(where: State, /, *wanted: ColumnElement[bool], **values: Any) -> bool:
    with where.write() as connection:
        return connection.execute(update(table).where(*wanted).values(**values)).rowcount == 1
