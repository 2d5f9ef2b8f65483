"""The suite on a driver whose service runs as a test server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from storage_conformance.fixtures import Suite
from tests.servers import Server

WAIVERS = Path(__file__).parent / "waivers"
"""A list for each server on which a case may fail."""


BARE: Mapping[str, Any] = MappingProxyType({})
LAYERED: Mapping[str, Any] = MappingProxyType(
    {"versions": True, "prefix": "team/2012-", "bucket_prefix": "acme-"}
)
"""With versions, below the prefix layer."""


class OnServer(Suite):
    """Classes of cases on a server override the fixture `on`."""

    turns = True
    extra = BARE
    """What the profile has beside the server's."""

    @pytest.fixture
    def on(self) -> Server:
        """The server."""
        raise NotImplementedError("override the fixture 'on'")

    @pytest.fixture
    def service(self, on: Server) -> str:
        return on.label

    @pytest.fixture
    def profile(self, on: Server) -> Mapping[str, Any]:
        return {**on.profile, **self.extra}

    @pytest.fixture
    def denied(self, on: Server) -> Mapping[str, Any] | None:
        return self._other(on, "denied")

    @pytest.fixture
    def wrong_credentials(self, on: Server) -> Mapping[str, Any] | None:
        return self._other(on, "wrong_credentials")

    def _other(self, on: Server, name: str) -> Mapping[str, Any] | None:
        return {**on.profiles[name], **self.extra} if name in on.profiles else None
