"""Projects: the tenants of one service."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from storage_core.access.model import Project, check_name
from storage_core.errors import ConflictError, NotFoundError
from storage_core.state import State, new_id, on_conflict
from storage_core.state.tables import buckets, projects

_PROJECTS = select(projects.c.id, projects.c.name, projects.c.created)


def create(state: State, name: str) -> Project:
    """Make a project.

    Raises:
        InvalidRequestError: the name can not be one.
        ConflictError: there is one of that name.
    """
    with state.write() as connection:
        return insert_project(connection, Project(new_id(), name, state.now()))


def insert_project(connection: Connection, project: Project) -> Project:
    """`create` inside a transaction."""
    check_name("project", project.name)
    with on_conflict(ConflictError(f"the project {project.name!r} exists")):
        connection.execute(
            insert(projects).values(id=project.id, name=project.name, created=project.created)
        )
    return project


def by_name(state: State, name: str) -> Project:
    """Look a project up.

    Raises:
        NotFoundError: there is none.
    """
    check_name("project", name)
    with state.read() as connection:
        row = connection.execute(_PROJECTS.where(projects.c.name == name)).one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no project {name!r}; make it: storage admin project create {name}"
        )
    return Project(*row)


def list_projects(state: State) -> list[Project]:
    """All projects, by name."""
    with state.read() as connection:
        return [Project(*row) for row in connection.execute(_PROJECTS.order_by(projects.c.name))]


def delete_project(state: State, project_id: str) -> None:
    """Delete a project with its principals, credentials and policies. Its audit trail stays.

    Raises:
        NotFoundError: there is none.
        ConflictError: it has buckets.
    """
    with state.write() as connection:
        names = connection.scalars(
            select(buckets.c.name).where(buckets.c.project_id == project_id).limit(1)
        ).all()
        if names:
            raise ConflictError(
                f"the project has the bucket {names[0]!r}, maybe more; delete them first"
            )
        gone = connection.execute(delete(projects).where(projects.c.id == project_id))
        if not gone.rowcount:
            raise NotFoundError("there is no such project")
