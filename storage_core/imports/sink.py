"""Where imported rows go: two tables of a database of their own, or of the state's PostgreSQL.

All rows of a file become visible in one transaction, together with the mark that the job is done,
so that no job is half imported or imported twice, whatever becomes of its worker. The tables are
made when first needed; migrations of the state do not know them.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    bindparam,
    event,
    exc,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from storage_core.imports.model import MAX_KEY_BYTES, MAX_NAME, ImportFileError, Row
from storage_core.state.database import WRITING, insert_or, is_sqlite, make_engine, place
from storage_core.state.failures import translated
from storage_core.state.ids import LENGTH
from storage_core.state.tables import UtcDateTime

if TYPE_CHECKING:
    from storage_core.state import State

T = TypeVar("T")

BATCH: Final = 1000
"""Rows that are sent to the database at a time."""

FILE: Final = "imported.db"

_metadata = MetaData()

_Key = Text().with_variant(Text(collation="C"), "postgresql")

imported_rows: Final = Table(
    "imported_rows",
    _metadata,
    Column("project_id", String(LENGTH), nullable=False),
    Column("bucket", String(MAX_NAME), nullable=False),
    Column("workspace", String(MAX_NAME), nullable=False),
    Column("dataset", String(MAX_NAME), nullable=False),
    Column("key", _Key, nullable=False),
    Column("values", JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
    Column("file_id", String(LENGTH), nullable=False),
    Column("job_id", String(LENGTH), nullable=False),
    Column("imported", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("project_id", "bucket", "workspace", "dataset", "key"),
)
"""The rows; `key` is the JSON array of the key's parts."""

imported_jobs: Final = Table(
    "imported_jobs",
    _metadata,
    Column("job_id", String(LENGTH), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("rows_total", BigInteger, nullable=False),
    Column("rows_ok", BigInteger, nullable=False),
    Column("rows_deleted", BigInteger, nullable=False),
    Column("finished", UtcDateTime),
)
"""The jobs that were begun. Only the newest attempt may finish one, and only once."""

_TABLES_LOCK = 0x73637478
_BUSY_MILLISECONDS = 200
_SCOPE = ("project_id", "bucket", "workspace", "dataset", "key")


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of a file.

    Attributes:
        total: All.
        ok: Put in place.
        deleted: Deleted, whether or not they had been there.
    """

    total: int = 0
    ok: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One attempt at a job, as rows are marked with it."""

    project_id: str
    bucket: str
    workspace: str
    file_id: str
    job_id: str
    attempt: int


class SupersededError(Exception):
    """Another attempt at the job has begun, or finished it."""


def open_sink(configured: str, state: State) -> Sink:
    """Open the database of the rows; nothing is read yet.

    Args:
        configured: Its URL, as of the state's; empty for `FILE` beside the state's SQLite, or
            the state's PostgreSQL.
        state: The state, which has to stay open.

    Raises:
        ConfigError: the URL is of no database, or its file can not be made.
    """
    url: str | URL = configured
    if not configured:
        if not is_sqlite(state.engine):
            return Sink(state.engine, owned=False)
        file = Path(str(state.engine.url.database)).with_name(FILE)
        url = URL.create("sqlite", database=str(file))
    engine = make_engine(url)
    if is_sqlite(engine):
        event.listen(engine, "connect", _prepare_sqlite)
    return Sink(engine, owned=True)


class Sink:
    """The rows' database, for any number of threads. Made by `open_sink`.

    Args:
        engine: The database.
        owned: Whether its connections are closed at the end.
    """

    def __init__(self, engine: Engine, *, owned: bool) -> None:
        self.engine = engine
        self._owned = owned
        self._place = place(engine)
        self._ready = False

    def __repr__(self) -> str:
        return f"<Sink {self._place}>"

    def close(self) -> None:
        """Close all connections of its own."""
        if self._owned:
            self.engine.dispose()

    def begin(self, load: Load, wait: Callable[[], None]) -> Counts | None:
        """Shut out all earlier attempts at the job.

        Args:
            load: The attempt.
            wait: Called as long as another one writes; takes its time, and raises to give up.

        Returns:
            What an earlier attempt imported, if one did.
        """
        values = {"rows_total": 0, "rows_ok": 0, "rows_deleted": 0}
        with self._writing(None, wait) as connection:
            insert = insert_or(connection, imported_jobs)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["job_id"],
                    set_={"attempt": insert.excluded.attempt},
                    where=imported_jobs.c.finished.is_(None),
                ),
                {"job_id": load.job_id, "attempt": load.attempt, **values},
            )
            row = connection.execute(
                select(imported_jobs).where(imported_jobs.c.job_id == load.job_id)
            ).one()
        if row.finished is None:
            return None
        return Counts(row.rows_total, row.rows_ok, row.rows_deleted)

    def write(
        self,
        load: Load,
        rows: Iterable[Row],
        now: Callable[[], datetime],
        wait: Callable[[], None],
        check: Callable[[], None],
    ) -> Counts:
        """Import rows: all of them, or none.

        Args:
            load: The attempt, begun.
            rows: In their order; of several with one key the last counts.
            now: The clock.
            wait: Called as long as another one writes into the same place; as of `begin`.
            check: Called after each batch; raises to give up.

        Raises:
            SupersededError: another attempt has begun or finished the job meanwhile.
            ImportFileError: a row can not be stored.
            StorageError: the database failed.
            Exception: what `rows`, `wait` or `check` raised.
        """
        counts = Counts()
        with self._writing(load, wait) as connection:
            statements = _Statements(connection)
            source = iter(rows)
            while batch := list(itertools.islice(source, BATCH)):
                counts = _added(counts, batch)
                statements.apply(_marked(load, now()), batch)
                check()
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
                    finished=now(),
                )
            )
            if done.rowcount != 1:
                raise SupersededError
        return counts

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
            if not set(_metadata.tables) <= set(found):
                with self.engine.connect().execution_options(**{WRITING: True}) as connection:
                    _create(connection, wait)
        self._ready = True


