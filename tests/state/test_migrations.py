"""The migrations: what they make, and who may run them when."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, inspect, text, update

from storage_core.errors import ConfigError
from storage_core.state import State, tables
from storage_core.state.schema import _VERSION, SCRIPTS, VERSIONS
from tests.waiting import PATIENCE

PROCESSES = 3

# Says that it is there, waits for a line, and starts as a gateway does.
START = """
import sys
from storage_core.access.setup import first_start
from storage_core.state import open_state
print("ready", flush=True)
sys.stdin.readline()
state = open_state(sys.argv[1])
state.migrate()
state.check()
print(first_start(state))
"""


# -- what they make -------------------------------------------------------------


def test_all_migrations_are_known_by_name():
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    revisions = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(script.revision for script in revisions)[::-1] == VERSIONS


def test_they_make_the_tables(fresh: State):
    with fresh.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, tables.metadata) == []


def test_they_make_them_to_the_letter(fresh: State):
    """What Alembic does not compare as well: checks, collations, partial indexes, cascades."""
    with fresh.write() as connection:
        migrated = definitions(connection)
        for table in reversed(tables.metadata.sorted_tables):
            table.drop(connection)
        assert definitions(connection) == set()
        tables.metadata.create_all(connection)
        assert migrated == definitions(connection)


def definitions(connection: Connection) -> set[tuple[str, ...]]:
    """Everything in the database, as the database itself describes it."""
    if connection.dialect.name == "sqlite":
        made = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master")
        # Alembic writes the columns of a table apart from its constraints, in the same order.
        return {
            (name, re.sub(r"\s+", " ", sql or "")) for name, sql in made if "alembic" not in name
        }
    queries = (
        """SELECT table_name, column_name, ordinal_position, data_type, collation_name,
        is_nullable, column_default, character_maximum_length FROM information_schema.columns
        WHERE table_schema = 'public'""",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace""",
    )
    rows = (row for query in queries for row in connection.exec_driver_sql(query))
    return {tuple(map(str, row)) for row in rows if "alembic" not in row[0]}


def test_every_row_belongs_to_a_project():
    for table in tables.metadata.sorted_tables:
        if table is tables.projects:
            continue
        assert not table.c.project_id.nullable
        for key in table.foreign_key_constraints:
            pairs = {(e.parent.name, e.column.name) for e in key.elements}
            own = "id" if key.referred_table is tables.projects else "project_id"
            assert ("project_id", own) in pairs, key


def test_at_most_one_import_is_under_way(fresh: State):
    (index,) = [i for i in tables.import_jobs.indexes if i.name == "uq_import_jobs_active"]
    with fresh.read() as connection:
        (found,) = [
            item
            for item in inspect(connection).get_indexes("import_jobs")
            if item["name"] == index.name
        ]
    assert found["unique"]
    assert found["column_names"] == ["project_id", "file_id", "action_id"]


# -- running them -----------------------------------------------------------------


def test_to_run_them_again_changes_nothing(fresh: State):
    with fresh.read() as connection:
        before = definitions(connection)
    fresh.migrate()
    with fresh.read() as connection:
        assert definitions(connection) == before


def test_a_start_with_nothing_to_do_does_not_write(fresh: State):
    statements: list[str] = []

    def note(_connection, _cursor, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(fresh.engine, "before_cursor_execute", note)
    fresh.migrate()
    fresh.check()
    verbs = {statement.split()[0] for statement in statements}
    assert verbs <= {"SELECT", "PRAGMA", "BEGIN"}
    assert not any("BEGIN IMMEDIATE" in statement for statement in statements)


def test_an_empty_database_is_not_ready(empty: State):
    with pytest.raises(ConfigError, match="not set up"):
        empty.check()
    empty.migrate()
    empty.check()


def test_a_newer_database_is_refused(fresh: State):
    with fresh.write() as connection:
        connection.execute(update(_VERSION).values(version_num="9999"))
        before = definitions(connection)
    for use in (fresh.check, fresh.migrate):
        with pytest.raises(ConfigError, match=r"schema 9999.*newer"):
            use()
    with fresh.read() as connection:
        assert definitions(connection) == before


def test_one_that_fails_leaves_nothing_behind(empty: State):
    with failing_at(empty, "CREATE TABLE import_jobs"), pytest.raises(LookupError):
        empty.migrate()
    with empty.read() as connection:
        assert definitions(connection) == set()
    empty.migrate()
    empty.check()


@contextmanager
def failing_at(state: State, beginning: str) -> Iterator[None]:
    def fail(_connection, _cursor, statement: str, *_: object) -> None:
        if statement.strip().startswith(beginning):
            raise LookupError

    event.listen(state.engine, "before_cursor_execute", fail)
    yield
    event.remove(state.engine, "before_cursor_execute", fail)


def test_processes_that_start_at_once_all_succeed(database_url: str):
    """On an empty database, and one of them alone makes the administrator."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", START, database_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        tokens = [process.communicate(timeout=PATIENCE)[0].strip() for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert [process.returncode for process in started] == [0] * PROCESSES
    assert sorted(token.split("_")[0] for token in tokens) == ["None"] * (PROCESSES - 1) + ["sc"]


def test_one_killed_on_the_way_is_made_up_for(database_url: str, empty: State):
    """kill -9 in the middle of the first migration, once the half of it is done."""
    program = """
import os, signal, sys
from sqlalchemy import event
from storage_core.state import open_state
state = open_state(sys.argv[1])
def kill(connection, cursor, statement, *_):
    if "CREATE TABLE files" in statement:
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(state.engine, "before_cursor_execute", kill)
state.migrate()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, database_url], check=False, timeout=PATIENCE
    )
    assert done.returncode == -9
    empty.migrate()
    empty.check()
    with empty.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM files")) == 0
