"""The whole suite on the S3 driver and servers of two other makes, which check signatures."""

from __future__ import annotations

import pytest

from storage_conformance import suite
from tests.conformance.on_server import LAYERED, WAIVERS, OnServer
from tests.servers import Server
from tests.servers.fixtures import radosgw, swift  # noqa: F401 - fixtures

pytestmark = pytest.mark.soak


class TestS3RadosgwWhole(OnServer, suite.All):
    waivers = WAIVERS / "radosgw.toml"

    @pytest.fixture
    def on(self, radosgw: Server) -> Server:  # noqa: F811
        return radosgw


class TestLayeredS3Radosgw(TestS3RadosgwWhole):
    extra = LAYERED


class TestS3Swift(OnServer, suite.All):
    waivers = WAIVERS / "swift.toml"

    @pytest.fixture
    def on(self, swift: Server) -> Server:  # noqa: F811
        return swift
