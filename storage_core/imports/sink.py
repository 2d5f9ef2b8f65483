"""Where imported rows go: two tables of a database of their own, or of the state's PostgreSQL.

All rows of a file become visible in one transaction, together with the mark that the job is done,
so that no job is half imported or imported twice, whatever becomes of its worker. The tables are
made when first needed; migrations of the state do not know them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    create_engine,
    event,
    exc,
    func,
    select,
    text,
    update,
)

from storage_core.errors import ConfigError, StorageError, UnavailableError
from storage_core.imports.connections import QUEUE, own_connection
from storage_core.imports.model import Row
from storage_core.imports.rows import (
    Counts,
    Load,
    Statements,
    added,
    batches,
    imported_jobs,
    marked,
    metadata,
)
from storage_core.state.database import WRITING, insert_or, is_sqlite, make_engine, place
from storage_core.state.failures import translated

if TYPE_CHECKING:
    from storage_core.state import State

T = TypeVar("T")

FILE: Final = "imported.db"

_KEEPALIVE = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}
_TABLES_LOCK = 0x73637478
_BUSY_MILLISECONDS = 200


class SupersededError(Exception):
    """Another attempt at the job has begun, or finished it."""


def open_sink(configured: str, state: State) -> Sink:
    """Open the database of the rows; nothing is read yet.

    Args:
        configured: Its URL, as of the state's; empty for `FILE` beside the state's SQLite, or
            the state's PostgreSQL.
        state: The state, which has to stay open.

    Raises:
        ConfigError: the URL is of no database, its file can not be made, or is the state's own.
    """
    url: str | URL = configured
    if not configured:
        if not is_sqlite(state.engine):
            # Connections made as the state's are, but none of its pool: imports take long.
            connect = functools.partial(own_connection, state.engine, patient=True)
            return Sink(
                create_engine(
                    state.engine.url, creator=connect, poolclass=NullPool, hide_parameters=True
                )
            )
        file = Path(str(state.engine.url.database)).with_name(FILE)
        url = URL.create("sqlite", database=str(file))
    engine = make_engine(url, pooled=False)
    if is_sqlite(engine):
        _check_file(engine, state)
        event.listen(engine, "connect", _prepare_sqlite)
    return Sink(engine)


def _check_file(engine: Engine, state: State) -> None:
    """An import holds the database's one lock for as long as it takes."""
    if is_sqlite(state.engine):
        own = Path(str(state.engine.url.database)).resolve()
        if Path(str(engine.url.database)).resolve() in (own, own.with_name(QUEUE)):
            raise ConfigError(
                "imports.database is the gateway's own SQLite file, which an import would lock;"
                " name another file"
            )


