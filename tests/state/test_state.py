"""Opening a database, transactions, moments, and what becomes of failures."""

import logging
import os
import socket
import stat
import subprocess
import sys
import threading
import traceback
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import func, insert, make_url, select, text

from storage_core.errors import (
    ConfigError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from storage_core.state import State, new_id, on_conflict, open_state
from storage_core.state.tables import files, projects
from tests.waiting import PATIENCE

PASSWORD = "pass-that-nobody-may-see"
NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)


def add(state: State, name: str, created: datetime = NOON) -> str:
    project_id = new_id()
    with state.write() as connection:
        connection.execute(insert(projects).values(id=project_id, name=name, created=created))
    return project_id


def names(state: State) -> list[str]:
    with state.read() as connection:
        return list(connection.scalars(select(projects.c.name).order_by(projects.c.name)))


# -- URLs ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "state.db",
        "/var/lib/state.db",
        f"mysql://u:{PASSWORD}@h/d",
        f"postgresql+asyncpg://u:{PASSWORD}@h/d",
        f"postgresql://u:{PASSWORD}@h:port/d",
        "sqlite://",
        "sqlite:///:memory:",
        f"sqlite:///state.db?key={PASSWORD}",
    ],
)
def test_a_wrong_url_is_refused_and_not_repeated(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="database") as caught:
        open_state(url)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
