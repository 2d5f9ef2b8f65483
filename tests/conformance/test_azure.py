"""The suite on the Azure driver and Azurite."""

import pytest

from storage_conformance import suite
from tests.conformance.on_server import WAIVERS, OnServer
from tests.servers import Server


class TestAzurite(OnServer, suite.All):
    waivers = WAIVERS / "azurite.toml"
    repeated = ("F52",)  # five thousand deletes, each a walk through all that is there

    @pytest.fixture
    def on(self, azurite: Server) -> Server:
        return azurite
