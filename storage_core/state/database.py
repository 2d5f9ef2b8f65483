"""Engines for the two databases: an SQLite file, or a PostgreSQL server.

SQLite runs in WAL mode with ``synchronous=FULL``: what was acknowledged, such as a revoked
credential, survives a power cut. ``NORMAL`` would be faster and may lose the last changes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, NullPool, Table, create_engine, event, exc, make_url
from sqlalchemy.dialects import postgresql, sqlite

from storage_core.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

WRITING = "storage_core_writing"
"""Execution option of a connection that is going to write."""

PATIENT = "storage_core_patient"
"""Execution option of a connection whose transaction may take as long as it takes."""

BUSY_SECONDS = 30
"""Longest wait for a connection, or for SQLite's lock."""
_CONNECT_SECONDS = 10
_POOL = {"pool_size": 5, "max_overflow": 15, "pool_timeout": BUSY_SECONDS}
_NO_POOL: dict[str, Any] = {"poolclass": NullPool}
_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")
_SECRET_OPTIONS = ("password", "sslpassword")


def make_engine(url: str | URL, *, pooled: bool = True) -> Engine:
    """The engine of a database; a missing SQLite file is made, for its owner alone.

    Args:
        url: ``sqlite:////absolute/path``, ``sqlite:///relative/path`` or
            ``postgresql://user:password@host:port/database``.
        pooled: Whether connections are kept, and whatever takes long on PostgreSQL is given up.
            Without, each is made anew, there are as many as are asked for, and they take their
            time.

    Raises:
        ConfigError: it is neither, the file can not be made, or psycopg is not installed.
    """
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):  # their messages may repeat a password
        parsed = None
    if parsed is not None and parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        return _sqlite(parsed, _POOL if pooled else _NO_POOL)
    if parsed is not None and parsed.drivername in _POSTGRESQL:
        return _postgresql(parsed, _POOL if pooled else _NO_POOL)
    raise ConfigError(
        "database is not a URL such as sqlite:////var/lib/storage/state.db or"
        " postgresql://user:password@host/name (special characters of a password are written as"
        " %XX)"
    )


def place(engine: Engine) -> str:
    """The database, for messages: without user, password and options."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return f"database {url.database}"
    port = f":{url.port}" if url.port else ""
    return f"database postgresql://{url.host or ''}{port}/{url.database or ''}"


def is_sqlite(connection: Connection | Engine) -> bool:
    """Whether the database is SQLite; if not, it is PostgreSQL."""
    return connection.dialect.name == "sqlite"


def insert_or(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say ``on_conflict_do_nothing`` or ``…_do_update``."""
    if is_sqlite(connection):
        return sqlite.insert(table)
    return postgresql.insert(table)


# --- SQLite -------------------------------------------------------------------------------


def _sqlite(url: URL, pool: Mapping[str, Any]) -> Engine:
    if url.query:
        raise ConfigError("database: an SQLite URL takes no options; remove all from the '?' on")
    if not url.database or url.database == ":memory:":
        raise ConfigError("database: an SQLite URL names a file: sqlite:////var/lib/state.db")
    path = Path(url.database)
    make_file(path)
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path.absolute())),
        hide_parameters=True,
        connect_args={"timeout": BUSY_SECONDS},
        **pool,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def make_file(path: Path) -> None:
    """Make a file that nobody else can read; SQLite gives its companions the same mode.

    One that is there is left alone: to close it would drop the locks that other connections of
    this process have on it (https://sqlite.org/howtocorrupt.html, section 2.2).

    Raises:
        ConfigError: it can not be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, flags, 0o600))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"database {path}: {reason}") from None


def _prepare_sqlite(connection: SqliteConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins by reading can not wait for the write lock later on.
    writing = connection.get_execution_options().get(WRITING)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


# --- PostgreSQL ---------------------------------------------------------------------------


def _postgresql(url: URL, pool: Mapping[str, Any]) -> Engine:
    try:
        from storage_core.state import postgresql as bounded
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a PostgreSQL database needs {error.name}; run:"
            " pip install 'storage-core[gateway,postgresql]'"
        ) from None
    arguments: dict[str, Any] = {"application_name": "storage-core", **bounded.KEEPALIVE}
    arguments["connect_timeout"] = _CONNECT_SECONDS
    if pool is _POOL:
        arguments |= bounded.options()
    # What the URL says counts, and what is secret goes where no repr of an engine shows it.
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    arguments |= {name: url.query[name] for name in _SECRET_OPTIONS if name in url.query}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg").difference_update_query(_SECRET_OPTIONS),
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args=arguments,
        **pool,
    )
    if pool is _POOL:
        bounded.bound(engine)
    return engine
