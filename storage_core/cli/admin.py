"""``storage admin``: what its commands share, and ``storage admin audit``.

The commands work on the database itself, whether a gateway runs or not; what they change is in
force for the next request. Each change is an event of the audit trail.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cyclopts import Parameter

from storage_core.cli.formats import count, parse_duration, time_text
from storage_core.cli.output import record
from storage_core.cli.session import Session, This
from storage_core.cli.status import UsageError
from storage_core.errors import NotFoundError

if TYPE_CHECKING:
    from storage_core.access.model import Project
    from storage_core.state import State


@Parameter(name="*")
@dataclass(frozen=True)
class Database:
    """The option of all commands of `storage admin`."""

    database: str | None = None
    """Database of the gateway, instead of the one that the configuration names. Others on this
    machine can read a command line: a password is better kept in the configuration."""


@Parameter(name="*")
@dataclass(frozen=True)
class Within:
    """The options of the commands that are about one project."""

    project: str = "default"
    """Name of the project."""
    database: str | None = None
    """Database of the gateway, instead of the one that the configuration names. Others on this
    machine can read a command line: a password is better kept in the configuration."""


DATABASE: Final = Database()
WITHIN: Final = Within()


@contextmanager
def opened(session: Session, database: str | None) -> Iterator[State]:
    """The state, of the newest schema."""
    from storage_core.state import open_migrated

    with closing(open_migrated(database or session.config.gateway().database_url())) as state:
        yield state


@contextmanager
def inside(session: Session, within: Within) -> Iterator[tuple[State, Project]]:
    """The state, and the project that is meant."""
    from storage_core.access import projects

    with opened(session, within.database) as state:
        yield state, projects.by_name(state, within.project)


@contextmanager
def changing(session: Session, within: Within) -> Iterator[tuple[State, Project]]:
    """As `inside`; what is changed and recorded counts together, or not at all."""
    with inside(session, within) as (state, project), state.write():
        yield state, project


def audited(state: State, project_id: str, action: str, target: str) -> None:
    """Record a change, in the transaction that makes it."""
    from storage_core.access.audit import event, record

    record(state, [event(state, project_id, f"admin.{action}", target)])


def audit(
    *, limit: int = 100, before: str | None = None, within: Within = WITHIN, session: This
) -> None:
    """List what was done in a project, and by whom, the newest first.

    Changes, links and refusals are recorded; reading is not. Events without a user were
    commands of `storage admin`. The trail of a project that was deleted is found by its id.

    Args:
        limit: Most events.
        before: Id of an event: only what happened before it. JSON shows the ids.
    """
    from storage_core.access.audit import list_events
    from storage_core.access.principals import list_principals

    if limit < 1:
        raise UsageError("--limit is 1 or more")
    with opened(session, within.database) as state:
        project_id = _project_id(state, within.project)
        names = {principal.id: principal.name for principal in list_principals(state, project_id)}
        rows = []
        for item in list_events(state, project_id, limit=limit, before=before):
            user = names.get(item.principal_id or "", item.principal_id or "")
            if session.out.json:
                session.out.record({**record(item), "user": user or None})
            else:
                rows.append((time_text(item.time), user, item.action, item.target, item.result))
    if not session.out.json:
        session.out.table(("time", "user", "action", "target", "result"), rows)


def prune_audit(*, older_than: str, on: Database = DATABASE, session: This) -> None:
    """Delete what is old in the audit trails of all projects; gateways may go on.

    Args:
        older_than: Age of what is deleted: 365d, 52w.
    """
    from storage_core.access.audit import prune

    age = parse_duration(older_than)
    with opened(session, on.database) as state:
        try:
            before = state.now() - timedelta(seconds=age)
        except OverflowError:
            raise UsageError(f"--older-than {older_than} is before all time") from None
        deleted = prune(state, before)
    session.out.done(
        {"deleted": deleted, "before": before.isoformat()},
        f"deleted {count(deleted, 'event')} older than {time_text(before)}",
    )


def _project_id(state: State, name: str) -> str:
    from storage_core.access import projects
    from storage_core.access.audit import list_events

    try:
        return projects.by_name(state, name).id
    except NotFoundError:
        if list_events(state, name, limit=1):
            return name
        raise