class Sink:
    """The rows' database, for any number of threads. Made by `open_sink`.

    Args:
        engine: The database, of this sink alone.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._place = place(engine)
        self._ready = False

    def __repr__(self) -> str:
        return f"<Sink {self._place}>"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def begin(self, job_id: str, attempt: int, wait: Callable[[], None]) -> Counts | None:
        """Shut out all earlier attempts at a job.

        Args:
            job_id: The job.
            attempt: Number of the attempt.
            wait: Called as long as another one writes; takes its time, and raises to give up.

        Returns:
            What an earlier attempt imported, if one did.

        Raises:
            SupersededError: a later attempt has begun.
        """
        values = {"rows_total": 0, "rows_ok": 0, "rows_deleted": 0}
        with self._writing(None, wait) as connection:
            insert = insert_or(connection, imported_jobs)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["job_id"],
                    set_={"attempt": insert.excluded.attempt},
                    where=imported_jobs.c.finished.is_(None)
                    & (imported_jobs.c.attempt <= insert.excluded.attempt),
                ),
                {"job_id": job_id, "attempt": attempt, **values},
            )
            row = connection.execute(
                select(imported_jobs).where(imported_jobs.c.job_id == job_id)
            ).one()
        if row.finished is not None:
            return Counts(row.rows_total, row.rows_ok, row.rows_deleted)
        if row.attempt != attempt:
            raise SupersededError
        return None

    def write(
        self,
        load: Load,
        rows: Iterable[Row],
        now: Callable[[], datetime],
        wait: Callable[[], None],
        check: Callable[[], None],
        read: Callable[[], int] = lambda: 0,
    ) -> Counts:
        """Import rows: all of them, or none.

        Args:
            load: The attempt, begun.
            rows: In their order; of several with one key the last counts.
            now: The clock.
            wait: Called as long as another one writes into the same place; as of `begin`.
            check: Called after each batch; raises to give up.
            read: Bytes of the source that the rows so far were made of.

        Raises:
            SupersededError: another attempt has begun or finished the job meanwhile.
            ImportFileError: a row can not be stored.
            UnavailableError: the database failed, perhaps after it had committed: only a later
                attempt's `begin` can tell.
            StorageError: the database refused a row or the whole; nothing is in it.
            Exception: what `rows`, `wait` or `check` raised.
        """
        counts = Counts()
        complete = False
        try:
            with self._writing(load, wait) as connection:
                statements = Statements(connection)
                for batch in batches(rows, read):
                    counts = added(counts, batch)
                    statements.apply(marked(load, now()), batch)
                    check()
                self._mark(connection, load, counts, now())
                complete = True
        except StorageError as error:
            if complete:
                raise UnavailableError("the commit of an import was not answered") from error
            raise
        return counts

    def _mark(self, connection: Connection, load: Load, counts: Counts, now: datetime) -> None:
        done = connection.execute(
            update(imported_jobs)
            .where(
                imported_jobs.c.job_id == load.job_id,
                imported_jobs.c.attempt == load.attempt,
                imported_jobs.c.finished.is_(None),
            )
            .values(
                rows_total=counts.total,
                rows_ok=counts.ok,
                rows_deleted=counts.deleted,
                finished=now,
            )
        )
        if done.rowcount != 1:
            raise SupersededError

    @contextmanager
    def _writing(self, load: Load | None, wait: Callable[[], None]) -> Iterator[Connection]:
        """One transaction that commits at the end. SQLite has one writer at a time; elsewhere
        one writes into a workspace of a bucket at a time, as two in different orders would wait
        for each other."""
        self.prepare(wait)
        with (
            translated(self._place),
            self.engine.connect().execution_options(**{WRITING: True}) as connection,
            _transaction(connection, wait),
        ):
            if not is_sqlite(connection):
                for name, value in _KEEPALIVE.items():  # or a lost host keeps its locks for hours
                    connection.execute(text(f"SET LOCAL {name} = {value}"))
            if load is not None and not is_sqlite(connection):
                while not connection.scalar(select(func.pg_try_advisory_xact_lock(_lock(load)))):
                    wait()
            yield connection

    def prepare(self, wait: Callable[[], None] = lambda: None) -> None:
        """Make the tables if they are missing; `begin` does so by itself.

        Args:
            wait: As of `begin`.

        Raises:
            StorageError: the database can not be reached or written.
        """
        if self._ready:
            return
        with translated(self._place):
            with self.engine.connect() as connection:
                found = self.engine.dialect.get_table_names(connection)
            if not set(metadata.tables) <= set(found):
                with self.engine.connect().execution_options(**{WRITING: True}) as connection:
                    _create(connection, wait)
        self._ready = True


def _create(connection: Connection, wait: Callable[[], None]) -> None:
    if is_sqlite(connection):
        _retried(lambda: _keep_log(connection), wait)
    with _transaction(connection, wait):
        if not is_sqlite(connection):  # others may be at it at the same moment
            connection.execute(select(func.pg_advisory_xact_lock(_TABLES_LOCK)))
        metadata.create_all(connection)


def _keep_log(connection: Connection) -> None:
    # From then on a reader sees the rows as they were, and waits for no import.
    driver = connection.connection.driver_connection
    assert driver is not None
    try:
        driver.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        raise exc.OperationalError("PRAGMA journal_mode", None, error) from error


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")


@contextmanager
def _transaction(connection: Connection, wait: Callable[[], None]) -> Iterator[None]:
    """A transaction, begun as soon as nobody else writes (SQLite alone makes one wait)."""
    with _retried(connection.begin, wait):
        yield


def _retried(step: Callable[[], T], wait: Callable[[], None]) -> T:
    while True:
        try:
            return step()
        except exc.OperationalError as error:
            if not getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise
            wait()


def _lock(load: Load) -> int:
    """Number of the advisory lock of a workspace of a bucket."""
    scope = json.dumps([load.project_id, load.bucket, load.workspace]).encode()
    return int.from_bytes(hashlib.sha256(scope).digest()[:8], signed=True)
