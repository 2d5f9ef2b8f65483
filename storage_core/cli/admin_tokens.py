"""``storage admin token``: create, list, revoke."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from storage_core.cli.admin import WITHIN, Within, audited, changing, inside
from storage_core.cli.formats import parse_duration, time_text
from storage_core.cli.output import record
from storage_core.cli.session import This

if TYPE_CHECKING:
    from storage_core.access.model import Credential


def create(
    user: str,
    /,
    *,
    kind: Literal["bearer", "api-key"] = "bearer",
    expires_in: str | None = None,
    label: str = "",
    within: Within = WITHIN,
    session: This,
) -> None:
    """Make a token of a user and show it, this once: only its hash is kept.

    Args:
        user: Whose it is.
        kind: A bearer token, or an API key for clients that send one in a header of its own.
        expires_in: How long it is accepted: 900, 15m, 2h, 7d, 1w. Without, until it is revoked.
        label: What it is for.
    """
    from storage_core.access import credentials, principals

    seconds = None if expires_in is None else parse_duration(expires_in)
    with changing(session, within) as (state, project):
        principal = principals.by_name(state, project.id, user)
        made, token = credentials.issue(
            state, principal, kind=kind, label=label, expires_in=seconds
        )
        audited(state, project.id, "token.create", f"{user} {made.id}")
    session.out.result({**record(made), "user": user, "token": token}, token)
    until = f"expires {time_text(made.expires)}" if made.expires else "does not expire"
    session.out.note(f"the token {made.id} of {user}, which {until}; it is not shown again")


def list_(user: str | None = None, /, *, within: Within = WITHIN, session: This) -> None:
    """List tokens: what is known of them, never the tokens themselves.

    Args:
        user: Only those of this user.
    """
    from storage_core.access import credentials, principals

    with inside(session, within) as (state, project):
        only = principals.by_name(state, project.id, user).id if user else None
        users = {item.id: item.name for item in principals.list_principals(state, project.id)}
        found = credentials.list_credentials(state, project.id, only)
    rows = []
    for item in found:
        owner = users.get(item.principal_id, item.principal_id)
        if session.out.json:
            session.out.record({**record(item), "user": owner, "state": _standing(item)})
        expires = time_text(item.expires) or "never"
        rows.append((item.id, owner, item.kind, _standing(item), expires, item.label))
    if not session.out.json:
        session.out.table(("token", "user", "kind", "", "expires", "label"), rows)


def revoke(
    *ids: Annotated[str, Parameter(name="ID", required=True)],
    within: Within = WITHIN,
    session: This,
) -> None:
    """Withdraw tokens for good, and the links made with them.

    Args:
        ids: The tokens, as "storage admin token list" shows them; a whole token will do too.
    """
    from storage_core.access import credentials

    with inside(session, within) as (state, project):
        for token in map(credentials.id_of, ids):
            with session.attempt(token):
                with state.write():
                    credentials.revoke(state, project.id, token)
                    audited(state, project.id, "token.revoke", token)
                session.out.done({"revoked": token}, f"revoked {token}")
    session.check()


def _standing(item: "Credential") -> str:
    if item.revoked is not None:
        return "revoked"
    return "good" if item.is_good(datetime.now(UTC)) else "expired"
