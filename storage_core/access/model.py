"""What the state knows of who may do what."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from storage_core.access import policy
from storage_core.errors import InvalidRequestError
from storage_core.state.tables import MAX_NAME

PrincipalKind: TypeAlias = Literal["user", "service"]
CredentialKind: TypeAlias = Literal["bearer", "api-key"]

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@+-]{{0,{MAX_NAME - 1}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Project:
    """A tenant: everything else belongs to one, and nothing to two."""

    id: str
    name: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Principal:
    """Who can be given credentials and policies.

    Attributes:
        kind: ``user`` for a person, ``service`` for a program.
        active: Whether its credentials are accepted.
    """

    id: str
    project_id: str
    name: str
    kind: str
    active: bool
    created: datetime


@dataclass(frozen=True, slots=True)
class Credential:
    """What is known of a token; its secret is not.

    Attributes:
        kind: ``bearer`` for ``Authorization: Bearer``, ``api-key`` for a header of its own.
        label: What it is for, in its owner's words.
        expires: From then on it is refused; None for never.
        revoked: When it was withdrawn; None if it was not.
    """

    id: str
    project_id: str
    principal_id: str
    kind: str
    label: str
    created: datetime
    expires: datetime | None
    revoked: datetime | None

    def is_good(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy by its name.

    Attributes:
        document: As it was put; `storage_core.access.policy` reads it.
    """

    id: str
    project_id: str
    name: str
    document: Any
    updated: datetime


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """That somebody did something, or was not allowed to.

    Attributes:
        principal_id: Who; None for the command line.
        credential_id: With which credential.
        action: What, such as ``Z3:PutObject``.
        target: To what, such as ``Z3:fruit/apple.txt``.
        result: ``ok``, or the refusal.
        request_id: Of the request that asked for it; empty for the command line.
    """

    id: str
    project_id: str
    time: datetime
    principal_id: str | None
    credential_id: str | None
    action: str
    target: str
    result: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who a request comes from, as of now.

    Attributes:
        rules: Of all policies attached to the principal.
    """

    project_id: str
    project_name: str
    principal_id: str
    principal_name: str
    credential_id: str
    rules: tuple[policy.Rule, ...] = field(repr=False)

    def allows(self, action: str, resource: str) -> bool:
        """Whether its policies allow an action, such as ``Z3:GetObject``, on a resource, such
        as ``Z3:fruit/apple.txt``."""
        return policy.allows(self.rules, action, resource)


def check_name(what: str, name: str) -> str:
    """A name as it is, if it can be one.

    Args:
        what: What it shall name, for the message.
        name: The name.

    Raises:
        InvalidRequestError: it can not.
    """
    if _NAME.fullmatch(name):
        return name
    raise InvalidRequestError(
        f"{name!r} can not name a {what}: use 1 to {MAX_NAME} letters, digits and . _ @ + -,"
        " beginning with a letter or digit"
    )
