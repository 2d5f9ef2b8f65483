"""The facade on two pairs of storage and database, and who uses it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import storage_core
from storage_core.access import projects
from storage_core.access.model import Project
from storage_core.gateway import GatewaySettings, Server, serve_background
from storage_core.state import State, open_state
from tests.clients.fixtures import node  # noqa: F401 - a fixture, found by its name
from tests.servers import postgres as postgresql
from tests.servers.fixtures import moto, postgres  # noqa: F401 - likewise
from tests.z3.users import User, allow

MOUNT = "/v1/z3"
SITES = ("local-sqlite", "s3-postgresql")


@dataclass(frozen=True, slots=True)
class Site:
    """Where objects are kept, and where the state is."""

    name: str
    profile: Mapping[str, Any]
    database: str


@pytest.fixture(scope="module", params=SITES)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        if request.param == "local-sqlite":
            profile = {"driver": "local", "root": str(folder / "root"), "fsync": False}
            database = f"sqlite:///{folder / 'state.db'}"
        else:
            server = request.getfixturevalue("moto")
            secret = "of-the-tests-of-the-z3-facade-" + uuid.uuid4().hex
            profile = {**server.profiles["default"], "links": {"keys": {"k1": secret}}}
            database = stack.enter_context(postgresql.database(request.getfixturevalue("postgres")))
        yield Site(request.param, profile, database)


@pytest.fixture(scope="module")
def state(site: Site) -> Iterator[State]:
    opened = open_state(site.database)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def storage(site: Site) -> Iterator[storage_core.Storage]:
    with storage_core.open(config=dict(site.profile)) as opened:
        yield opened


@pytest.fixture
def project(state: State) -> Project:
    """One that no other test knows."""
    return projects.create(state, "p-" + uuid.uuid4().hex)


class Clock:
    """The time of the machine, put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture(scope="module")
def running_clock() -> Clock:
    return Clock()


@pytest.fixture
def clock(running_clock: Clock) -> Iterator[Clock]:
    """The service's; right again after the test."""
    yield running_clock
    running_clock.ahead = timedelta()


@pytest.fixture(scope="module")
def server(site: Site, state: State, running_clock: Clock) -> Iterator[Server]:
    """The service."""
    settings = GatewaySettings(facades=("z3",), database=site.database)
    with serve_background(dict(site.profile), settings=settings, now=running_clock) as running:
        yield running


@pytest.fixture
def make_user(server: Server, state: State, project: Project) -> Callable[..., User]:
    """Makes users with policies, of the test's project or of another one."""

    def make(*rules: dict[str, Any], of: Project | None = None) -> User:
        return User.make(server.base_url + MOUNT, state, of or project, *rules)

    return make


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    """Who may do everything in the test's project."""
    return make_user(allow("Z3:*", "Z3:*"))


@pytest.fixture
def bucket(user: User) -> str:
    """Name of a bucket of the test's project."""
    assert user.call("PUT", "/fruit").status_code == 200
    return "fruit"
