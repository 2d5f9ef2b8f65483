"""Links, refusals, security and versions of the S3 driver on a server that does check
signatures. The whole suite runs on it in tests/soak.
"""

import pytest

from storage_conformance import suite
from storage_conformance.suite.o_errors import Errors
from tests.conformance.on_server import LAYERED, WAIVERS, OnServer
from tests.servers import Server


class OnRadosgw(OnServer):
    waivers = WAIVERS / "radosgw.toml"

    @pytest.fixture
    def on(self, radosgw: Server) -> Server:
        return radosgw


class TestS3Radosgw(OnRadosgw, suite.Links, Errors, suite.Security):
    pass


class TestLayeredS3Radosgw(OnRadosgw, suite.Versions):
    extra = LAYERED
