"""The whole suite on the fsspec driver and a real SFTP server."""

from collections.abc import Iterator
from typing import Any

import pytest

from storage_conformance import suite
from tests.fsspec.sftp_server import serving

pytestmark = pytest.mark.soak


class TestSftp(suite.All):
    turns = True

    @pytest.fixture(scope="class")
    def sftp(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
        with serving(tmp_path_factory.mktemp("sftp")) as profile:
            yield profile

    @pytest.fixture
    def profile(self, sftp: dict[str, Any]) -> dict[str, Any]:
        return sftp
