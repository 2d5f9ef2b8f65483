"""``storage imports``: list, show, watch, work: the imports of a gateway's files."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from storage_core.cli.admin import DATABASE, WITHIN, Database, Within, inside, opened
from storage_core.cli.formats import clean, count, parse_duration, size_text, time_text
from storage_core.cli.output import record
from storage_core.cli.session import Session, This
from storage_core.cli.status import FAILURE, Failed, UsageError
from storage_core.errors import NotFoundError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from storage_core import Storage
    from storage_core.access.model import Project
    from storage_core.imports import ImportFile, ImportJob
    from storage_core.state import State


def list_(
    *, active: bool = False, limit: int = 100, within: Within = WITHIN, session: This
) -> None:
    """List the imports of a project, the newest first.

    Args:
        active: Only those that have yet to end.
        limit: Most of them.
    """
    from storage_core.imports import list_jobs

    if limit < 1:
        raise UsageError("--limit is 1 or more")
    with inside(session, within) as (state, project):
        found = list_jobs(state, project.id, active=active, limit=limit)
    if session.out.json:
        for job, name in found:
            session.out.record(_record(job, name))
        return
    session.out.table(
        ("import", "asked", "file", "state", "rows", "error"),
        [
            (job.id, time_text(job.submitted), name, job.state, str(job.rows_total), _error(job))
            for job, name in found
        ],
    )


def show(
    wanted: Annotated[str, Parameter(name="ID")], /, *, within: Within = WITHIN, session: This
) -> None:
    """Show an import, or the last one of a file.

    Args:
        wanted: Id of the import, or of the file.
    """
    with inside(session, within) as (state, project):
        job, file = _find(state, project, wanted)
    if session.out.json:
        session.out.record({**_record(job, file.name), "path": file.path})
        return
    for name, value in (
        ("import", job.id),
        ("file", file.id),
        ("path", file.path),
        ("action", job.action_id),
        ("type", job.file_type),
        ("size", size_text(job.size)),
        ("state", job.state),
        ("attempts", str(job.attempts)),
        ("asked", time_text(job.submitted)),
        ("ended", time_text(job.finished)),
        ("rows", f"{job.rows_total} ({job.rows_ok} put, {job.rows_deleted} deleted)"),
        ("error", _error(job)),
    ):
        if value:
            session.out.line(f"{name:<9} {value}")


def watch(
    *ids: Annotated[str, Parameter(name="ID")],
    every: str = "1s",
    within: Within = WITHIN,
    session: This,
) -> None:
    """Watch imports until they have ended; ends with status 1 if one failed.

    On a terminal their state and progress is shown all the time; elsewhere a line for each change.

    Args:
        ids: The imports or files; without any, all imports of the project that are under way.
        every: How often to look: 1s, 5s, 1m.
    """
    pause = parse_duration(every)
    with inside(session, within) as (state, project):
        names = _chosen(state, project, ids)
        if not names:
            session.out.note("no import is under way")
            return
        jobs = _watched(session, state, names, pause)
    if any(job.state == "failed" for job in jobs):
        raise Failed(FAILURE)


def work(*, threads: int = 1, on: Database = DATABASE, session: This) -> None:
    """Import files until interrupted: a worker of the gateway in a process of its own.

    SIGTERM and Ctrl-C let the imports under way end, for as long as gateway.drain_timeout says;
    what has not ended by then is left to another worker.

    Args:
        threads: Imports at a time.
    """
    from storage_core.gateway.logs import configure
    from storage_core.imports import start_workers

    if threads < 1:
        raise UsageError("--threads is 1 or more")
    settings = session.config.gateway()
    configure(settings.log_format, logging.WARNING if session.out.quiet else logging.INFO)
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    with opened(session, on.database) as state:
        workers = start_workers(state, settings.imports, _storages(session), count=threads)
        try:
            session.out.done(
                {"working": threads, "pid": os.getpid()}, f"{count(threads, 'worker')} at work"
            )
            sys.stdout.flush()  # whoever started the process may wait for the line
            stop.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)  # a second signal does not wait
            workers.stop(settings.drain_timeout)


def _storages(session: Session) -> Callable[[str], Storage]:
    """Opens storages for the threads of a worker."""
    lock = threading.Lock()

    def storage(profile: str) -> Storage:
        with lock:
            return session.storage(profile or None)

    return storage


def _find(state: State, project: Project, wanted: str) -> tuple[ImportJob, ImportFile]:
    """The import of an id, or the last one of a file of that id."""
    from storage_core.imports import find_file, get_job, latest_job

    job = get_job(state, wanted)
    if job is not None and job.project_id == project.id:
        file = find_file(state, project.id, job.file_id)
    else:
        file = find_file(state, project.id, wanted)
        job = latest_job(state, file) if file else None
    if file is None:
        raise NotFoundError(f"there is no import or file {wanted!r} in {project.name!r}")
    if job is None:
        raise NotFoundError(f"no import of the file {wanted!r} was asked for")
    return job, file


def _chosen(state: State, project: Project, ids: tuple[str, ...]) -> dict[str, str]:
    """Names of files by the ids of their imports."""
    from storage_core.imports import list_jobs

    if not ids:
        found = list_jobs(state, project.id, active=True, limit=1000)
        return {job.id: name for job, name in reversed(found)}
    pairs = [_find(state, project, wanted) for wanted in ids]
    return {job.id: file.name for job, file in pairs}


def _watched(
    session: Session, state: State, names: dict[str, str], pause: float
) -> list[ImportJob]:
    """Show the imports until all have ended; as they are then."""
    if session.out.json or session.out.quiet or not sys.stdout.isatty():
        return _told(session, state, names, pause)
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        while True:
            jobs = _look(state, names)
            live.update(_table(jobs, names), refresh=True)
            if not any(job.active for job in jobs):
                return jobs
            time.sleep(pause)


def _told(session: Session, state: State, names: dict[str, str], pause: float) -> list[ImportJob]:
    """Tell of each change: all of them in JSON, else what people want to know."""
    last: dict[str, object] = {}
    while True:
        jobs = _look(state, names)
        for job in jobs:
            told = _record(job, names[job.id]) if session.out.json else _line(job, names[job.id])
            if last.get(job.id) != told:
                session.out.done(told, str(told))
                sys.stdout.flush()
                last[job.id] = told
        if not any(job.active for job in jobs):
            return jobs
        time.sleep(pause)


def _look(state: State, names: dict[str, str]) -> list[ImportJob]:
    from storage_core.imports import get_job

    return [job for job_id in names if (job := get_job(state, job_id)) is not None]


def _line(job: ImportJob, name: str) -> str:
    told = f"{job.id}  {name}  {job.state}"
    if job.active:
        return told
    return f"{told}  {_error(job) or count(job.rows_total, 'row')}"


def _table(jobs: Iterable[ImportJob], names: dict[str, str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("file", "state", "rows", "progress", box=None, pad_edge=False)
    for job in jobs:
        table.add_row(
            Text(clean(names[job.id])), Text(job.state), Text(str(job.rows_total)), _progress(job)
        )
    return table


def _progress(job: ImportJob) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    if job.state == "failed":
        return Text(clean(_error(job)), style="red")
    return ProgressBar(total=max(job.size, 1), completed=min(job.bytes_read, job.size), width=32)


def _error(job: ImportJob) -> str:
    if job.error is None or job.state != "failed":
        return ""
    return f"line {job.error_line}: {job.error}" if job.error_line is not None else job.error


def _record(job: ImportJob, name: str) -> dict[str, Any]:
    # Leases are the workers' own business, and would be a change with every beat.
    hidden = ("project_id", "lease_until", "worker")
    return {"file_name": name, **{k: v for k, v in record(job).items() if k not in hidden}}
