"""The audit trail: who did what to what, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import delete, select

from storage_core.access.model import AuditEvent
from storage_core.state import State, insert_or, new_id
from storage_core.state.tables import audit_events

MAX_TEXT: Final = 4096
"""Most characters kept of an action or target."""

PRUNED_AT_ONCE: Final = 5000
"""Events that are deleted in one transaction."""

_EVENTS = select(
    audit_events.c.id,
    audit_events.c.project_id,
    audit_events.c.time,
    audit_events.c.principal_id,
    audit_events.c.credential_id,
    audit_events.c.action,
    audit_events.c.target,
    audit_events.c.result,
    audit_events.c.request_id,
)


def event(
    state: State,
    project_id: str,
    action: str,
    target: str,
    result: str = "ok",
    *,
    principal_id: str | None = None,
    credential_id: str | None = None,
    request_id: str = "",
) -> AuditEvent:
    """An event of this moment, to be recorded later; see `AuditEvent`."""
    return AuditEvent(
        id=new_id(),
        project_id=project_id,
        time=state.now(),
        principal_id=principal_id,
        credential_id=credential_id,
        action=_storable(action),
        target=_storable(target),
        result=_storable(result),
        request_id=_storable(request_id),
    )


def record(state: State, events: Iterable[AuditEvent]) -> None:
    """Record events, all in one transaction. Those recorded before are left as they are, so
    this can be done again when an answer was lost.

    Raises:
        UnavailableError: the database can not be reached; none was recorded.
    """
    rows = [
        {
            "id": item.id,
            "project_id": item.project_id,
            "time": item.time,
            "principal_id": item.principal_id,
            "credential_id": item.credential_id,
            "action": item.action,
            "target": item.target,
            "result": item.result,
            "request_id": item.request_id,
        }
        for item in events
    ]
    if rows:
        with state.write() as connection:
            connection.execute(insert_or(connection, audit_events).on_conflict_do_nothing(), rows)


def list_events(
    state: State, project_id: str, *, limit: int = 100, before: str | None = None
) -> list[AuditEvent]:
    """Events of a project, the newest first.

    Args:
        state: The state.
        project_id: The project.
        limit: Most events.
        before: Id of an event: only those older than it.
    """
    found = _EVENTS.where(audit_events.c.project_id == project_id)
    if before is not None:
        found = found.where(audit_events.c.id < before)
    with state.read() as connection:
        rows = connection.execute(found.order_by(audit_events.c.id.desc()).limit(limit))
        return [AuditEvent(*row) for row in rows]


def prune(state: State, before: datetime) -> int:
    """Delete the events of all projects that are older than a moment, which is an event of each
    project that had some.

    Returns:
        How many were deleted.
    """
    with state.read() as connection:
        found = select(audit_events.c.project_id).where(audit_events.c.time < before).distinct()
        project_ids = connection.scalars(found).all()
    return sum(_prune_project(state, project_id, before) for project_id in project_ids)


def _prune_project(state: State, project_id: str, before: datetime) -> int:
    """In short transactions: on SQLite everyone who writes waits for each."""
    old = (audit_events.c.project_id == project_id) & (audit_events.c.time < before)
    deleted, more = 0, True
    while more:
        some = select(audit_events.c.id).where(old).limit(PRUNED_AT_ONCE)
        with state.write() as connection:
            gone = connection.execute(delete(audit_events).where(old, audit_events.c.id.in_(some)))
        deleted += gone.rowcount
        more = gone.rowcount >= PRUNED_AT_ONCE
    if deleted:
        target = f"{deleted} events older than {before.isoformat(timespec='seconds')}"
        record(state, [event(state, project_id, "admin.prune_audit", target)])
    return deleted


def _storable(text: str) -> str:
    """Text that every database takes: without NUL and lone surrogates, and not too long. What a
    client sent must not keep its event from being recorded."""
    text = text[:MAX_TEXT].encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\\x00")
