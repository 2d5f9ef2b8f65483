"""Connections to the state's database besides those of its pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sqlalchemy import Engine

QUEUE: Final = "queue.db"
"""The queue's file beside the state's SQLite."""


def own_connection(engine: Engine, *, patient: bool = False) -> Any:
    """A driver's connection that is the caller's own, made as those of the engine are, password
    and options included.

    Args:
        engine: The state's PostgreSQL.
        patient: Whether it may take as long as it takes.
    """
    pooled = engine.raw_connection()
    connection = pooled.driver_connection
    pooled.detach()
    assert connection is not None
    connection.rollback()
    if patient:
        from storage_core.state.postgresql import lift

        lift(connection)
    return connection
