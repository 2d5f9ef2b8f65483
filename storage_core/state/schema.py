"""The schema's version: what the database has, and how it gets to the newest one."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, MetaData, String, Table, func, inspect, select

from storage_core.errors import ConfigError
from storage_core.state.database import is_sqlite

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from storage_core.state.state import State

SCRIPTS: Final = "storage_core.state:migrations"
"""Where Alembic finds the migrations."""

VERSIONS: Final = ("0001",)
"""All versions of the schema, the newest last: one migration each."""

# Alembic's own table, read without it: most starts have nothing to migrate.
_VERSION = Table("alembic_version", MetaData(), Column("version_num", String(32)))

SETTING_UP = 0x73746F7261676531
"""PostgreSQL's advisory lock for those who set the database up; others stay clear of it."""

_PATIENCE = 30.0  # seconds


def migrate(state: State) -> None:
    """Bring a database to the newest schema, in one transaction.

    Raises:
        ConfigError: its schema is newer than this program.
    """
    with state.read() as connection:
        if _is_newest(connection, state.place):
            return
    if is_sqlite(state.engine):
        _use_wal(state)
    with state.write(patient=True) as connection:
        lock(connection)
        if not _is_newest(connection, state.place):
            _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    try:
        from alembic import command
        from alembic.config import Config
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the state of the service needs {error.name}; run: pip install 'storage-core[gateway]'"
        ) from error
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    config.attributes["connection"] = connection
    command.upgrade(config, VERSIONS[-1])


def check(connection: Connection, place: str) -> None:
    """Refuse a database whose schema is not the newest one.

    Raises:
        ConfigError: it has another schema, or none.
    """
    if not _is_newest(connection, place):
        raise ConfigError(
            f"{place} is not set up for this version of storage-core;"
            " `storage serve` and `storage admin` do it"
        )


def lock(connection: Connection) -> None:
    """Wait until nobody else sets the database up, to the end of the transaction; a writing
    transaction on SQLite is alone anyway."""
    if not is_sqlite(connection):
        connection.execute(select(func.pg_advisory_xact_lock(SETTING_UP)))


def current_version(connection: Connection) -> str | None:
    """The version of the database's schema, None if it has none."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.scalar(select(_VERSION.c.version_num))


def _is_newest(connection: Connection, place: str) -> bool:
    current = current_version(connection)
    if current is not None and current not in VERSIONS:
        raise ConfigError(
            f"{place} has schema {current}, which this version of storage-core does not know: a"
            " newer one set it up; install that, or name another database"
        )
    return current == VERSIONS[-1]


def _use_wal(state: State) -> None:
    """Switch to WAL, which the file remembers. SQLite does not wait for this one lock."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            with state.engine.connect() as connection:
                raw = connection.connection.dbapi_connection
                assert isinstance(raw, sqlite3.Connection)
                raw.execute("PRAGMA journal_mode = WAL")
                return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > until:
                raise
            time.sleep(0.02)
