"""``storage admin project``: create, list, delete."""

from storage_core.cli.admin import DATABASE, Database, audited, opened
from storage_core.cli.formats import time_text
from storage_core.cli.output import record
from storage_core.cli.session import This


def create(name: str, /, *, on: Database = DATABASE, session: This) -> None:
    """Make a project: users, policies and buckets of its own, unseen by every other.

    Args:
        name: Its name: letters, digits and . _ @ + -, at most 128.
    """
    from storage_core.access import projects

    with opened(session, on.database) as state, state.write():
        made = projects.create(state, name)
        audited(state, made.id, "project.create", name)
    session.out.done(record(made), f"made the project {name}")


def list_(*, on: Database = DATABASE, session: This) -> None:
    """List the projects."""
    from storage_core.access import projects

    with opened(session, on.database) as state:
        found = projects.list_projects(state)
    if session.out.json:
        for project in found:
            session.out.record(project)
        return
    session.out.table(
        ("project", "created"), [(project.name, time_text(project.created)) for project in found]
    )


def delete(name: str, /, *, on: Database = DATABASE, session: This) -> None:
    """Delete a project without buckets, with its users, their tokens and its policies.

    Args:
        name: Its name.
    """
    from storage_core.access import projects

    with opened(session, on.database) as state, state.write():
        project = projects.by_name(state, name)
        projects.delete_project(state, project.id)
        audited(state, project.id, "project.delete", name)
    session.out.done(
        {"deleted": name, "id": project.id},
        f"deleted the project {name}; its audit trail is that of {project.id}",
    )
