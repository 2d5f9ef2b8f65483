"""The suite on the Azure driver and Azurite."""

import pytest

from storage_conformance import suite
from tests.conformance.on_server import WAIVERS, OnServer
from tests.servers import Server


class TestAzurite(OnServer, suite.All):
    waivers = WAIVERS / "azurite.toml"

    @pytest.fixture
    def on(self, azurite: Server) -> Server:
        return azurite
