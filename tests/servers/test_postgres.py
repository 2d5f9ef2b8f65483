"""PostgreSQL as the tests have it: new databases, a password, nothing left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import sqlalchemy

from tests.servers import Server
from tests.servers import postgres as postgresql
from tests.servers.fixtures import serve
from tests.servers.test_servers import alive, foreground, told, wait_until_gone
from tests.waiting import PATIENCE


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def value(url: str, query: bytes) -> object:
    with connected(url) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def test_it_answers_and_stops_with_clients_connected():
    with postgresql.start() as server:
        (pid,) = server.pids
        folder = server.logs[0].parent
        held = psycopg.connect(server.endpoint)
        row = held.execute("SHOW server_version").fetchone()
        assert row is not None
        assert row[0].split()[0] == server.version
        if os.geteuid() == 0:
            assert os.stat(f"/proc/{pid}").st_uid != 0
    assert not alive(pid)
    assert not folder.exists()
    with pytest.raises(psycopg.OperationalError):
        held.execute("SELECT 1")
    held.close()


def test_no_one_enters_without_the_password(postgres: Server):
    address = urlsplit(postgres.endpoint)
    for user in (postgresql.USER, f"{postgresql.USER}:wrong"):
        url = f"postgresql://{user}@127.0.0.1:{address.port}/postgres"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url)


def test_databases_are_new_apart_and_dropped_with_clients_connected(postgres: Server):
    with postgresql.database(postgres) as one, postgresql.database(postgres) as other:
        with connected(one) as connection:
            connection.execute("CREATE TABLE fruit (name text)")
        assert value(one, b"SELECT count(*) FROM fruit") == 0
        with pytest.raises(psycopg.errors.UndefinedTable):
            value(other, b"SELECT count(*) FROM fruit")
        held = psycopg.connect(other)
    held.close()
    for url in (one, other):
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            psycopg.connect(url)


def test_times_without_a_zone_show(postgres: Server):
    assert value(postgres.endpoint, b"SHOW timezone") == postgresql.SETTINGS["timezone"]


def test_the_fixture_gives_an_empty_database_of_either_kind(database_url: str):
    engine = sqlalchemy.create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []
        connection.exec_driver_sql("CREATE TABLE fruit (name text)")
    engine.dispose()


def test_in_the_foreground_it_prints_a_setting_that_works_and_dies_with_its_owner():
    with foreground("postgres") as process:
        pids, settings = told(process, "database")
        assert value(settings["gateway"]["database"], b"SELECT 1") == 1
        process.kill()
        process.wait(PATIENCE)
        wait_until_gone(pids)


def test_it_may_be_killed_by_a_test():
    with postgresql.start() as server:
        os.kill(server.pids[0], signal.SIGKILL)
        os.waitpid(server.pids[0], 0)


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_where_it_is_missing_tests_skip_but_fail_continuous_integration(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(postgresql, "_programs", lambda: Path("/nowhere"))
    with pytest.raises(outcome, match="initdb, postgres not found: apt-get install postgresql"):
        next(serve("postgres"))
