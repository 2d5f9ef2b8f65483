"""The state with its schema, on a database of either kind, at a time of the test's choosing."""

from datetime import UTC, datetime, timedelta

import pytest

from storage_core.access import principals, projects
from storage_core.access.model import Principal, Project
from storage_core.state import State
from tests.servers.fixtures import postgres
from tests.state.conftest import emptied, shared_postgresql, shared_sqlite

__all__ = ["postgres", "shared_postgresql", "shared_sqlite"]


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2024, 2, 29, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request: pytest.FixtureRequest, clock: Clock) -> State:
    shared: State = request.getfixturevalue(f"shared_{request.param}")
    return State(emptied(shared).engine, clock)


@pytest.fixture
def project(state: State) -> Project:
    return projects.create(state, "acme")


@pytest.fixture
def alice(state: State, project: Project) -> Principal:
    return principals.create(state, project.id, "alice")
