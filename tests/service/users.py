"""Users of the service, made in its database as `storage admin` makes them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage_core.access import credentials, policies, principals, projects
from storage_core.access.model import Credential, Principal
from storage_core.errors import NotFoundError
from storage_core.state import State
from tests.gateway.clients import Answer, request

EVERYTHING: Mapping[str, Any] = {"rule": {"effect": "Allow", "action": "*", "resource": "*"}}


@dataclass(frozen=True)
class User:
    """A principal with a token, under one policy of the same name or under none."""

    state: State
    principal: Principal
    credential: Credential
    token: str

    def put_policy(self, document: Mapping[str, Any]) -> None:
        """Change the policy."""
        policies.put(self.state, self.principal.project_id, self.principal.name, document)

    def revoke(self) -> None:
        """Withdraw the token."""
        credentials.revoke(self.state, self.principal.project_id, self.credential.id)

    def ask(
        self,
        url: str,
        method: str = "GET",
        value: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A request with the token, and with a value as JSON."""
        return ask(url, method, self.token, value, headers)


def new_user(
    state: State, policy: Mapping[str, Any] | None = EVERYTHING, *, project: str = "default"
) -> User:
    """Make a user, and the project if need be."""
    try:
        found = projects.by_name(state, project)
    except NotFoundError:
        found = projects.create(state, project)
    principal = principals.create(state, found.id, f"user-{uuid.uuid4().hex[:12]}")
    if policy is not None:
        policies.put(state, found.id, principal.name, policy)
        policies.attach(state, principal, principal.name)
    return User(state, principal, *credentials.issue(state, principal))


def ask(
    url: str,
    method: str = "GET",
    token: str | None = None,
    value: object = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """A request with a token where either facade looks for it."""
    sent = dict(headers or {})
    if token is not None:
        sent |= {"Authorization": f"Bearer {token}", "X-Api-Key": token}
    return request(url, method, sent, None if value is None else json.dumps(value).encode())
