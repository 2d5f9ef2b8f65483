"""The suite on the local driver: bare, and with versions below the prefix layer."""

from pathlib import Path

import pytest

from storage_conformance import suite


# Durability is held by the crash tests; without it the cases run several times as fast.
class TestLocal(suite.All):
    @pytest.fixture
    def profile(self, local_root: Path):
        return {"driver": "local", "root": str(local_root / "bare"), "fsync": False}


class TestLayeredLocal(suite.All):
    turns = True

    @pytest.fixture
    def profile(self, local_root: Path):
        return {
            "driver": "local",
            "root": str(local_root / "layered"),
            "fsync": False,
            "versions": True,
            "prefix": "team/2012-",
            "bucket_prefix": "acme-",
        }
