"""The suite on the driver over fsspec's filesystems: one in memory, and the machine's own."""

from pathlib import Path

import pytest

from storage_conformance import suite


class TestMemoryFilesystem(suite.All):
    turns = True

    @pytest.fixture
    def profile(self) -> dict[str, str]:
        return {"driver": "fsspec", "protocol": "memory", "root": "/conformance"}


class TestLocalFilesystem(suite.All):
    turns = True

    @pytest.fixture
    def profile(self, local_root: Path) -> dict[str, str]:
        return {"driver": "fsspec", "protocol": "file", "root": str(local_root / "fsspec")}
