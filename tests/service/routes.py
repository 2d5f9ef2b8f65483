"""Every route of the service, from the tables that it is made of, and how to call it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage_core.gateway import GatewaySettings, Server
from storage_core.gateway.facades import MODULES, load_facades
from storage_core.state import State
from tests.gateway.clients import Answer
from tests.service.users import User, ask

FACADES = load_facades(GatewaySettings(facades=tuple(MODULES)))  # type: ignore[arg-type]
ROUTES = {
    operation.name: (facade, mount, operation)
    for facade in FACADES.values()
    for mount, operations in facade.mounts
    for operation in operations
}
PAGES = ("/metrics", "/openapi.json", "/docs")
OPEN_PAGES = ("/health", "/ready")
FILE = {"WorkspaceId": "w", "BucketId": "fruit", "FileName": "apple.cc5txt"}
BODIES: Mapping[str, Mapping[str, str]] = {
    "z3.sign": {"action": "upload"},
    "appfile.register": FILE,
    "appfile.import": {"FileType": "cc5", "FileId": "", "ActionId": "a"},
    "appfile.import_async": {"FileType": "cc5", "FileId": "", "ActionId": "a"},
}
"""What those operations are sent whose body has to say something."""


@dataclass
class Service:
    """A gateway with all facades, and a user who may do everything in it."""

    server: Server
    state: State
    root: Path
    admin: User
    file_id: str

    def url(self, name: str) -> str:
        """Where an operation is, for things that exist."""
        _, mount, operation = ROUTES[name]
        path = re.sub(r"\{bucket\}", "fruit", operation.path)
        path = re.sub(r"\{(file|id|file_id)\}", self.file_id, path)
        path = re.sub(r"\{key(:path)?\}", "apple", path)
        assert "{" not in path, f"say what {path} is about"
        return self.server.base_url + mount + path.rstrip("/")

    def body(self, name: str) -> Any:
        """What an operation is sent; None for nothing."""
        if name not in BODIES:
            return None
        return {
            key: self.file_id if key == "FileId" else value for key, value in BODIES[name].items()
        }

    def call(
        self, name: str, token: str | None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Carry an operation out, as far as the token lets one."""
        return ask(self.url(name), ROUTES[name][2].method, token, self.body(name), headers)
