"""The servers as fixtures: one of each for a whole run (of each worker, where there are several).

A server that is not here and can not be installed skips what needs it, with the reason; under
continuous integration (`CI`) it fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers import SERVERS, MissingServerError, Server


def serve(name: str) -> Iterator[Server]:
    """Body of a fixture that runs a server."""
    try:
        with SERVERS[name]() as server:
            yield server
    except MissingServerError as error:
        if os.environ.get("CI"):
            pytest.fail(f"{name}: {error}", pytrace=False)
        pytest.skip(f"{name}: {error}")


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    yield from serve("moto")


@pytest.fixture(scope="session")
def azurite() -> Iterator[Server]:
    yield from serve("azurite")


@pytest.fixture(scope="session")
def fake_gcs() -> Iterator[Server]:
    yield from serve("fake-gcs-server")


@pytest.fixture(scope="session")
def strict_gcs() -> Iterator[Server]:
    yield from serve("strict-gcs")


@pytest.fixture(scope="session")
def radosgw() -> Iterator[Server]:
    yield from serve("radosgw")


@pytest.fixture(scope="session")
def swift() -> Iterator[Server]:
    yield from serve("swift")
