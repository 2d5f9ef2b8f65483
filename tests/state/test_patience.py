"""Nobody waits for ever: not for a server that stands still, not for a lock, not for a turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url, select, text

from storage_core.errors import ConflictError, UnavailableError
from storage_core.state import State, open_state, postgresql
from storage_core.state import state as opened
from storage_core.state.copying import copy
from storage_core.state.database import make_engine
from storage_core.state.tables import projects
from tests.servers.frozen import Way, way_to
from tests.state.test_state import add, names

LONG = text("SELECT pg_sleep(1)")


@pytest.fixture
def way(postgresql_url: str) -> Iterator[Way]:
    port = make_url(postgresql_url).port
    assert port is not None
    with way_to(port) as way:
        yield way


@pytest.fixture
def distant(way: Way, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """A database at the end of a way that can freeze, with one connection that was used."""
    url = make_url(postgresql_url).set(port=way.port)
    state = open_state(url.render_as_string(hide_password=False) + "?connect_timeout=2")
    state.migrate()
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 1.0)
    yield state
    state.close()


def test_a_server_that_stands_still_is_unavailable(way: Way, distant: State):
    add(distant, "before")
    distant.engine.dispose()  # the next connection is made with the patience of this test
    assert names(distant) == ["before"]
    way.freeze()
    with pytest.raises(UnavailableError):
        names(distant)
    with pytest.raises(UnavailableError):
        add(distant, "lost")
    way.thaw()
    assert names(distant) == ["before"]


def test_a_transaction_whose_server_stands_still_ends(way: Way, distant: State):
    def stalled() -> None:
        with distant.write() as connection:
            connection.execute(projects.delete())
            way.freeze()
            connection.execute(projects.delete())

    distant.engine.dispose()
    add(distant, "kept")
    with pytest.raises(UnavailableError, match="no answer within 1 s"):
        stalled()
    way.thaw()
    assert names(distant) == ["kept"]


@pytest.fixture
def hasty(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """A database whose server gives up what takes longer than a moment."""
    monkeypatch.setattr(postgresql, "TIMEOUTS", dict.fromkeys(postgresql.TIMEOUTS, "200ms"))
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 0.5)
    state = open_state(postgresql_url)
    state.migrate()
    yield state
    state.close()


def test_a_long_statement_is_given_up_unless_it_may_be_long(hasty: State):
    with pytest.raises(UnavailableError, match="timeout"), hasty.write() as connection:
        connection.execute(LONG)
    with hasty.write(patient=True) as connection:
        connection.execute(LONG)
    with pytest.raises(UnavailableError, match="timeout"), hasty.write() as connection:
        connection.execute(LONG)  # on the connection that was patient before
    url = hasty.engine.url.render_as_string(hide_password=False)
    engine = make_engine(url, pooled=False)  # what is for long work
    with engine.connect() as connection:
        connection.execute(LONG)
    engine.dispose()


def test_a_connection_can_be_freed_of_all_bounds(hasty: State):
    raw = hasty.engine.raw_connection()
    connection = raw.driver_connection
    assert isinstance(connection, postgresql.BoundedConnection)
    raw.detach()
    connection.rollback()
    postgresql.lift(connection)
    connection.execute("SELECT pg_sleep(1)")
    connection.rollback()
    connection.execute("SELECT pg_sleep(1)")
    connection.close()


def test_a_lock_is_not_waited_for_for_ever(hasty: State):
    add(hasty, "a")
    with hasty.write(patient=True) as connection:
        connection.execute(select(projects).with_for_update())
        failures: list[BaseException] = []

        def other() -> None:
            try:
                with hasty.write() as connection:
                    connection.execute(projects.delete())
            except UnavailableError as error:
                failures.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)
        assert len(failures) == 1


def test_a_copy_may_take_long(hasty: State, tmp_path, monkeypatch: pytest.MonkeyPatch):
    add(hasty, "a")
    target = open_state(f"sqlite:///{tmp_path}/copy.db")
    target.migrate()

    def slow(connection: object, place: str) -> None:
        if "postgresql" in place:
            connection.execute(LONG)  # type: ignore[attr-defined]

    monkeypatch.setattr("storage_core.state.copying.check", slow)
    assert copy(hasty, target) == 1
    target.close()


def test_writers_of_a_process_do_not_queue_for_ever(
    shared_sqlite: State, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(opened, "BUSY_SECONDS", 0.2)
    failures: list[BaseException] = []

    def other() -> None:
        try:
            with shared_sqlite.write():
                pass
        except UnavailableError as error:
            failures.append(error)

    with shared_sqlite.write():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)
    assert [str(error).endswith("others are writing for long") for error in failures] == [True]
    other()  # its turn came back
    assert len(failures) == 1


def test_a_transaction_within_one_is_a_part_of_it(state: State):
    def fail() -> None:
        with state.write():
            add(state, "a")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert names(state) == []
    with state.write():
        add(state, "a")
        with pytest.raises(ConflictError):
            add(state, "a")
        add(state, "b")
        assert names(state) == []
    assert names(state) == ["a", "b"]
