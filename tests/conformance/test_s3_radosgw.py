"""Links, refusals and security of the S3 driver on a server that does check signatures.

The whole suite runs on it in tests/soak.
"""

import pytest

from storage_conformance import suite
from storage_conformance.suite.o_errors import Errors
from tests.conformance.on_server import WAIVERS, OnServer
from tests.servers import Server


class TestS3Radosgw(OnServer, suite.Links, Errors, suite.Security):
    waivers = WAIVERS / "radosgw.toml"

    @pytest.fixture
    def on(self, radosgw: Server) -> Server:
        return radosgw
