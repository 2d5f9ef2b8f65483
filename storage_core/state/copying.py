"""Copies of a whole database: backups, and the way from SQLite to PostgreSQL."""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, insert, select

from storage_core.errors import ConflictError
from storage_core.state.database import PATIENT, is_sqlite
from storage_core.state.failures import translated
from storage_core.state.schema import check, lock
from storage_core.state.state import State
from storage_core.state.tables import metadata

_BATCH: Final = 1000


def copy(source: State, target: State) -> int:
    """Copy all rows, as they are at one moment, in one transaction.

    Args:
        source: Where from; may be in use.
        target: Where to: of the newest schema, and empty.

    Returns:
        How many rows there were.

    Raises:
        ConflictError: the target is not empty.
        ConfigError: one of them is not of the newest schema.
    """
    # On PostgreSQL a transaction sees one moment only if told to; on SQLite each does.
    engine = source.engine.execution_options(**{PATIENT: True})
    if not is_sqlite(engine):
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    copied = 0
    with (
        translated(source.place),
        engine.connect() as reading,
        target.write(patient=True) as writing,
    ):
        check(reading, source.place)
        check(writing, target.place)
        lock(writing)
        for table in metadata.sorted_tables:
            if writing.scalar(select(func.count()).select_from(table)):
                raise ConflictError(f"{target.place} is not empty; name another")
        for table in metadata.sorted_tables:
            rows = reading.execution_options(yield_per=_BATCH).execute(select(table))
            for batch in rows.mappings().partitions():
                writing.execute(insert(table), [dict(row) for row in batch])
                copied += len(batch)
    return copied
