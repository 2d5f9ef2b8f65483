"""Databases of either kind: one that tests share, emptied for each, and new ones."""

from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from storage_core.state import State, open_state, tables
from tests.servers import Server
from tests.servers.fixtures import database_url, postgres
from tests.servers.postgres import database

__all__ = ["database_url", "postgres"]


@pytest.fixture(scope="session")
def shared_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    folder = tmp_path_factory.mktemp("shared")
    yield from migrated(f"sqlite:///{folder}/state.db")


@pytest.fixture(scope="session")
def shared_postgresql(postgres: Server) -> Iterator[State]:
    with database(postgres) as url:
        yield from migrated(url)


def migrated(url: str) -> Iterator[State]:
    """Opened and of the newest schema, then closed."""
    state = open_state(url)
    state.migrate()
    yield state
    state.close()


def emptied(state: State) -> State:
    """Without a row."""
    with state.write() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(delete(table))
    return state


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request: pytest.FixtureRequest) -> State:
    """Without a row; for what leaves the schema alone."""
    shared: State = request.getfixturevalue(f"shared_{request.param}")
    return emptied(shared)


@pytest.fixture
def postgresql_url(postgres: Server) -> Iterator[str]:
    """A new one, for what SQLite has nothing like."""
    with database(postgres) as url:
        yield url


@pytest.fixture
def empty(database_url: str) -> Iterator[State]:
    """A new one, before its first migration."""
    state = open_state(database_url)
    yield state
    state.close()


@pytest.fixture
def fresh(empty: State) -> State:
    """A new one."""
    empty.migrate()
    return empty
