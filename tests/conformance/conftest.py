"""A root of the local driver for all cases of a run."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def local_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance")
