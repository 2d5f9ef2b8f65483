"""The suite on the driver over fsspec's filesystems: one in memory, and the machine's own."""

from pathlib import Path

import pytest

from storage_conformance import suite


class TestMemoryFilesystem(suite.All):
    turns = True
    repeated = ("F52",)  # its lists walk through every file there is, for each of them

    @pytest.fixture
    def profile(self) -> dict[str, str]:
        return {"driver": "fsspec", "protocol": "memory", "root": "/conformance"}


class TestLocalFilesystem(suite.All):
    turns = True
    repeated = ("F52",)  # each delete looks into the directory

    @pytest.fixture
    def profile(self, local_root: Path) -> dict[str, str]:
        return {"driver": "fsspec", "protocol": "file", "root": str(local_root / "fsspec")}
