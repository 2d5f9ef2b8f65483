"""The rows' database: everything or nothing, once, on SQLite and PostgreSQL."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, exc, func, select

from storage_core.errors import ConfigError, InvalidRequestError, UnavailableError
from storage_core.imports import ImportFileError, Row, Sink, imported_rows, open_sink
from storage_core.imports.rows import BATCH, Counts, Load
from storage_core.imports.sink import SupersededError
from storage_core.state import open_state
from tests.waiting import PATIENCE

NOW = datetime(2024, 2, 29, 12, tzinfo=UTC)
NOTHING = Counts()


def never() -> None:
    raise AssertionError("nobody else writes")


def load(job: str = "job", attempt: int = 1, **other: Any) -> Load:
    names = {"project_id": "p", "bucket": "b", "workspace": "w", "file_id": "f", **other}
    return Load(job_id=job, attempt=attempt, **names)


def put(key: str, **values: object) -> Row:
    return Row(1, "people", (key,), values)


def delete(key: str) -> Row:
    return Row(1, "people", (key,), None)


@pytest.fixture
def sink(database_url: str) -> Iterator[Sink]:
    state = open_state("postgresql://nobody@nowhere/none")
    made = open_sink(database_url, state)
    yield made
    made.close()


def begin(sink: Sink, of: Load) -> Counts | None:
    return sink.begin(of.job_id, of.attempt, never)


def write(sink: Sink, rows, of: Load | None = None, **hooks) -> Counts:
    of = of or load()
    assert begin(sink, of) is None
    return finish(sink, rows, of, **hooks)


def finish(sink: Sink, rows, of: Load, wait=never, check=lambda: None) -> Counts:
    return sink.write(of, rows, lambda: NOW, wait, check)


def stored(sink: Sink) -> dict[str, object]:
    with sink.engine.connect() as connection:
        found = connection.execute(select(imported_rows).order_by(imported_rows.c.key))
        return {row.key: row._mapping["values"] for row in found}


def test_rows_with_what_they_are_of(sink):
    assert write(sink, [put("1", name="Zo\u00eb", xs=[1, None])]) == Counts(1, 1, 0)
    with sink.engine.connect() as connection:
        row = connection.execute(select(imported_rows)).mappings().one()
    assert dict(row) == {
        "project_id": "p",
        "bucket": "b",
        "workspace": "w",
        "dataset": "people",
        "key": '["1"]',
        "values": {"name": "Zo\u00eb", "xs": [1, None]},
        "file_id": "f",
        "job_id": "job",
        "imported": NOW,
    }


def test_upserts_and_deletes_by_key(sink):
    write(sink, [put("1", a=1), put("2", a=2), put("3", a=3)])
    counts = write(sink, [put("2", b=5), delete("1"), delete("9")], load("second"))
    assert counts == Counts(3, 1, 2)
    assert stored(sink) == {'["2"]': {"b": 5}, '["3"]': {"a": 3}}


@pytest.mark.parametrize("distance", [0, BATCH])
def test_of_several_with_one_key_the_last_counts(sink, distance):
    between = [put(f"x{number}") for number in range(distance)]
    rows = [put("1", a=1), delete("2"), *between, put("1", a=2), put("2", a=3), delete("3")]
    assert write(sink, rows).total == 5 + distance
    found = stored(sink)
    assert (found['["1"]'], found['["2"]'], len(found)) == ({"a": 2}, {"a": 3}, 2 + distance)


def test_places_do_not_mix(sink):
    places: list[dict[str, Any]] = [
        {"project_id": "p2"},
        {"bucket": "b2"},
        {"workspace": "w2"},
        {},
    ]
    for number, place in enumerate(places):
        write(sink, [put("1", n=number), Row(1, "other", ("1",), {})], load(f"j{number}", **place))
    write(sink, [delete("1")], load("delete"))
    with sink.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(imported_rows)) == 7


@pytest.mark.parametrize("count", [1, BATCH + 1])
def test_what_breaks_leaves_nothing(sink, count):
    def rows():
        for number in range(count):
            yield put(str(number))
        raise ImportFileError(7, "no more")

    write(sink, [put("kept")], load("before"))
    with pytest.raises(ImportFileError):
        write(sink, rows())
    assert list(stored(sink)) == ['["kept"]']


def test_it_can_be_stopped_between_batches(sink):
    told = []

    def check() -> None:
        told.append(1)
        if len(told) == 2:
            raise KeyError("stop")

    rows = (put(str(number)) for number in range(3 * BATCH))
    with pytest.raises(KeyError):
        write(sink, rows, check=check)
    assert len(list(rows)) == BATCH
    assert stored(sink) == {}


def test_a_job_is_not_imported_twice(sink):
    assert write(sink, [put("1"), delete("2")]) == Counts(2, 1, 1)
    assert begin(sink, load(attempt=2)) == Counts(2, 1, 1)


def test_an_earlier_attempt_can_not_finish(sink):
    first = load(attempt=1)
    assert begin(sink, first) is None
    assert begin(sink, load(attempt=2)) is None
    with pytest.raises(SupersededError):
        finish(sink, [put("late")], first)
    assert stored(sink) == {}
    with pytest.raises(SupersededError):
        begin(sink, first)  # nor begin, and shut out the newer one
    finish(sink, [put("1")], load(attempt=2))
    with pytest.raises(SupersededError):
        finish(sink, [put("late")], first)
    assert list(stored(sink)) == ['["1"]']
    assert begin(sink, first) == Counts(1, 1, 0)


def test_a_commit_without_an_answer_may_have_happened(sink):
    def lose(connection) -> None:
        connection.exec_driver_sql("COMMIT")
        raise exc.OperationalError("COMMIT", None, Exception("the server closed the connection"))

    of = load()
    assert begin(sink, of) is None
    event.listen(sink.engine, "commit", lose)
    with pytest.raises(UnavailableError):
        finish(sink, [put("1")], of)
    event.remove(sink.engine, "commit", lose)
    assert begin(sink, load(attempt=2)) == Counts(1, 1, 0)


def test_many_write_at_once(sink):
    failures: list[Exception] = []

    def one(number: int) -> None:
        of = load(f"job {number}", workspace=f"w{number}")
        try:
            assert sink.begin(of.job_id, 1, pause) is None
            finish(sink, [put("1"), put("2")], of, pause)
        except Exception as error:
            failures.append(error)

    pause = functools.partial(threading.Event().wait, 0.001)
    threads = [threading.Thread(target=one, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert failures == []
    with sink.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(imported_rows)) == 60


def test_a_host_that_vanishes_keeps_no_lock(sink):
    """PostgreSQL is told to look after the connection; SQLite's locks end with the process."""
    sent: list[str] = []
    event.listen(sink.engine, "before_cursor_execute", lambda *call: sent.append(call[2]))
    write(sink, [put("1")])
    told = any("SET LOCAL tcp_keepalives_idle" in statement for statement in sent)
    assert told == (sink.engine.dialect.name == "postgresql")


