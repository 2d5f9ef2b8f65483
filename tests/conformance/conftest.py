"""What all cases of a run share: the servers, and a root of the local driver."""

from pathlib import Path

import pytest

from tests.servers.fixtures import (  # noqa: F401 - fixtures, found by their names
    azurite,
    fake_gcs,
    moto,
    radosgw,
    strict_gcs,
    swift,
)


@pytest.fixture(scope="session")
def local_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance")
