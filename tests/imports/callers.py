"""Who calls the facade `appfile`, and what of."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage_core.access import credentials, policies, principals
from storage_core.gateway import Server
from tests.gateway.clients import Answer, request
from tests.imports.world import World, cc5, wait_until

SAMPLE = {
    "WorkspaceId": "example-workspace-id",
    "BucketId": "people",
    "EntityType": "people",
    "FileName": "example-file-name.txt",
    "Folder": "example-folder",
    "Category": "example-category",
    "Tags": ["tag1", "tag2", "tag3"],
    "Metadata": {"key1": "value1", "key2": "value2"},
    "ActionId": "Track Id",
    "Description": "Track description",
}


PEOPLE = cc5("10|1|Ann|30", "10|2|B#/#ob|", "90|3")


FIELDS = {"ActionId", "File", "FileId", "FilePath", "Url"}


IMPORTS = ("/appfile/file/import", "/appdata/import/file/async")


@dataclass(frozen=True)
class Caller:
    """Who calls the service, with one key."""

    server: Server
    world: World
    key: str
    credential_id: str
    name: str

    def call(
        self,
        method: str,
        path: str,
        value: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        body = value if isinstance(value, bytes) else json.dumps(value).encode() if value else None
        sent = {"x-api-key": self.key, **(headers or {})}
        answer = request(self.server.base_url + path, method, sent, body)
        return answer.status, envelope(answer)

    def data(self, method: str, path: str, value: object = None) -> dict[str, Any]:
        """Of a success."""
        status, found = self.call(method, path, value)
        assert (status, found["IsSuccess"]) == (200, True), found
        data: dict[str, Any] = found["Data"]
        return data

    def refused(
        self, method: str, path: str, value: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and code of a refusal."""
        status, found = self.call(method, path, value, headers)
        assert not found["IsSuccess"], found
        return status, found["ResponseStatus"]["ErrorCode"]

    def register(self, **changes: Any) -> dict[str, Any]:
        return self.data("POST", "/appfile/file/path", {**SAMPLE, **changes})

    def uploaded(self, body: bytes = PEOPLE, **changes: Any) -> dict[str, Any]:
        data = self.register(**changes)
        assert request(data["Url"], "PUT", body=body).status == 200
        return data

    def order(self, data: Mapping[str, Any], file_type: str = "cc5", **changes: Any) -> Any:
        return {
            "ActionId": data["ActionId"],
            "Description": "Track description",
            "FileType": file_type,
            "FileId": data["FileId"],
            "FilePath": data["FilePath"],
            **changes,
        }

    def status(self, data: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.data("GET", f"/appfile/file/{data['FileId']}")["File"]
        return found


def envelope(answer: Answer) -> dict[str, Any]:
    """An answer, held to the shape that all have."""
    found: dict[str, Any] = json.loads(answer.body)
    assert answer.headers["content-type"] == "application/json"
    assert set(found) == {"IsSuccess", "ResponseStatus", "Data"}
    status = found["ResponseStatus"]
    assert set(status) == {"ErrorCode", "Message", "StackTrace", "Errors"}
    assert status["StackTrace"] is None
    assert found["IsSuccess"] == (answer.status == 200)
    if found["IsSuccess"]:
        assert (status["ErrorCode"], status["Message"], status["Errors"]) == (None, None, [])
        assert set(found["Data"]) == FIELDS
        for name in ("FileId", "FilePath", "Url", "ActionId"):
            assert found["Data"]["File"][name] == found["Data"][name]
    else:
        assert found["Data"] is None
        assert status["ErrorCode"]
        assert status["Message"]
        assert all(set(item) == {"ErrorCode", "FieldName", "Message"} for item in status["Errors"])
    return found


def make_caller(server: Server, world: World, *rules: dict[str, Any]) -> Caller:
    """A principal of the test's project under one policy."""
    principal = principals.create(world.state, world.project.id, f"u-{uuid.uuid4().hex[:12]}")
    policies.put(world.state, world.project.id, principal.name, {"rule": list(rules)})
    policies.attach(world.state, principal, principal.name)
    issued, key = credentials.issue(world.state, principal, kind="api-key")
    return Caller(server, world, key, issued.id, principal.name)


def allow(action: str, resource: str) -> dict[str, Any]:
    return {"effect": "Allow", "action": action, "resource": resource}


def ended(caller: Caller, data: Mapping[str, Any]) -> dict[str, Any]:
    """The status once it does not change any more."""
    wait_until(lambda: caller.status(data)["Status"] in ("Imported", "Failed"), "the end")
    return caller.status(data)


def stored(world: World, data: Mapping[str, Any]) -> bytes:
    """What the storage has of a file."""
    key = world.bucket.prefix + data["FilePath"].removeprefix("//people/")
    with world.storage.bucket(world.bucket.physical).get(key) as reader:
        return reader.read()