def test_one_waits_for_another(sink):
    """The second begins its work when the first has ended, whatever the database."""
    begun, go, waiting = threading.Event(), threading.Event(), threading.Event()

    def slow():
        yield put("1", by="first")
        begun.set()
        assert go.wait(PATIENCE)
        yield put("2", by="first")

    def wait() -> None:
        waiting.set()
        go.wait(0.01)

    first = threading.Thread(target=write, args=(sink, slow()))
    second_load = load("second")
    assert begin(sink, second_load) is None
    first.start()
    assert begun.wait(PATIENCE)
    second = threading.Thread(
        target=finish,
        args=(sink, [put("2", by="second"), put("1", by="second")], second_load, wait),
    )
    second.start()
    assert waiting.wait(PATIENCE)
    assert stored(sink) == {}  # a reader waits for nobody
    go.set()
    first.join(PATIENCE)
    second.join(PATIENCE)
    assert stored(sink) == {'["1"]': {"by": "second"}, '["2"]': {"by": "second"}}


def test_who_waits_may_give_up(sink):
    release = threading.Event()
    begun = threading.Event()

    def rows():
        yield put("1")
        begun.set()
        assert release.wait(PATIENCE)

    def give_up() -> None:
        raise KeyError("stop")

    second = load("second")
    assert begin(sink, second) is None
    writer = threading.Thread(target=write, args=(sink, rows()))
    writer.start()
    assert begun.wait(PATIENCE)
    with pytest.raises(KeyError):
        finish(sink, [put("2")], second, give_up)
    release.set()
    writer.join(PATIENCE)
    assert list(stored(sink)) == ['["1"]']


def test_tables_are_made_by_several_at_once(database_url):
    state = open_state("postgresql://nobody@nowhere/none")
    sinks = [open_sink(database_url, state) for _ in range(6)]
    failures: list[Exception] = []

    def prepare(sink: Sink) -> None:
        try:
            sink.prepare()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=prepare, args=(sink,)) for sink in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for sink in sinks:
        sink.close()
    assert failures == []


@pytest.mark.parametrize("key", [(), ("k" * 1000,), tuple("abc" * 100)])
def test_keys_that_can_not_be(sink, key):
    with pytest.raises(ImportFileError, match="line 3: the key"):
        write(sink, [Row(3, "people", key, {})])


def test_keys_at_the_limit_in_the_longest_names(sink):
    name = "\U0001f34e" * 128  # four bytes each, and no two alike for a database to compress
    long = "".join(chr(0x10000 + number * 37) for number in range(128))
    of = load(bucket="b" * 128, workspace=long)
    assert write(sink, [Row(1, name, ("\u00eb" * 498,), {})], of).total == 1


def test_a_value_that_the_database_refuses(sink):
    if sink.engine.dialect.name == "sqlite":  # it takes whatever JSON can write
        assert write(sink, [put("1", text="\0")]).ok == 1
        return
    with pytest.raises(InvalidRequestError):
        write(sink, [put("1", text="\0")])
    assert stored(sink) == {}


def test_default_place(tmp_path):
    state = open_state(f"sqlite:///{tmp_path / 'a folder' / 'state.db'}")
    with closing(open_sink("", state)) as beside:
        beside.prepare()
        assert (tmp_path / "a folder" / "imported.db").stat().st_mode & 0o077 == 0
    with closing(open_sink(f"sqlite:///{tmp_path / 'other.db'}", state)) as other:
        other.prepare()
        assert (tmp_path / "other.db").exists()
    with pytest.raises(ConfigError):
        open_sink("mysql://x/y", state)
    for taken in ("state.db", "queue.db", "../a folder/state.db"):
        with pytest.raises(ConfigError, match="the gateway's own SQLite file"):
            open_sink(f"sqlite:///{tmp_path / 'a folder' / taken}", state)
    state.close()
    server = open_state("postgresql://me@db.example/state?password=secret")
    with closing(open_sink("", server)) as shared:
        assert shared.engine.url == server.engine.url
        assert shared.engine.pool is not server.engine.pool
        assert "secret" not in repr(shared)
    server.close()