def _create(connection: Connection, wait: Callable[[], None]) -> None:
    if is_sqlite(connection):
        _retried(lambda: _keep_log(connection), wait)
    with _transaction(connection, wait):
        if not is_sqlite(connection):  # others may be at it at the same moment
            connection.execute(select(func.pg_advisory_xact_lock(_TABLES_LOCK)))
        _metadata.create_all(connection)


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
            if getattr(error.orig, "sqlite_errorname", "") != "SQLITE_BUSY":
                raise
            wait()


def _lock(load: Load) -> int:
    """Number of the advisory lock of a workspace of a bucket."""
    import hashlib

    scope = json.dumps([load.project_id, load.bucket, load.workspace]).encode()
    return int.from_bytes(hashlib.sha256(scope).digest()[:8], signed=True)


class _Statements:
    """The statements that change rows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        insert = insert_or(connection, imported_rows)
        self._upsert = insert.on_conflict_do_update(
            index_elements=list(_SCOPE),
            set_={
                column.name: insert.excluded[column.name]
                for column in imported_rows.columns
                if column.name not in _SCOPE
            },
        )
        self._delete = imported_rows.delete().where(
            *(imported_rows.c[name] == bindparam(f"the_{name}") for name in _SCOPE)
        )

    def apply(self, mark: Mapping[str, Any], rows: Sequence[Row]) -> None:
        """Make the changes; of several with one key the last counts."""
        last = {(row.dataset, _key(row)): row for row in rows}
        upserts = [
            {**mark, "dataset": dataset, "key": key, "values": dict(row.values)}
            for (dataset, key), row in last.items()
            if row.values is not None
        ]
        deletes = [
            {
                **{f"the_{name}": mark[name] for name in _SCOPE[:3]},
                "the_dataset": dataset,
                "the_key": key,
            }
            for (dataset, key), row in last.items()
            if row.values is None
        ]
        if upserts:
            self._connection.execute(self._upsert, upserts)
        if deletes:
            self._connection.execute(self._delete, deletes)


def _marked(load: Load, now: datetime) -> dict[str, Any]:
    return {
        "project_id": load.project_id,
        "bucket": load.bucket,
        "workspace": load.workspace,
        "file_id": load.file_id,
        "job_id": load.job_id,
        "imported": now,
    }


def _added(counts: Counts, rows: Sequence[Row]) -> Counts:
    deleted = sum(row.values is None for row in rows)
    return Counts(
        counts.total + len(rows), counts.ok + len(rows) - deleted, counts.deleted + deleted
    )


def _key(row: Row) -> str:
    """The key as it is stored.

    Raises:
        ImportFileError: it is too long, or there is none.
    """
    text = json.dumps(row.key, ensure_ascii=False, separators=(",", ":"))
    if not row.key or len(text.encode()) > MAX_KEY_BYTES:
        raise ImportFileError(row.line, f"the key is not of 1 to {MAX_KEY_BYTES} bytes")
    return text
