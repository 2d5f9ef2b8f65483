"""The suite on the S3 driver and moto: bare, and with versions below the prefix layer.

moto checks no signature, so what links and credentials are worth is held on radosgw.
"""

import pytest

from storage_conformance import suite
from tests.conformance.on_server import LAYERED, WAIVERS, OnServer
from tests.servers import Server


class TestS3Moto(OnServer, suite.All):
    waivers = WAIVERS / "moto.toml"

    @pytest.fixture
    def on(self, moto: Server) -> Server:
        return moto


class TestLayeredS3Moto(TestS3Moto):
    extra = LAYERED
