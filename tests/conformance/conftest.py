"""What all cases of a run share: the servers, and a root of the local driver."""

from pathlib import Path

import pytest

from storage_conformance.cases import case_of
from tests.servers.fixtures import (  # noqa: F401 - fixtures, found by their names
    azurite,
    fake_gcs,
    moto,
    radosgw,
    strict_gcs,
    swift,
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases that a class has for `make test-full` only.

    `repeated` of a class are beginnings of their ids: they show there what they show elsewhere,
    at the cost of minutes.
    """
    for item in items:
        case = case_of(getattr(item, "function", None))
        owner = getattr(item, "cls", None)
        if case is not None and case.id.startswith(getattr(owner, "repeated", ())):
            item.add_marker("repetition")


@pytest.fixture(scope="session")
def local_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance")
