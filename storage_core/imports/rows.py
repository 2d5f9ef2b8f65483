"""The tables of imported rows, and the statements that change them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    bindparam,
)
from sqlalchemy.dialects import postgresql

from storage_core.imports.model import MAX_KEY_BYTES, MAX_NAME, ImportFileError, Row
from storage_core.state import insert_or
from storage_core.state.ids import LENGTH
from storage_core.state.tables import UtcDateTime

BATCH: Final = 1000
"""Rows that are sent to the database at a time."""
BATCH_BYTES: Final = 1024**2
"""Bytes of the source from which on fewer are: a value takes many times its text."""

metadata = MetaData()

_Key = Text().with_variant(Text(collation="C"), "postgresql")

imported_rows: Final = Table(
    "imported_rows",
    metadata,
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
    metadata,
    Column("job_id", String(LENGTH), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("rows_total", BigInteger, nullable=False),
    Column("rows_ok", BigInteger, nullable=False),
    Column("rows_deleted", BigInteger, nullable=False),
    Column("finished", UtcDateTime),
)
"""The jobs that were begun. Only the newest attempt may finish one, and only once."""

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


def batches(rows: Iterable[Row], read: Callable[[], int]) -> Iterator[list[Row]]:
    """The rows, as many at a time as memory is for.

    Args:
        rows: The rows.
        read: Bytes of the source that the rows so far were made of.
    """
    batch: list[Row] = []
    begun = read()
    for row in rows:
        batch.append(row)
        if len(batch) >= BATCH or read() - begun >= BATCH_BYTES:
            yield batch
            batch = []
            begun = read()
    if batch:
        yield batch


class Statements:
    """The statements that change rows.

    Args:
        connection: In a transaction.
    """

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


def marked(load: Load, now: datetime) -> dict[str, Any]:
    """What all rows of an attempt have in common."""
    return {
        "project_id": load.project_id,
        "bucket": load.bucket,
        "workspace": load.workspace,
        "file_id": load.file_id,
        "job_id": load.job_id,
        "imported": now,
    }


def added(counts: Counts, rows: Sequence[Row]) -> Counts:
    """The counts with these rows."""
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
