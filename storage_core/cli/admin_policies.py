"""``storage admin policy``: put, list, show, delete, attach, detach."""

import json
import sys
from typing import Any

from storage_core.cli.admin import WITHIN, Within, audited, changing, inside
from storage_core.cli.formats import time_text
from storage_core.cli.output import record
from storage_core.cli.session import This
from storage_core.errors import InvalidRequestError


def put(name: str, file: str, /, *, within: Within = WITHIN, session: This) -> None:
    """Store a policy, or replace it; in force from the next request on.

    Args:
        name: Its name: letters, digits and . _ @ + -, at most 128.
        file: Its JSON document; "-" reads standard input.
    """
    from storage_core.access import policies

    document = _read(file)
    with changing(session, within) as (state, project):
        stored = policies.put(state, project.id, name, document)
        audited(state, project.id, "policy.put", name)
    session.out.done(record(stored), f"stored the policy {name}")


def list_(*, within: Within = WITHIN, session: This) -> None:
    """List the policies of a project and whom they are attached to."""
    from storage_core.access import policies

    with inside(session, within) as (state, project):
        found = policies.list_policies(state, project.id)
        attached = policies.attachments(state, project.id)
    rows = []
    for item in found:
        users = [user for policy, user in attached if policy == item.name]
        if session.out.json:
            session.out.record({**record(item), "users": users})
        rows.append((item.name, time_text(item.updated), ", ".join(users)))
    if not session.out.json:
        session.out.table(("policy", "updated", "attached to"), rows)


def show(name: str, /, *, within: Within = WITHIN, session: This) -> None:
    """Show the document of a policy.

    Args:
        name: The policy.
    """
    from storage_core.access import policies

    with inside(session, within) as (state, project):
        stored = policies.get(state, project.id, name)
    if session.out.json:
        session.out.record(stored)
        return
    for line in json.dumps(stored.document, indent=2).splitlines():
        session.out.line(line)


def delete(name: str, /, *, within: Within = WITHIN, session: This) -> None:
    """Delete a policy that is attached to nobody.

    Args:
        name: The policy.
    """
    from storage_core.access import policies

    with changing(session, within) as (state, project):
        policies.delete_policy(state, project.id, name)
        audited(state, project.id, "policy.delete", name)
    session.out.done({"deleted": name}, f"deleted the policy {name}")


def attach(name: str, user: str, /, *, within: Within = WITHIN, session: This) -> None:
    """Put a user under a policy. Nothing is allowed that no policy of the user allows, and what
    one denies no other allows.

    Args:
        name: The policy.
        user: The user.
    """
    from storage_core.access import policies, principals

    with changing(session, within) as (state, project):
        policies.attach(state, principals.by_name(state, project.id, user), name)
        audited(state, project.id, "policy.attach", f"{name} {user}")
    session.out.done({"attached": name, "user": user}, f"attached {name} to {user}")


def detach(name: str, user: str, /, *, within: Within = WITHIN, session: This) -> None:
    """Take a user from under a policy.

    Args:
        name: The policy.
        user: The user.
    """
    from storage_core.access import policies, principals

    with changing(session, within) as (state, project):
        policies.detach(state, principals.by_name(state, project.id, user), name)
        audited(state, project.id, "policy.detach", f"{name} {user}")
    session.out.done({"detached": name, "user": user}, f"detached {name} from {user}")


def _read(file: str) -> Any:
    """The document of a file. A name given twice is refused: readers differ on which counts."""
    if file == "-":
        text = sys.stdin.buffer.read()
    else:
        with open(file, "rb") as source:
            text = source.read()
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{file} is not JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is given twice in one object")
    return found
