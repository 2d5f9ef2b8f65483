"""Credentials: tokens of principals. The state keeps their hashes alone.

A token is ``sc_<id of the credential>_<secret>``, the secret being 32 random bytes in base64url.
With that much chance in it a plain SHA-256 is as good as a slow hash: there is nothing to guess.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias, get_args

from sqlalchemy import Connection, Row, Text, and_, bindparam, cast, insert, select, update

from storage_core.access import policy
from storage_core.access.model import Actor, Credential, CredentialKind, Principal
from storage_core.errors import (
    AuthenticationError,
    ConfigError,
    InvalidRequestError,
    NotFoundError,
)
from storage_core.state import State, new_id
from storage_core.state.tables import (
    credentials,
    policies,
    principal_policies,
    principals,
    projects,
)

MAX_LABEL: Final = 200
"""Most characters of a label."""

MAX_SECONDS: Final = 100 * 365 * 86400
"""Longest life of a credential that expires."""

_TOKEN = re.compile(r"sc_([0-9a-hjkmnp-tv-z]{26})_([A-Za-z0-9_-]{43})", re.ASCII)
_NO_HASH: Final = "0" * 64
_REFUSED: Final = "the token is not accepted"

_CREDENTIALS = select(
    credentials.c.id,
    credentials.c.project_id,
    credentials.c.principal_id,
    credentials.c.kind,
    credentials.c.label,
    credentials.c.created,
    credentials.c.expires,
    credentials.c.revoked,
)

# One row for each policy, or one without. The id comes from a token or a link: which project it
# belongs to is what is asked here.
_FOUND = (
    select(
        credentials.c.secret_hash,
        credentials.c.expires,
        credentials.c.revoked,
        principals.c.active,
        projects.c.id,
        projects.c.name,
        principals.c.id,
        principals.c.name,
        policies.c.name,
        cast(policies.c.document, Text),
    )
    .join(
        principals,
        and_(
            principals.c.project_id == credentials.c.project_id,
            principals.c.id == credentials.c.principal_id,
        ),
    )
    .join(projects, projects.c.id == credentials.c.project_id)
    .outerjoin(
        principal_policies,
        and_(
            principal_policies.c.project_id == credentials.c.project_id,
            principal_policies.c.principal_id == credentials.c.principal_id,
        ),
    )
    .outerjoin(
        policies,
        and_(
            policies.c.project_id == principal_policies.c.project_id,
            policies.c.id == principal_policies.c.policy_id,
        ),
    )
    .where(credentials.c.id == bindparam("credential_id"))
    .order_by(policies.c.name)
)


# As selected above; all from the last join may be None.
_Found: TypeAlias = Row[
    str, datetime | None, datetime | None, bool, str, str, str, str, str, str | None
]


def issue(
    state: State,
    principal: Principal,
    *,
    kind: CredentialKind = "bearer",
    label: str = "",
    expires_in: int | None = None,
) -> tuple[Credential, str]:
    """Make a credential.

    Args:
        state: The state.
        principal: Whose it is.
        kind: Which header it is meant for.
        label: What it is for, at most 200 characters.
        expires_in: Seconds it is good for; None for ever.

    Returns:
        The credential, and its token: to be shown once, it can not be had again.

    Raises:
        InvalidRequestError: the kind, label or time can not be.
        ConflictError: the principal was deleted.
    """
    with state.write() as connection:
        return insert_credential(
            connection, state, principal, kind=kind, label=label, expires_in=expires_in
        )


def insert_credential(
    connection: Connection,
    state: State,
    principal: Principal,
    *,
    kind: CredentialKind = "bearer",
    label: str = "",
    expires_in: int | None = None,
) -> tuple[Credential, str]:
    """`issue` inside a transaction."""
    if kind not in get_args(CredentialKind):
        raise InvalidRequestError(f"{kind!r} is neither 'bearer' nor 'api-key'")
    if len(label) > MAX_LABEL or not label.isprintable():
        raise InvalidRequestError(f"a label is at most {MAX_LABEL} printable characters")
    if expires_in is not None and not 1 <= expires_in <= MAX_SECONDS:
        raise InvalidRequestError(f"expires_in {expires_in!r} is not within 1 to {MAX_SECONDS} s")
    now = state.now()
    credential = Credential(
        id=new_id(),
        project_id=principal.project_id,
        principal_id=principal.id,
        kind=kind,
        label=label,
        created=now,
        expires=None if expires_in is None else now + timedelta(seconds=expires_in),
        revoked=None,
    )
    secret = secrets.token_urlsafe(32)
    connection.execute(
        insert(credentials).values(
            id=credential.id,
            project_id=credential.project_id,
            principal_id=credential.principal_id,
            kind=credential.kind,
            label=credential.label,
            secret_hash=_hash(secret),
            created=credential.created,
            expires=credential.expires,
            revoked=credential.revoked,
        )
    )
    return credential, f"sc_{credential.id}_{secret}"


def authenticate(state: State, token: str) -> Actor:
    """Who a token belongs to, with the policies as they are now.

    Args:
        state: The state.
        token: Whatever a client sent as one.

    Raises:
        AuthenticationError: it is unknown, wrong, expired, revoked, or its principal is not
            active; which of them is not told.
    """
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise AuthenticationError(_REFUSED)
    rows = _find(state, parts[1])
    stored = rows[0][0] if rows else _NO_HASH
    # The same work for an id that is unknown.
    known = hmac.compare_digest(_hash(parts[2]), stored)
    actor = _actor(parts[1], rows, state.now()) if known else None
    if actor is None:
        raise AuthenticationError(_REFUSED)
    return actor


def actor_of(state: State, credential_id: str) -> Actor | None:
    """Who a credential belongs to, None if it would not be accepted any more.

    For links: whoever made one has authenticated then, and must still be good.
    """
    return _actor(credential_id, _find(state, credential_id), state.now())


def id_of(token: str) -> str:
    """The id of the credential that a token is of; an id is returned as it is. It can be shown,
    the rest of a token can not."""
    return token.split("_")[1] if token.startswith("sc_") else token


def list_credentials(
    state: State, project_id: str, principal_id: str | None = None
) -> list[Credential]:
    """The credentials of a project, or of one of its principals, the oldest first."""
    found = _CREDENTIALS.where(credentials.c.project_id == project_id).order_by(credentials.c.id)
    if principal_id is not None:
        found = found.where(credentials.c.principal_id == principal_id)
    with state.read() as connection:
        return [Credential(*row) for row in connection.execute(found)]


def revoke(state: State, project_id: str, credential_id: str) -> None:
    """Withdraw a credential, from the next request on. To do so again changes nothing.

    Raises:
        NotFoundError: the project has no such credential.
    """
    its = and_(credentials.c.project_id == project_id, credentials.c.id == credential_id)
    with state.write() as connection:
        if connection.scalar(select(credentials.c.id).where(its)) is None:
            raise NotFoundError("there is no such token; `storage admin token list` shows them")
        connection.execute(
            update(credentials)
            .where(its, credentials.c.revoked.is_(None))
            .values(revoked=state.now())
        )


def _hash(secret: str) -> str:
    # Of the text, not the bytes it stands for: several texts stand for the same bytes.
    return hashlib.sha256(secret.encode()).hexdigest()


def _find(state: State, credential_id: str) -> Sequence[_Found]:
    with state.read() as connection:
        return connection.execute(_FOUND, {"credential_id": credential_id}).all()


def _actor(credential_id: str, rows: Sequence[_Found], now: datetime) -> Actor | None:
    """Who the rows of a credential are about, if it is good."""
    if not rows:
        return None
    _, expires, revoked, active, project_id, project_name, principal_id, principal_name, _, _ = (
        rows[0]
    )
    if not active or revoked is not None or (expires is not None and expires <= now):
        return None
    rules = [rule for row in rows if row[9] is not None for rule in _rules(row[8], row[9])]
    return Actor(
        project_id, project_name, principal_id, principal_name, credential_id, tuple(rules)
    )


@functools.lru_cache(maxsize=1024)
def _rules(name: str, document: str) -> tuple[policy.Rule, ...]:
    try:
        return policy.parse(json.loads(document))
    except InvalidRequestError as error:
        # To leave it out could leave out what it denies.
        raise ConfigError(f"the policy {name!r} can not be read: {error.message}") from None
