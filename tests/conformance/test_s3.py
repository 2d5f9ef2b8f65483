"""The suite on the S3 driver and moto.

moto checks no signature and keeps versions in its own way, so what links, credentials and
versions are worth is held on radosgw.
"""

import pytest

from storage_conformance import suite
from tests.conformance.on_server import WAIVERS, OnServer
from tests.servers import Server


class TestS3Moto(OnServer, suite.All):
    waivers = WAIVERS / "moto.toml"
    repeated = ("F52",)  # five thousand requests that moto answers slowly

    @pytest.fixture
    def on(self, moto: Server) -> Server:
        return moto
