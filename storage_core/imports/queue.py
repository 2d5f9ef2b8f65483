"""The queue of jobs, by the library huey: a file beside the state's SQLite, or tables in the
state's PostgreSQL.

huey forgets a task as soon as a worker has taken it, so a message is only a job's id, and the job's
row the truth. Messages are JSON: huey's own pickles would let whoever can write the database run
code here.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huey import Huey, PostgresHuey, SqliteHuey  # type: ignore[import-untyped]
from huey.registry import Message  # type: ignore[import-untyped]

from storage_core.imports.connections import QUEUE, own_connection
from storage_core.state import lock
from storage_core.state.database import is_sqlite, make_file

if TYPE_CHECKING:
    from storage_core.state import State

log = logging.getLogger("storage_core.imports")

_TABLES = "storage_core"


class JobQueue:
    """The queue, for any number of threads.

    Args:
        state: Whose jobs they are.
        work: Called in a worker with the id of a job.
        create: Whether its tables are made if they are missing.
    """

    def __init__(self, state: State, work: Callable[[str], None], *, create: bool = True) -> None:
        self.huey = _open(state, create=create)

        def import_file(job_id: str) -> None:  # its name and module are in every message
            work(job_id)

        self._task = self.huey.task()(import_file)
        self._closing = threading.Lock()

    def put(self, job_id: str) -> None:
        """Tell the workers of a job."""
        self._task(job_id)

    def waiting(self) -> set[str]:
        """The jobs that no worker has taken."""
        return {task.args[0] for task in self.huey.pending()}

    def close(self) -> None:
        """Close the connections that this thread uses; others open their own again."""
        with self._closing:  # huey's own look whether there is one to close is no atomic step
            self.huey.storage.close()


def announce(state: State, job_id: str) -> None:
    """Tell the workers of a new job. A failure is only logged: a job whose message is missing is
    queued again when its lease has ended."""
    for create in (False, True):  # to make tables takes a lock, and they are there but once
        try:
            with closing(JobQueue(state, _elsewhere, create=create)) as queue:
                queue.put(job_id)
            return
        except Exception:
            if create:
                log.exception("import job %s is not queued until its lease ends", job_id)


def _elsewhere(_: str) -> None:
    raise AssertionError("a queue that was opened to put takes nothing")


class _Json:
    """What huey asks of a serializer."""

    @staticmethod
    def serialize(message: Any) -> bytes:
        return json.dumps(message).encode()

    @staticmethod
    def deserialize(data: bytes) -> Any:
        return Message(*json.loads(bytes(data)))


def _open(state: State, *, create: bool) -> Huey:
    options: dict[str, Any] = {"results": False, "serializer": _Json, "create_tables": create}
    if is_sqlite(state.engine):
        path = Path(str(state.engine.url.database))
        place = path.with_name(QUEUE)  # several states share it, each under its own name
        make_file(place)
        return SqliteHuey(path.name, filename=str(place), timeout=30, **options)

    connect = functools.partial(own_connection, state.engine)
    with ExitStack() as alone:
        if create:  # CREATE TABLE IF NOT EXISTS fails one of two that run it at once
            lock(alone.enter_context(state.write()))
        return PostgresHuey("imports", table_prefix=_TABLES, connection=connect, **options)
