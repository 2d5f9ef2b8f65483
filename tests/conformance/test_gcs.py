"""The suite on the GCS driver: on a server others wrote, which checks little, and on the strict
double of `tests.servers.gcs_gate`, which checks what Google's pages say."""

import pytest

from storage_conformance import suite
from tests.conformance.on_server import LAYERED, WAIVERS, OnServer
from tests.servers import Server


class TestFakeGcs(OnServer, suite.All):
    waivers = WAIVERS / "fake-gcs-server.toml"
    repeated = ("F52",)  # each put and delete is a walk through the bucket

    @pytest.fixture
    def on(self, fake_gcs: Server) -> Server:
        return fake_gcs


class TestStrictGcs(OnServer, suite.All):
    @pytest.fixture
    def on(self, strict_gcs: Server) -> Server:
        return strict_gcs


class TestLayeredStrictGcs(TestStrictGcs):
    extra = LAYERED
    # Left are bucket life, lists, keys, copies, deletes, links, versions: what the layer and
    # versions change. The layer runs whole on the local and the memory driver.
    repeated = tuple("BCDEJKMOPQRST")
