"""Principals: the users and services of a project."""

from __future__ import annotations

from typing import get_args

from sqlalchemy import Connection, delete, insert, select, update

from storage_core.access.model import Principal, PrincipalKind, check_name
from storage_core.errors import ConflictError, InvalidRequestError, NotFoundError
from storage_core.state import State, new_id, on_conflict
from storage_core.state.tables import principals

_PRINCIPALS = select(
    principals.c.id,
    principals.c.project_id,
    principals.c.name,
    principals.c.kind,
    principals.c.active,
    principals.c.created,
)


def create(state: State, project_id: str, name: str, *, kind: PrincipalKind = "user") -> Principal:
    """Make a principal, active and without policies: nothing is allowed to it yet.

    Raises:
        InvalidRequestError: the name or the kind can not be one.
        ConflictError: the project has one of that name, or there is no such project.
    """
    with state.write() as connection:
        return insert_principal(
            connection,
            Principal(new_id(), project_id, name, kind, active=True, created=state.now()),
        )


def insert_principal(connection: Connection, principal: Principal) -> Principal:
    """`create` inside a transaction."""
    check_name("user", principal.name)
    if principal.kind not in get_args(PrincipalKind):
        raise InvalidRequestError(f"{principal.kind!r} is neither 'user' nor 'service'")
    with on_conflict(ConflictError(f"the user {principal.name!r} exists")):
        connection.execute(
            insert(principals).values(
                id=principal.id,
                project_id=principal.project_id,
                name=principal.name,
                kind=principal.kind,
                active=principal.active,
                created=principal.created,
            )
        )
    return principal


def by_name(state: State, project_id: str, name: str) -> Principal:
    """Look a principal up.

    Raises:
        NotFoundError: the project has none of that name.
    """
    check_name("user", name)
    with state.read() as connection:
        row = connection.execute(
            _PRINCIPALS.where(principals.c.project_id == project_id, principals.c.name == name)
        ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no user {name!r}")
    return Principal(*row)


def list_principals(state: State, project_id: str) -> list[Principal]:
    """All principals of a project, by name."""
    found = _PRINCIPALS.where(principals.c.project_id == project_id).order_by(principals.c.name)
    with state.read() as connection:
        return [Principal(*row) for row in connection.execute(found)]


def set_active(state: State, project_id: str, principal_id: str, *, active: bool) -> None:
    """Accept or refuse the credentials of a principal, from the next request on.

    Raises:
        NotFoundError: the project has no such principal.
    """
    with state.write() as connection:
        changed = connection.execute(
            update(principals)
            .where(principals.c.project_id == project_id, principals.c.id == principal_id)
            .values(active=active)
        )
        if not changed.rowcount:
            raise NotFoundError("there is no such user")


def delete_principal(state: State, project_id: str, principal_id: str) -> None:
    """Delete a principal with its credentials.

    Raises:
        NotFoundError: the project has no such principal.
    """
    with state.write() as connection:
        gone = connection.execute(
            delete(principals).where(
                principals.c.project_id == project_id, principals.c.id == principal_id
            )
        )
        if not gone.rowcount:
            raise NotFoundError("there is no such user")
