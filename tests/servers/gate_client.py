"""A plain client of the strict double: sends what it is told, byte for byte."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

DEFAULT = "the token that may do everything"


@dataclass(frozen=True)
class Answer:
    """What came back; header names in small letters, several values joined."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """Of an error of the JSON API."""
        return self.json()["error"]["errors"][0]["reason"]

    @property
    def code(self) -> str:
        """Of an error of the XML API."""
        return self.text("Code")

    def text(self, name: str) -> str:
        """Text of the first element of a name."""
        return self.texts(name)[0]

    def texts(self, name: str) -> list[str]:
        """Texts of all elements of a name."""
        tree = ET.fromstring(self.body)
        return [e.text or "" for e in tree.iter() if e.tag.rpartition("}")[2] == name]


class GateClient:
    """Requests to one gate."""

    def __init__(self, origin: str, profiles: Mapping[str, Mapping[str, Any]]) -> None:
        self.origin = origin
        self.host = origin.removeprefix("http://")
        self.key: dict[str, Any] = dict(profiles["default"]["token"])
        self.denied_key: dict[str, Any] = dict(profiles["denied"]["token"])
        self.email: str = self.key["client_email"]
        self._default: str | None = None

    def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        token: str | None = DEFAULT,
    ) -> Answer:
        """Send one request; `token` None sends no credential."""
        sent = dict(headers or {})
        if token == DEFAULT:
            token = self._default = self._default or self.token()
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            found: dict[str, str] = {}
            for name, value in answer.getheaders():
                key = name.lower()
                found[key] = f"{found[key]},{value}" if key in found else value
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def url(self, method: str, url: str, body: Any = None, **headers: str) -> Answer:
        """Redeem a link as somebody who has nothing else."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(method, url.removeprefix(self.origin), body, sent, token=None)

    def json(
        self,
        method: str,
        target: str,
        resource: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        token: str | None = DEFAULT,
    ) -> Answer:
        """A call of the JSON API."""
        body = None if resource is None else json.dumps(resource).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        return self.request(method, target, body, {**kind, **(headers or {})}, token=token)

    def put(self, target: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Upload by the XML API, which has to work."""
        answer = self.request("PUT", target, body, headers)
        assert answer.status == 200, answer
        return answer

    def token(self, email: str | None = None, **more: Any) -> str:
        """A token for an account."""
        return self.admin("POST", "tokens", {"email": email or self.email, **more})["token"]

    def shift(self, seconds: float) -> None:
        """Move the clock of the gate."""
        self.admin("POST", "clock", {"shift": seconds})

    def notes(self) -> list[dict[str, str]]:
        """What was refused as undocumented or missing."""
        return self.admin("GET", "notes")["notes"]

    def admin(self, method: str, what: str, resource: Any = None) -> dict[str, Any]:
        """A call to the gate itself."""
        answer = self.json(method, f"/_gate/{what}", resource, token=None)
        assert answer.status == 200, answer
        return answer.json()
