"""Nobody waits for ever: not for a server that stands still, not for a lock, not for a turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
from tests.waiting import PATIENCE

LONG = text("SELECT pg_sleep(1.2)")


@pytest.fixture
def way(postgresql_url: str) -> Iterator[Way]:
    port = make_url(postgresql_url).port
    assert port is not None
    with way_to(port) as way:
        yield way


@pytest.fixture
def distant(way: Way, postgresql_url: str) -> Iterator[State]:
    """A database at the end of a way that can freeze, with one connection that was used."""
    url = make_url(postgresql_url).set(port=way.port)
    state = open_state(url.render_as_string(hide_password=False))
    state.migrate()
    yield state
    state.close()


@contextmanager
def frozen(way: Way, state: State) -> Iterator[None]:
    """The server stands still, and connections have little patience: only now, as what is to
    succeed may take its time."""
    connect = postgresql.BoundedConnection.connect

    def hasty_connect(*arguments: Any, **named: Any) -> postgresql.BoundedConnection:
        return connect(*arguments, **{**named, "connect_timeout": 2})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgresql.BoundedConnection, "connect", hasty_connect)
        patch.setattr(postgresql, "ANSWER_SECONDS", 1.0)
        names(state)  # from then on
        way.freeze()
        try:
            yield
        finally:
            way.thaw()


def test_a_server_that_stands_still_is_unavailable(way: Way, distant: State):
    add(distant, "before")
    with frozen(way, distant):
        with pytest.raises(UnavailableError):
            names(distant)
        with pytest.raises(UnavailableError):
            add(distant, "lost")
    assert names(distant) == ["before"]


def test_a_transaction_whose_server_stands_still_ends(way: Way, distant: State):
    def stalled() -> None:
        with distant.write() as connection:
            connection.execute(projects.delete())
            raw = connection.connection.driver_connection
            assert isinstance(raw, postgresql.BoundedConnection)
            assert raw.patience == postgresql.ANSWER_SECONDS
            raw.patience = 1.0  # only now, as in `frozen`
            way.freeze()
            connection.execute(projects.delete())

    add(distant, "kept")
    distant.engine.dispose()  # so that it is a new connection
    with pytest.raises(UnavailableError, match="no answer within 1 s"):
        stalled()
    way.thaw()
    assert names(distant) == ["kept"]


@pytest.fixture
def hasty(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """A database with one row, whose server gives up what takes longer than a moment."""
    patient = open_state(postgresql_url)
    patient.migrate()
    add(patient, "a")
    patient.close()
    monkeypatch.setattr(postgresql, "TIMEOUTS", dict.fromkeys(postgresql.TIMEOUTS, "200ms"))
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 0.9)
    state = open_state(postgresql_url)
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
    connection.execute("SELECT pg_sleep(1.2)")
    connection.rollback()
    connection.execute("SELECT pg_sleep(1.2)")
    connection.close()


def test_a_lock_is_not_waited_for_for_ever(hasty: State):
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
        thread.join(PATIENCE)
        assert len(failures) == 1


def test_a_copy_may_take_long(hasty: State, tmp_path, monkeypatch: pytest.MonkeyPatch):
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
        thread.join(PATIENCE)
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
