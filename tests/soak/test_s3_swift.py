"""The whole suite on the S3 driver and OpenStack Swift, a second S3 that checks signatures."""

from __future__ import annotations

import pytest

from storage_conformance import suite
from tests.conformance.on_server import WAIVERS, OnServer
from tests.servers import Server
from tests.servers.fixtures import swift  # noqa: F401 - a fixture

pytestmark = pytest.mark.soak


class TestS3Swift(OnServer, suite.All):
    waivers = WAIVERS / "swift.toml"

    @pytest.fixture
    def on(self, swift: Server) -> Server:  # noqa: F811
        return swift
