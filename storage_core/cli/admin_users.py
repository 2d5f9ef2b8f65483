"""``storage admin user``: create, list, disable, enable, delete."""

from typing import Literal

from storage_core.cli.admin import WITHIN, Within, audited, changing, inside
from storage_core.cli.formats import time_text
from storage_core.cli.output import record
from storage_core.cli.session import Session, This


def create(
    name: str,
    /,
    *,
    kind: Literal["user", "service"] = "user",
    within: Within = WITHIN,
    session: This,
) -> None:
    """Make a user. Nothing is allowed to it before a policy is attached.

    Args:
        name: Its name: letters, digits and . _ @ + -, at most 128.
        kind: A user is a person, a service is a program.
    """
    from storage_core.access import principals

    with changing(session, within) as (state, project):
        made = principals.create(state, project.id, name, kind=kind)
        audited(state, project.id, "user.create", name)
    session.out.done(record(made), f"made the {kind} {name}")


def list_(*, within: Within = WITHIN, session: This) -> None:
    """List the users of a project and the policies attached to them."""
    from storage_core.access import policies, principals

    with inside(session, within) as (state, project):
        found = principals.list_principals(state, project.id)
        attached = policies.attachments(state, project.id)
    rows = []
    for item in found:
        names = [policy for policy, user in attached if user == item.name]
        if session.out.json:
            session.out.record({**record(item), "policies": names})
        standing = "active" if item.active else "disabled"
        rows.append((item.name, item.kind, standing, time_text(item.created), ", ".join(names)))
    if not session.out.json:
        session.out.table(("user", "kind", "", "created", "policies"), rows)


def disable(name: str, /, *, within: Within = WITHIN, session: This) -> None:
    """Refuse all tokens of a user and the links made with them, until it is enabled again.

    Args:
        name: The user.
    """
    _set_active(name, within, session, active=False)


def enable(name: str, /, *, within: Within = WITHIN, session: This) -> None:
    """Accept the tokens of a user again.

    Args:
        name: The user.
    """
    _set_active(name, within, session, active=True)


def delete(name: str, /, *, within: Within = WITHIN, session: This) -> None:
    """Delete a user and its tokens.

    Args:
        name: The user.
    """
    from storage_core.access import principals

    with changing(session, within) as (state, project):
        principal = principals.by_name(state, project.id, name)
        principals.delete_principal(state, project.id, principal.id)
        audited(state, project.id, "user.delete", name)
    session.out.done({"deleted": name, "id": principal.id}, f"deleted the user {name}")


def _set_active(name: str, within: Within, session: Session, *, active: bool) -> None:
    from storage_core.access import principals

    with changing(session, within) as (state, project):
        principal = principals.by_name(state, project.id, name)
        principals.set_active(state, project.id, principal.id, active=active)
        audited(state, project.id, "user.enable" if active else "user.disable", name)
    done = "enabled" if active else "disabled"
    session.out.done({done: name, "id": principal.id}, f"{done} the user {name}")
