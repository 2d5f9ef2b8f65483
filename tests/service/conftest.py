"""The service with all its facades, and the servers it runs on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from storage_core.gateway import GatewaySettings, serve_background
from storage_core.gateway.facades import MODULES
from storage_core.state import open_state
from tests.gateway.clients import request
from tests.servers.fixtures import (  # noqa: F401 - fixtures, found by their names
    database_url,
    moto,
    postgres,
    radosgw,
)
from tests.servers.postgres import database
from tests.service.routes import FILE, Service
from tests.service.users import new_user


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """URL of a new database of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('state') / 'state.db'}"
        return
    with database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
def postgresql_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a new PostgreSQL database."""
    with database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, service_database: str) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    profile = {"driver": "local", "root": str(folder / "root"), "fsync": False}
    settings = GatewaySettings(
        facades=tuple(MODULES),  # type: ignore[arg-type]
        database=service_database,
        max_body_size=4 * 1024 * 1024,
    )
    with serve_background(profile, settings=settings) as server:
        state = open_state(settings.database)
        admin = new_user(state)
        base = server.base_url
        assert admin.ask(f"{base}/v1/z3/fruit", "PUT").status == 200
        registered = admin.ask(f"{base}/appfile/file/path", "POST", FILE)
        assert registered.status == 200, registered
        file_id = json.loads(registered.body)["Data"]["FileId"]
        yield Service(server, state, folder / "root", admin, file_id)
        state.close()


@pytest.fixture
def fruit(service: Service) -> str:
    """Address of a bucket with the object `apple`."""
    url = f"{service.server.base_url}/v1/z3/fruit"
    service.admin.ask(url, "PUT")
    link = json.loads(service.admin.ask(f"{url}/apple", "POST", {"action": "upload"}).body)
    assert request(link["signedUrl"], "PUT", body=b"an apple").status == 200
    return url
