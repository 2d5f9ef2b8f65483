"""The servers as fixtures: one of each for a whole run (of each worker, where there are several).

A server that is not here and can not be installed skips what needs it, with the reason; under
continuous integration (`CI`) it fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.servers import SERVERS, MissingServerError, Server
from tests.servers import postgres as postgresql


def serve(name: str) -> Iterator[Server]:
    """Body of a fixture that runs a server."""
    with required(name), SERVERS[name]() as server:
        yield server


@contextmanager
def required(name: str) -> Iterator[None]:
    """Skip, or fail, where what the block needs is missing."""
    try:
        yield
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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    yield from serve("postgres")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A new, empty database of either kind; needs the fixture `postgres` beside it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('database') / 'state.db'}"
        return
    with postgresql.database(request.getfixturevalue("postgres")) as url:
        yield url
