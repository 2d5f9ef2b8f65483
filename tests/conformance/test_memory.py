"""The suite on the memory driver: bare, and with versions below the prefix layer."""

import pytest

from storage_conformance import suite


class TestMemory(suite.All):
    turns = True

    @pytest.fixture
    def profile(self):
        return {"driver": "memory", "name": "conformance"}


class TestLayeredMemory(suite.All):
    turns = True

    @pytest.fixture
    def profile(self):
        return {
            "driver": "memory",
            "name": "conformance-layered",
            "versions": True,
            "min_part_size": 0,
            "prefix": "team/2012-",
            "bucket_prefix": "acme-",
        }
