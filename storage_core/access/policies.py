"""Policies in the state: documents by name, attached to principals."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, select

from storage_core.access import policy
from storage_core.access.model import Principal, StoredPolicy, check_name
from storage_core.errors import ConflictError, NotFoundError
from storage_core.state import State, insert_or, new_id
from storage_core.state.tables import policies, principal_policies, principals

_POLICIES = select(
    policies.c.id,
    policies.c.project_id,
    policies.c.name,
    policies.c.document,
    policies.c.updated,
)


def put(state: State, project_id: str, name: str, document: Any) -> StoredPolicy:
    """Store a policy, in place of the one of that name; in force from the next request on.

    Args:
        state: The state.
        project_id: The project.
        name: Name of the policy.
        document: What `storage_core.access.policy.parse` reads.

    Raises:
        InvalidRequestError: the name or the document can not be one.
        ConflictError: there is no such project.
    """
    with state.write() as connection:
        return put_policy(
            connection, StoredPolicy(new_id(), project_id, name, document, state.now())
        )


def put_policy(connection: Connection, given: StoredPolicy) -> StoredPolicy:
    """`put` inside a transaction."""
    check_name("policy", given.name)
    policy.parse(given.document)
    statement = insert_or(connection, policies).values(
        id=given.id,
        project_id=given.project_id,
        name=given.name,
        document=given.document,
        updated=given.updated,
    )
    row = connection.execute(
        statement.on_conflict_do_update(
            index_elements=[policies.c.project_id, policies.c.name],
            set_={"document": statement.excluded.document, "updated": statement.excluded.updated},
        ).returning(*_POLICIES.selected_columns)
    ).one()
    return StoredPolicy(*row)


def get(state: State, project_id: str, name: str) -> StoredPolicy:
    """A policy by its name.

    Raises:
        NotFoundError: the project has none of that name.
    """
    with state.read() as connection:
        return _get(connection, project_id, name)


def list_policies(state: State, project_id: str) -> list[StoredPolicy]:
    """All policies of a project, by name."""
    found = _POLICIES.where(policies.c.project_id == project_id).order_by(policies.c.name)
    with state.read() as connection:
        return [StoredPolicy(*row) for row in connection.execute(found)]


def delete_policy(state: State, project_id: str, name: str) -> None:
    """Delete a policy that is attached to nobody.

    Raises:
        NotFoundError: the project has none of that name.
        ConflictError: it is attached; without what it denies its principals could do more.
    """
    with state.write() as connection:
        stored = _get(connection, project_id, name, lock=True)
        if held := _attachments(connection, project_id, stored.id):
            raise ConflictError(
                f"the policy {name!r} is attached to {', '.join(user for _, user in held)};"
                " detach it first"
            )
        connection.execute(
            delete(policies).where(policies.c.project_id == project_id, policies.c.id == stored.id)
        )


def attach(state: State, principal: Principal, name: str) -> None:
    """Put a principal under a policy; to do so again changes nothing.

    Raises:
        NotFoundError: the project has no such policy.
        ConflictError: the principal was deleted.
    """
    with state.write() as connection:
        stored = _get(connection, principal.project_id, name, lock=True)
        connection.execute(
            insert_or(connection, principal_policies)
            .values(
                project_id=principal.project_id,
                principal_id=principal.id,
                policy_id=stored.id,
            )
            .on_conflict_do_nothing()
        )


def detach(state: State, principal: Principal, name: str) -> None:
    """Take a principal from under a policy; to do so again changes nothing.

    Raises:
        NotFoundError: the project has no such policy.
    """
    with state.write() as connection:
        stored = _get(connection, principal.project_id, name)
        connection.execute(
            delete(principal_policies).where(
                principal_policies.c.project_id == principal.project_id,
                principal_policies.c.principal_id == principal.id,
                principal_policies.c.policy_id == stored.id,
            )
        )


def attachments(state: State, project_id: str) -> list[tuple[str, str]]:
    """Which policy is attached to whom: pairs of their names, in order."""
    with state.read() as connection:
        return _attachments(connection, project_id, None)


def _get(connection: Connection, project_id: str, name: str, *, lock: bool = False) -> StoredPolicy:
    check_name("policy", name)
    found = _POLICIES.where(policies.c.project_id == project_id, policies.c.name == name)
    row = connection.execute(found.with_for_update() if lock else found).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no policy {name!r}")
    return StoredPolicy(*row)


def _attachments(
    connection: Connection, project_id: str, policy_id: str | None
) -> list[tuple[str, str]]:
    found = (
        select(policies.c.name, principals.c.name)
        .join(
            principal_policies,
            (principal_policies.c.project_id == policies.c.project_id)
            & (principal_policies.c.policy_id == policies.c.id),
        )
        .join(
            principals,
            (principals.c.project_id == principal_policies.c.project_id)
            & (principals.c.id == principal_policies.c.principal_id),
        )
        .where(policies.c.project_id == project_id)
        .order_by(policies.c.name, principals.c.name)
    )
    if policy_id is not None:
        found = found.where(policies.c.id == policy_id)
    return [(name, user) for name, user in connection.execute(found)]
