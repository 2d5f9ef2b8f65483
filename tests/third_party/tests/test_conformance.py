"""The published suite on this driver."""

import pytest

from storage_conformance import suite


class TestSqlite(suite.All):
    @pytest.fixture
    def profile(self, tmp_path):
        return {"driver": "sqlite", "file": str(tmp_path / "objects.sqlite")}
