"""The state: one database, opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from storage_core.errors import UnavailableError
from storage_core.state.database import (
    BUSY_SECONDS,
    PATIENT,
    WRITING,
    is_sqlite,
    make_engine,
    place,
)
from storage_core.state.failures import translated
from storage_core.state.schema import check, migrate

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine


def open_state(url: str | URL, *, now: Callable[[], datetime] | None = None) -> State:
    """Open the state; nothing is read yet.

    Args:
        url: ``sqlite:////path/of/state.db``, whose file and folder are made if missing, or
            ``postgresql://user:password@host/name``; or SQLAlchemy's object of one.
        now: The clock; by default that of the machine.

    Raises:
        ConfigError: the URL is neither, or the file can not be made.
    """
    return State(make_engine(url), now or _now)


def open_migrated(url: str | URL, *, now: Callable[[], datetime] | None = None) -> State:
    """As `open_state`, and bring it to the newest schema.

    Raises:
        ConfigError: as there; or the schema is newer than this program.
        UnavailableError: it can not be reached.
    """
    state = open_state(url, now=now)
    try:
        state.migrate()
    except BaseException:
        state.close()
        raise
    return state


def _now() -> datetime:
    return datetime.now(UTC)


class State:
    """One database, for any number of threads. Made by `open_state`.

    Args:
        engine: The database.
        now: The clock.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self.engine = engine
        self._now = now
        # On PostgreSQL a transaction would cost two more round trips, for each request.
        plain = is_sqlite(engine)
        self._reading = engine if plain else engine.execution_options(isolation_level="AUTOCOMMIT")
        # SQLite's writers poll for its one lock, some of them for long; in a process they queue.
        self._turn = threading.Lock() if plain else None
        self._open = _Open()

    def __repr__(self) -> str:
        return f"<State {self.place}>"

    @property
    def place(self) -> str:
        """The database, for messages: without user, password and options."""
        return place(self.engine)

    def now(self) -> datetime:
        """The time, in UTC."""
        return self._now().astimezone(UTC)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with: one statement, or several that need not agree.

        Raises:
            UnavailableError: the database can not be reached, or is too busy.
            ConfigError: it is not set up, or refuses us.
        """
        with translated(self.place), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def write(self, *, patient: bool = False) -> Iterator[Connection]:
        """A connection in one transaction, committed at the end unless something is raised.

        One inside another of the same thread is a part of it: undone alone if it fails, kept if
        the outer one is. What `read` sees of either is what was committed before.

        Args:
            patient: Whether it may take as long as it takes, as to set the database up may.

        Raises:
            ConflictError: a constraint does not hold.
            UnavailableError: the database can not be reached, or is too busy.
            ConfigError: it is not set up, or refuses us.
        """
        if (outer := self._open.connection) is not None:
            with translated(self.place), outer.begin_nested():
                yield outer
            return
        options = {WRITING: True, PATIENT: patient}
        with (
            translated(self.place),
            self._in_turn(),
            self.engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            self._open.connection = connection
            try:
                yield connection
            finally:
                self._open.connection = None

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=BUSY_SECONDS):
            raise UnavailableError(f"{self.place} is busy: others are writing for long")
        try:
            yield
        finally:
            self._turn.release()

    def migrate(self) -> None:
        """Bring the database to the newest schema. Others that do so at the same time wait.

        Raises:
            ConfigError: its schema is newer than this program.
            UnavailableError: it can not be reached.
        """
        with translated(self.place):
            migrate(self)

    def check(self) -> None:
        """See whether the database can be reached and has the newest schema.

        Raises:
            ConfigError: it has another schema, or none.
            UnavailableError: it can not be reached.
        """
        with self.read() as connection:
            check(connection, self.place)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


class _Open(threading.local):
    """The transaction that this thread has open to write."""

    connection: Connection | None = None
