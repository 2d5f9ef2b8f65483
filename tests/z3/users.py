"""Who uses the facade: requests as clients of the service make them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests

from storage_core.access import credentials, policies, principals
from storage_core.access.model import Principal, Project
from storage_core.state import State

TIMEOUT = 60


def allow(action: str | list[str], *resources: str) -> dict[str, Any]:
    return {"effect": "Allow", "action": action, "resource": list(resources)}


def deny(action: str | list[str], *resources: str) -> dict[str, Any]:
    return {**allow(action, *resources), "effect": "Deny"}


@dataclass(frozen=True, slots=True)
class User:
    """A principal with a policy and a token.

    Attributes:
        base: Where the facade is.
        policy: Name of the policy it is under.
    """

    base: str
    state: State
    principal: Principal
    policy: str
    token: str = field(repr=False)
    credential_id: str

    @classmethod
    def make(cls, base: str, state: State, project: Project, *rules: dict[str, Any]) -> User:
        principal = principals.create(state, project.id, "u-" + uuid.uuid4().hex)
        policy = "p-" + uuid.uuid4().hex
        policies.put(state, project.id, policy, {"rule": list(rules)})
        policies.attach(state, principal, policy)
        credential, token = credentials.issue(state, principal)
        return cls(base, state, principal, policy, token, credential.id)

    def under(self, *rules: dict[str, Any]) -> None:
        """Change the policy."""
        policies.put(self.state, self.principal.project_id, self.policy, {"rule": list(rules)})

    def call(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> requests.Response:
        """A request below the base, the path being encoded already."""
        return requests.request(
            method,
            f"{self.base}{path}",
            data=None if body is None else json.dumps(body),
            headers={
                "Authorization": f"Bearer {self.token}",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
            timeout=TIMEOUT,
        )

    def ask(self, action: str, bucket: str, key: str, **more: object) -> requests.Response:
        """Ask for a link."""
        return self.call("POST", path_of(bucket, key), {"action": action, **more})

    def link(self, action: str, bucket: str, key: str, **more: object) -> str:
        answer = self.ask(action, bucket, key, **more)
        assert answer.status_code == 200, answer.text
        assert list(answer.json()) == ["signedUrl"]
        url = answer.json()["signedUrl"]
        assert isinstance(url, str)
        return url

    def put(self, bucket: str, key: str, data: bytes = b"") -> None:
        answer = requests.put(self.link("upload", bucket, key), data=data, timeout=TIMEOUT)
        assert answer.status_code == 200, answer.text

    def get(self, bucket: str, key: str) -> requests.Response:
        return requests.get(self.link("download", bucket, key), timeout=TIMEOUT)

    def list(self, bucket: str, prefix: str = "", query: str = "") -> list[str]:
        """Keys as the service lists them."""
        answer = self.call("GET", path_of(bucket, prefix) + query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return [entry["key"] for entry in answer.json()]


def path_of(bucket: str, key: str = "") -> str:
    """Path of an object below the base. A slash beside an empty segment is encoded, as URL
    parsers merge those."""
    encoded = quote(key, safe="").replace("%2F", "/") if "//" not in key else quote(key, safe="")
    return f"/{bucket}/{encoded}" if key else f"/{bucket}"
