"""PostgreSQL connections that do not wait for ever.

The server gives up long statements and locks by itself. It can not say so when it, or something
on the way to it, stands still with its sockets open: then the time is kept here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from sqlalchemy import event

from storage_core.state.database import PATIENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg.abc import PQGen
    from sqlalchemy import Connection, Dialect, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")

ANSWER_SECONDS: float = 20.0
"""Longest wait for an answer of the server."""

# https://www.postgresql.org/docs/current/runtime-config-client.html
TIMEOUTS: Final[Mapping[str, str]] = {
    "statement_timeout": "15s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}

# libpq's: a server that vanished is noticed within a minute or so, not within hours.
KEEPALIVE: Final[Mapping[str, int]] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

_LIFTED: Final = "SELECT " + ", ".join(f"set_config('{name}', '0', %s)" for name in TIMEOUTS)
"""Takes once for each whether it is for the transaction alone."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when an answer takes too long.

    Attributes:
        patience: Seconds for each answer; None for as long as it takes.
    """

    patience: float | None = None

    def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:
        """As of psycopg, all of whose waiting for an answer is done here."""
        return super().wait(self._bounded(gen, self.patience), *args, **options)

    def _bounded(self, gen: PQGen[T], patience: float | None) -> PQGen[T]:
        # Whoever waits wakes up several times a second, ready or not.
        until = None if patience is None else time.monotonic() + patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and until is not None and time.monotonic() > until:
                    self.pgconn.finish()  # its answer, should it come, is nobody's any more
                    raise psycopg.OperationalError(f"no answer within {patience:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            value: T = end.value
            return value


def options() -> dict[str, Any]:
    """What a bounded connection is made with."""
    return {"options": " ".join(f"-c {name}={value}" for name, value in TIMEOUTS.items())}


def lift(connection: psycopg.Connection[Any]) -> None:
    """Let a connection take its time, for the rest of its life."""
    connection.execute(_LIFTED.encode(), (False,) * len(TIMEOUTS))
    connection.commit()
    if isinstance(connection, BoundedConnection):
        connection.patience = None


def bound(engine: Engine) -> None:
    """Have an engine make bounded connections."""
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "checkin", _come_back)


def _connect(
    _dialect: Dialect, _: ConnectionPoolEntry, args: Any, arguments: Any
) -> BoundedConnection:
    connection = BoundedConnection.connect(*args, **arguments)
    connection.patience = ANSWER_SECONDS
    return connection


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get(PATIENT):
        raw = connection.connection.driver_connection
        assert isinstance(raw, BoundedConnection)
        raw.patience = None
        connection.exec_driver_sql(_LIFTED, (True,) * len(TIMEOUTS))


def _come_back(connection: Any, _: ConnectionPoolEntry) -> None:
    if connection is not None:
        connection.patience = ANSWER_SECONDS
