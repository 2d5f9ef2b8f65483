"""The first start on an empty database."""

from __future__ import annotations

from typing import Final

from sqlalchemy import insert, select

from storage_core.access import audit, policy
from storage_core.access.credentials import insert_credential
from storage_core.access.model import Principal, Project, StoredPolicy
from storage_core.access.policies import put_policy
from storage_core.access.principals import insert_principal
from storage_core.access.projects import insert_project
from storage_core.state import State, lock, new_id
from storage_core.state.tables import principal_policies, projects

DEFAULT_PROJECT: Final = "default"
ADMIN: Final = "admin"
EVERYTHING: Final = "everything"


def first_start(state: State) -> str | None:
    """Where there is no project yet: make the project ``default`` with the user ``admin``, who
    may do everything, and a token. Of several that start at once, one does.

    Returns:
        The token, to be shown once; None where there is a project already.
    """
    with state.read() as connection:
        if connection.scalar(select(projects.c.id).limit(1)) is not None:
            return None
    with state.write() as connection:
        lock(connection)
        if connection.scalar(select(projects.c.id).limit(1)) is not None:
            return None
        now = state.now()
        project = insert_project(connection, Project(new_id(), DEFAULT_PROJECT, now))
        admin = insert_principal(
            connection, Principal(new_id(), project.id, ADMIN, "user", active=True, created=now)
        )
        stored = put_policy(
            connection, StoredPolicy(new_id(), project.id, EVERYTHING, policy.EVERYTHING, now)
        )
        connection.execute(
            insert(principal_policies).values(
                project_id=project.id, principal_id=admin.id, policy_id=stored.id
            )
        )
        credential, token = insert_credential(connection, state, admin, label="first start")
        target = f"{ADMIN} {credential.id}"
        audit.record(state, [audit.event(state, project.id, "admin.first_start", target)])
        return token
