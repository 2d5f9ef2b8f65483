"""The whole suite on the S3 driver and Ceph's radosgw, which checks signatures."""

from __future__ import annotations

import pytest

from storage_conformance import suite
from tests.conformance.on_server import LAYERED, WAIVERS, OnServer
from tests.servers import Server
from tests.servers.fixtures import radosgw  # noqa: F401 - a fixture

pytestmark = pytest.mark.soak


class TestS3RadosgwWhole(OnServer, suite.All):
    waivers = WAIVERS / "radosgw.toml"

    @pytest.fixture
    def on(self, radosgw: Server) -> Server:  # noqa: F811
        return radosgw


class TestLayeredS3Radosgw(TestS3RadosgwWhole):
    extra = LAYERED
