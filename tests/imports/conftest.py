"""Two pairs of storage and database, with files, imports and workers on them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_core import imports, plugins
from storage_core.config.gateway import ImportSettings
from storage_core.gateway import GatewaySettings, Server, serve_background
from storage_core.state import State, open_state
from tests.clients.fixtures import node  # noqa: F401 - fixtures, found by their names
from tests.imports.callers import Caller, allow, make_caller
from tests.imports.world import PROFILE, Clock, Site, World, new_world, write_config
from tests.servers import postgres as postgresql
from tests.servers.fixtures import database_url, moto, postgres  # noqa: F401

SITES = ("local-sqlite", "s3-postgresql")


@pytest.fixture(scope="session", autouse=True)
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the importers of the tests are installed as a distribution."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "acme_importers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-importers\nVersion: 1.0\n")
    names = ("gated", "plain", "faulty", "leaving", "flaky", "compound", "endless")
    entries = [f"{name} = tests.imports.importers:{name}" for name in names]
    (info / "entry_points.txt").write_text("\n".join([f"[{imports.GROUP}]", *entries, ""]))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        plugins._entry_points.cache_clear()
        yield folder
    plugins._entry_points.cache_clear()


@pytest.fixture(scope="module", params=SITES)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("imports")
    with ExitStack() as stack:
        profile: dict[str, Any]
        if request.param == "local-sqlite":
            profile = {"driver": "local", "root": str(folder / "root"), "fsync": False}
            database = f"sqlite:///{folder / 'state.db'}"
        else:
            profile = dict(request.getfixturevalue("moto").profiles["default"])
            database = stack.enter_context(postgresql.database(request.getfixturevalue("postgres")))
        profile["links"] = {"keys": {"k1": f"of-the-tests-of-imports-{uuid.uuid4().hex}"}}
        yield Site(request.param, folder, database, write_config(folder, profile, database))


@pytest.fixture(scope="module")
def running_clock() -> Clock:
    return Clock()


@pytest.fixture
def clock(running_clock: Clock) -> Iterator[Clock]:
    """The state's and the gateway's; right again after the test."""
    yield running_clock
    running_clock.ahead = timedelta()


@pytest.fixture(scope="module")
def storage(site: Site) -> Iterator[storage_core.Storage]:
    with storage_core.open(PROFILE, config=str(site.config)) as opened:
        yield opened


@pytest.fixture(scope="module")
def state(site: Site, running_clock: Clock) -> Iterator[State]:
    opened = open_state(site.database, now=running_clock)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def world(site: Site, state: State, storage: storage_core.Storage) -> Iterator[World]:
    with new_world(site, state, storage) as made:
        yield made


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Metadata for the importer `gated`; its gate is open after the test."""
    metadata = {"gate": str(tmp_path / "gate"), "reached": str(tmp_path / "reached")}
    yield metadata
    Path(metadata["gate"]).touch()


@pytest.fixture(scope="module")
def server(site: Site, running_clock: Clock) -> Iterator[Server]:
    """The service, without workers: those are the tests' own."""
    settings = GatewaySettings(
        facades=("appfile",),
        profiles=(PROFILE,),
        database=site.database,
        imports=ImportSettings(file_types=("cc5", "plain", "gated"), workers=0),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_CONFIG", str(site.config))
        with serve_background(settings=settings, now=running_clock) as running:
            yield running


@pytest.fixture
def caller(server: Server, world: World) -> Caller:
    return make_caller(server, world, allow("Import:*", "Import:people/**"))