@pytest.mark.parametrize("place", ["{}:{}@127.0.0.1:{}/d", "127.0.0.1:{2}/d?user={0}&password={1}"])
def test_a_password_is_nowhere_to_be_seen(
    scheme: str, place: str, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.DEBUG), socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens there
        port = taken.getsockname()[1]
        state = open_state(f"{scheme}://{place.format('somebody', PASSWORD, port)}")
        with pytest.raises(UnavailableError) as caught:
            state.check()
    shown = [repr(state), state.place, repr(state.engine), repr(state.engine.url), caplog.text]
    shown += [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
    assert PASSWORD not in "".join(shown)
    assert state.place == f"database postgresql://127.0.0.1:{port}/d"


@pytest.mark.parametrize("module", ["sqlalchemy", "alembic", "psycopg"])
def test_a_missing_extra_is_named(module: str, tmp_path: Path):
    program = f"""
import sys
sys.modules[{module!r}] = None
from storage_core.errors import ConfigError
try:
    from storage_core.state import open_state
    if {module!r} == "psycopg":
        open_state("postgresql://h/d")
    open_state("sqlite:///state.db").migrate()
except ConfigError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    extra = "gateway,postgresql" if module == "psycopg" else "gateway"
    assert f"needs {module}; run: pip install 'storage-core[{extra}]'" in done.stdout


# -- SQLite files ----------------------------------------------------------------


def test_file_and_folder_are_their_owners_alone(tmp_path: Path):
    state = open_state(f"sqlite:///{tmp_path}/new/folder/state.db")
    state.migrate()
    folder = tmp_path / "new" / "folder"
    assert sorted(os.listdir(folder)) == ["state.db", "state.db-shm", "state.db-wal"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    state.close()


def test_modes_of_what_exists_are_left(tmp_path: Path):
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o750)
    (folder / "state.db").touch(mode=0o640)
    state = open_state(f"sqlite:///{folder}/state.db")
    state.migrate()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert stat.S_IMODE((folder / "state.db").stat().st_mode) == 0o640
    state.close()


def test_to_open_it_again_drops_no_lock(tmp_path: Path):
    """A process that closes a file loses its locks on it, whoever took them: another one would
    take itself for the last user then, and clear away the log that this one still writes to."""
    url = f"sqlite:///{tmp_path}/state.db"
    state = open_state(url)
    state.migrate()
    add(state, "here")
    with state.read() as connection:
        connection.execute(select(projects.c.name)).all()
        open_state(url).close()
        other = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        other += "c.execute('DELETE FROM projects'); c.commit(); c.close()"
        subprocess.run([sys.executable, "-c", other, tmp_path / "state.db"], check=True)
        assert (tmp_path / "state.db-wal").exists()
    assert names(state) == []
    state.close()
    assert not (tmp_path / "state.db-wal").exists()


def test_a_relative_path_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    state = open_state("sqlite:///state.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    state.migrate()
    state.check()
    assert os.listdir() == []
    state.close()


def test_a_place_that_can_not_be_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/state\.db"):
        open_state(f"sqlite:///{tmp_path}/file/state.db")
    with pytest.raises(ConfigError, match=r"state\.db"):
        open_state(f"sqlite:///{tmp_path}/a\0b/state.db")


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    (tmp_path / "state.db").write_text("no database, but text of some length " * 100)
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    for use in (state.check, state.migrate):
        with pytest.raises(ConfigError, match="not a database"):
            use()


def test_sqlite_keeps_what_was_acknowledged(tmp_path: Path):
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    state.migrate()
    with state.read() as connection:
        asked = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert asked == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }
    state.close()


# -- transactions ------------------------------------------------------------------


def test_a_transaction_is_all_or_nothing(state: State):
    def fail() -> None:
        with state.write() as connection:
            connection.execute(insert(projects).values(id=new_id(), name="a", created=NOON))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert names(state) == []
    add(state, "a")
    assert names(state) == ["a"]


def test_many_writers_lose_nothing(state: State):
    """Each reads and writes back what it read; on SQLite they wait for each other from the
    beginning, on PostgreSQL the row is locked."""
    add(state, "0")

    def count(_: int) -> None:
        for _ in range(10):
            with state.write() as connection:
                row = connection.execute(select(projects.c.name).with_for_update()).one()
                connection.execute(projects.update().values(name=str(int(row.name) + 1)))

    threads = [threading.Thread(target=count, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert names(state) == ["80"]


def test_a_reader_does_not_wait_for_a_writer(state: State):
    add(state, "before")
    with state.write() as connection:
        connection.execute(projects.update().values(name="after"))
        assert names(state) == ["before"]
    assert names(state) == ["after"]


def test_a_conflict_is_the_callers_error(state: State):
    add(state, "a")
    with (
        pytest.raises(ConflictError, match="a project like that"),
        state.write() as connection,
        on_conflict(ConflictError("a project like that")),
    ):
        connection.execute(insert(projects).values(id=new_id(), name="a", created=NOON))
    with pytest.raises(ConflictError, match="database"):
        add(state, "a")
    assert names(state) == ["a"]


def test_other_refusals_are_not_taken_for_a_conflict(state: State):
    values = {column.name: "" for column in files.c} | {"created": NOON, "link_expires": NOON}
    with (
        pytest.raises(ConflictError, match=r"(?i)foreign key"),
        state.write() as connection,
        on_conflict(NotFoundError("another error")),
    ):
        connection.execute(insert(files).values(values))


def test_names_sort_by_their_bytes(state: State):
    for name in ("b", "B", "a", "A", "a-", "a1", "aa", "1", "_"):
        add(state, name)
    assert names(state) == sorted(names(state), key=str.encode)


# -- moments -----------------------------------------------------------------------


def test_moments_come_back_in_utc(state: State):
    given = datetime(2024, 7, 1, 1, 2, 3, 456789, timezone(timedelta(hours=12, minutes=45)))
    add(state, "a", given)
    with state.read() as connection:
        found = connection.scalar(select(projects.c.created))
        earlier = connection.scalar(
            select(func.count()).where(projects.c.created < given + timedelta(microseconds=1))
        )
    assert found is not None
    assert found == given
    assert found.tzinfo is UTC
    assert earlier == 1


def test_a_moment_without_a_zone_is_refused(state: State):
    with pytest.raises(StorageError):
        add(state, "a", datetime(2024, 7, 1))  # noqa: DTZ001
    assert names(state) == []


def test_the_clock_can_be_given(tmp_path: Path):
    local = NOON.astimezone(timezone(timedelta(hours=-3)))
    state = open_state(f"sqlite:///{tmp_path}/state.db", now=lambda: local)
    assert state.now() == NOON
    assert state.now().tzinfo is UTC


# -- failures ------------------------------------------------------------------------


def test_values_are_in_no_error_and_no_log(state: State, caplog: pytest.LogCaptureFixture):
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(StorageError) as caught,
        state.write() as connection,
    ):
        connection.execute(text("SELECT :x FROM nowhere"), {"x": PASSWORD})
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert PASSWORD not in shown
    assert "nowhere" in shown


def test_text_that_can_not_be_stored(postgresql_url: str):
    state = open_state(postgresql_url)
    state.migrate()
    with pytest.raises(InvalidRequestError, match="NUL"):
        add(state, "a\0b")
    state.close()


def test_a_server_that_drops_us_is_asked_again(postgresql_url: str):
    state, other = open_state(postgresql_url), open_state(postgresql_url)
    state.migrate()
    with other.write() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    assert names(state) == []  # the pool looks before it hands out
    with pytest.raises(UnavailableError), state.read() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert names(state) == []
    state.close()
    other.close()


@pytest.mark.parametrize("part", ["password", "database"])
def test_a_server_that_refuses_us_says_why(part: str, postgresql_url: str):
    right = make_url(postgresql_url)
    wrong = right.set(password=PASSWORD) if part == "password" else right.set(database=PASSWORD)
    other = open_state(wrong.render_as_string(hide_password=False))
    with pytest.raises(UnavailableError, match="FATAL") as caught:
        other.check()
    assert part == "database" or PASSWORD not in "".join(traceback.format_exception(caught.value))
