"""Projects share nothing: every function is called in one project beside another that has the
same, every statement it sends is looked at, and the other's rows are compared before and after.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import event, insert, select

import storage_core
from storage_core import access
from storage_core.access import (
    audit,
    buckets,
    credentials,
    policies,
    principals,
    projects,
    setup,
)
from storage_core.access.model import Principal, Project
from storage_core.access.policy import EVERYTHING
from storage_core.errors import StorageError
from storage_core.state import State, new_id, tables

SCOPED = frozenset(table.name for table in tables.metadata.sorted_tables) - {"projects"}

# Pure, or of one connection: the latter are steps of functions that are called here.
WITHOUT_STATE = frozenset(("storage_core.access.model", "storage_core.access.policy"))

# These are asked by an id that came in a token or a link, and tell whose it is.
BY_ID = frozenset((credentials.authenticate, credentials.actor_of, buckets.by_id))


@dataclass(frozen=True)
class Tenant:
    """A project with one of everything, under the same names as in every other."""

    project: Project
    alice: Principal
    credential_id: str
    token: str
    bucket: buckets.LogicalBucket


@dataclass(frozen=True)
class World:
    """What a call is given: the state, a storage, and whose it is."""

    state: State
    storage: storage_core.Storage
    its: Tenant

    @property
    def project_id(self) -> str:
        return self.its.project.id


def _create_and_delete(world: World, name: str) -> buckets.LogicalBucket:
    """A project with buckets can not be deleted, which comes last."""
    bucket = buckets.create(world.state, world.storage, world.project_id, name)
    buckets.delete(world.state, world.storage, bucket)
    return bucket


# Each public function that works on the state: a call of it in the project `world.its`. In the
# order of their running, so that those that delete come last.
CALLS: dict[Callable[..., Any], Callable[[World], Any]] = {
    projects.create: lambda w: projects.create(w.state, "third"),
    projects.by_name: lambda w: projects.by_name(w.state, w.its.project.name),
    projects.list_projects: lambda w: projects.list_projects(w.state),
    setup.first_start: lambda w: setup.first_start(w.state),
    principals.create: lambda w: principals.create(w.state, w.project_id, "bob"),
    principals.by_name: lambda w: principals.by_name(w.state, w.project_id, "alice"),
    principals.list_principals: lambda w: principals.list_principals(w.state, w.project_id),
    principals.set_active: lambda w: principals.set_active(
        w.state, w.project_id, w.its.alice.id, active=True
    ),
    credentials.issue: lambda w: credentials.issue(w.state, w.its.alice)[0],
    credentials.authenticate: lambda w: credentials.authenticate(w.state, w.its.token),
    credentials.actor_of: lambda w: credentials.actor_of(w.state, w.its.credential_id),
    credentials.list_credentials: lambda w: [
        *credentials.list_credentials(w.state, w.project_id),
        *credentials.list_credentials(w.state, w.project_id, w.its.alice.id),
    ],
    credentials.revoke: lambda w: credentials.revoke(w.state, w.project_id, w.its.credential_id),
    policies.put: lambda w: [
        policies.put(w.state, w.project_id, "p", {"rule": []}),
        policies.put(w.state, w.project_id, "q", EVERYTHING),
    ],
    policies.get: lambda w: policies.get(w.state, w.project_id, "p"),
    policies.list_policies: lambda w: policies.list_policies(w.state, w.project_id),
    policies.attach: lambda w: policies.attach(w.state, w.its.alice, "q"),
    policies.attachments: lambda w: policies.attachments(w.state, w.project_id),
    policies.detach: lambda w: policies.detach(w.state, w.its.alice, "q"),
    policies.delete_policy: lambda w: policies.delete_policy(w.state, w.project_id, "q"),
    audit.event: lambda w: audit.event(w.state, w.project_id, "a", "b"),
    audit.record: lambda w: audit.record(w.state, [audit.event(w.state, w.project_id, "a", "b")]),
    audit.list_events: lambda w: [
        *audit.list_events(w.state, w.project_id),
        *audit.list_events(w.state, w.project_id, before=new_id()),
    ],
    buckets.create: lambda w: _create_and_delete(w, "vegetables"),
    buckets.get: lambda w: buckets.get(w.state, w.project_id, "fruit"),
    buckets.by_id: lambda w: buckets.by_id(w.state, w.its.bucket.id),
    buckets.list_buckets: lambda w: buckets.list_buckets(w.state, w.project_id),
    buckets.list_stages: lambda w: buckets.list_stages(w.state, w.project_id),
    buckets.deletable: lambda w: buckets.deletable(w.state, w.project_id, "fruit"),
    buckets.delete: lambda w: buckets.delete(
        w.state, w.storage, buckets.deletable(w.state, w.project_id, "fruit")
    ),
    principals.delete_principal: lambda w: principals.delete_principal(
        w.state, w.project_id, w.its.alice.id
    ),
    projects.delete_project: lambda w: projects.delete_project(w.state, w.project_id),
}

# The same coroutine as the function beside it.
SAME = frozenset((buckets.create_async, buckets.delete_async))

# What is meant for all projects.
ACROSS = frozenset((audit.prune,))


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[storage_core.Storage]:
    settings = {"driver": "local", "root": str(tmp_path / "objects"), "fsync": False}
    with storage_core.open(config=settings) as storage:
        yield storage


def tenant(state: State, storage: storage_core.Storage, name: str) -> Tenant:
    project = projects.create(state, name)
    alice = principals.create(state, project.id, "alice")
    credential, token = credentials.issue(state, alice)
    policies.put(state, project.id, "p", EVERYTHING)
    policies.attach(state, alice, "p")
    audit.record(state, [audit.event(state, project.id, "a", "b")])
    bucket = buckets.create(state, storage, project.id, "fruit")
    with state.write() as connection:
        moment = state.now()
        file = {column.name: "x" for column in tables.files.c}
        file |= {"id": new_id(), "project_id": project.id, "bucket_id": bucket.id}
        connection.execute(insert(tables.files), file | {"created": moment, "link_expires": moment})
        job = {"id": new_id(), "project_id": project.id, "file_id": file["id"], "size": 1}
        job |= dict.fromkeys(("action_id", "file_type", "description", "etag"), "x")
        job |= {"state": "queued", "submitted": moment}
        connection.execute(insert(tables.import_jobs), job)
    return Tenant(project, alice, credential.id, token, bucket)


@pytest.fixture
def world(state: State, storage: storage_core.Storage) -> World:
    return World(state, storage, tenant(state, storage, "one"))


@pytest.fixture
def other(world: World) -> Tenant:
    return tenant(world.state, world.storage, "two")


def rows_of(state: State, project_id: str) -> dict[str, list[tuple[Any, ...]]]:
    with state.read() as connection:
        return {
            table.name: sorted(
                map(tuple, connection.execute(select(table).where(own == project_id))), key=repr
            )
            for table in tables.metadata.sorted_tables
            for own in [table.c.id if table is tables.projects else table.c.project_id]
        }


# -- what is sent ------------------------------------------------------------------

_TABLE = re.compile(r"\b(?:FROM|JOIN|UPDATE|,)\s+(\w+)")
_BOUND = re.compile(r"\b(\w+)\.project_id = (?:\?|:\w+|%\(\w+\)s)")
_BY_ID = re.compile(r"\b(\w+)\.id = (?:\?|:\w+|%\(\w+\)s)")
_EQUAL = re.compile(r"\b(\w+)\.project_id = (\w+)\.project_id\b")


def unscoped(statement: str, *, by_id: bool = False) -> set[str]:
    """The scoped tables that a statement reads or changes without holding their rows to one
    project: each has to be compared to a value, or to a table that is.

    Args:
        statement: What is sent.
        by_id: Whether one table may be held by the id of its row, which is of one project.
    """
    body = " ".join(statement.split())
    if not body.startswith(("SELECT", "UPDATE", "DELETE")):
        return set()
    named = {name for name in _TABLE.findall(body) if name in SCOPED}
    # What follows the columns that are asked for, or that are set.
    conditions = re.split(r"\b(?:FROM|WHERE)\b", body, maxsplit=1)[-1]
    held = set(_BOUND.findall(conditions))
    if by_id:
        held |= set(_BY_ID.findall(conditions))
    pairs = _EQUAL.findall(conditions)
    for _ in pairs:
        for one, two in pairs:
            if {one, two} & held:
                held |= {one, two}
    return named - held


@contextmanager
def statements(state: State) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(state.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(state.engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT files.id FROM files", {"files"}),
        ("SELECT files.project_id FROM files WHERE files.id = ?", {"files"}),
        ("SELECT 1 FROM files WHERE files.project_id = ? AND files.id = ?", set()),
        ("SELECT 1 FROM files WHERE files.project_id = %(project_id_1)s", set()),
        ("UPDATE files SET project_id=? WHERE files.id = ?", {"files"}),
        ("DELETE FROM files", {"files"}),
        ("DELETE FROM files WHERE files.project_id = ?", set()),
        ("SELECT 1 FROM files, buckets WHERE files.project_id = ?", {"buckets"}),
        (
            """SELECT 1 FROM files JOIN buckets ON buckets.project_id = files.project_id
            WHERE files.project_id = :p""",
            set(),
        ),
        (
            "SELECT 1 FROM files JOIN buckets ON buckets.project_id = files.project_id",
            {"files", "buckets"},
        ),
        ("SELECT projects.id FROM projects", set()),
        ("INSERT INTO files (id) VALUES (?)", set()),
    ],
)
def test_a_statement_without_its_project_is_seen(statement: str, found: set[str]):
    assert unscoped(statement) == found


def test_an_id_holds_one_table_and_what_is_joined_within_its_project():
    by_id = "SELECT 1 FROM files JOIN buckets ON {} WHERE files.id = ?"
    within = by_id.format("buckets.project_id = files.project_id AND buckets.id = files.bucket_id")
    across = by_id.format("buckets.id = files.bucket_id")
    assert unscoped(within) == unscoped(across) == {"files", "buckets"}
    assert unscoped(within, by_id=True) == set()
    assert unscoped(across, by_id=True) == {"buckets"}


# -- every function -----------------------------------------------------------------


def public_functions() -> set[Callable[..., Any]]:
    """Those of all modules of the package that take the state."""
    found: set[Callable[..., Any]] = set()
    for info in pkgutil.walk_packages(access.__path__, f"{access.__name__}."):
        module: ModuleType = importlib.import_module(info.name)
        for name, value in inspect.getmembers(module, inspect.isfunction):
            first = next(iter(inspect.signature(value).parameters), "")
            own = value.__module__ == module.__name__
            if own and not name.startswith("_") and first == "state":
                found.add(value)
    return found


def test_all_functions_are_called():
    assert public_functions() - SAME - ACROSS == CALLS.keys()


def test_every_function_stays_in_its_project(world: World, other: Tenant):
    theirs = rows_of(world.state, other.project.id)
    assert all(theirs[name] for name in SCOPED)
    foreign = {str(value) for rows in theirs.values() for row in rows for value in row[:1]}
    for function, call in CALLS.items():
        with statements(world.state) as sent:
            result = call(world)
        by_id = function in BY_ID
        loose = [statement for statement in sent if unscoped(statement, by_id=by_id)]
        assert loose == [], function
        if function is not projects.list_projects:
            assert not [value for value in foreign if value in repr(result)], function
        assert rows_of(world.state, other.project.id) == theirs, function


def test_what_is_anothers_is_not_there(world: World, other: Tenant):
    """Ids and names of one project, used in the other."""
    state, mine, theirs = world.state, world.project_id, other
    stranger = Principal(
        theirs.alice.id, mine, "alice", "user", active=True, created=theirs.alice.created
    )
    policies.put(state, theirs.project.id, "theirs", EVERYTHING)
    principals.create(state, theirs.project.id, "their-bob")
    before = rows_of(state, theirs.project.id)
    for use in (
        lambda: principals.by_name(state, mine, "their-bob"),
        lambda: principals.set_active(state, mine, theirs.alice.id, active=False),
        lambda: principals.delete_principal(state, mine, theirs.alice.id),
        lambda: credentials.issue(state, stranger),
        lambda: credentials.revoke(state, mine, theirs.credential_id),
        lambda: policies.get(state, mine, "theirs"),
        lambda: policies.delete_policy(state, mine, "theirs"),
        lambda: policies.attach(state, stranger, "p"),
        lambda: policies.attach(state, world.its.alice, "theirs"),
        lambda: policies.detach(state, world.its.alice, "theirs"),
    ):
        with pytest.raises(StorageError):
            use()
    policies.detach(state, stranger, "p")
    assert credentials.list_credentials(state, mine, theirs.alice.id) == []
    assert rows_of(state, theirs.project.id) == before
    assert credentials.authenticate(state, theirs.token).project_id == theirs.project.id


def test_the_database_itself_refuses_a_row_across_projects(world: World, other: Tenant):
    """A reference to another project's row fails, whatever the code above forgets."""
    state = world.state
    for table in tables.metadata.sorted_tables:
        for key in table.foreign_key_constraints:
            if key.referred_table is tables.projects:
                continue
            with state.read() as connection:
                own = select(table).where(table.c.project_id == world.project_id)
                row = dict(connection.execute(own).mappings().first() or {})
                parent = connection.scalar(
                    select(key.referred_table.c.id).where(
                        key.referred_table.c.project_id == other.project.id
                    )
                )
            (column,) = (c for c in key.column_keys if c != "project_id")
            row[column] = parent
            if "id" in row:
                row["id"] = new_id()
            with (
                pytest.raises(StorageError, match=r"(?i)foreign key"),
                state.write() as connection,
            ):
                connection.execute(insert(table), row)
