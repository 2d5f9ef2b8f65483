"""What `storage conformance` runs: the whole suite on the profile that was named."""

from __future__ import annotations

import pytest

from storage_conformance import suite
from storage_conformance.plugin import PROFILE
from storage_conformance.profiles import ProfileSpec


class TestProfile(suite.All):
    """The suite on the profile of `storage_conformance.run.run`."""

    @pytest.fixture
    def profile(self, request: pytest.FixtureRequest) -> ProfileSpec:
        """The profile named on the command line."""
        spec: ProfileSpec = request.config.stash[PROFILE]
        return spec

    @pytest.fixture(autouse=True)
    def _server(self, request: pytest.FixtureRequest, _context: None) -> None:
        server = request.config.getoption("conformance_server")
        if server:
            self.facts = {**self.facts, "server": server}
