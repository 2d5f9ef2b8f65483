"""Projects, principals, policies, the audit trail and the first start."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select

from storage_core.access import audit, credentials, policies, principals, projects, setup
from storage_core.access.model import AuditEvent, Principal, Project
from storage_core.access.policy import EVERYTHING
from storage_core.errors import ConflictError, InvalidRequestError, NotFoundError
from storage_core.state import State, new_id
from storage_core.state.tables import buckets, metadata
from tests.access.conftest import Clock

NAMES = ["a", "A", "0", "alice@example.org", "a" * 128, "a+b-c.d_e"]
WRONG_NAMES = ["", " ", "-a", ".a", "a b", "a/b", "a" * 129, "ä", "a\n", "a\0", "\ud800", "a'b"]


# -- projects ----------------------------------------------------------------------


def test_names(state: State):
    for name in NAMES:
        made = projects.create(state, name)
        assert projects.by_name(state, name) == made
        user = principals.create(state, made.id, name)
        assert principals.by_name(state, made.id, name) == user
        stored = policies.put(state, made.id, name, EVERYTHING)
        assert policies.get(state, made.id, name) == stored


def test_wrong_names(state: State, project: Project):
    for name in WRONG_NAMES:
        for use in (
            lambda name: projects.create(state, name),
            lambda name: projects.by_name(state, name),
            lambda name: principals.create(state, project.id, name),
            lambda name: principals.by_name(state, project.id, name),
            lambda name: policies.put(state, project.id, name, EVERYTHING),
            lambda name: policies.get(state, project.id, name),
        ):
            with pytest.raises(InvalidRequestError, match="can not name"):
                use(name)


def test_projects_are_made_listed_and_deleted(state: State, clock: Clock):
    made = [projects.create(state, name) for name in ("b", "a", "B")]
    assert {item.created for item in made} == {clock()}
    assert [item.name for item in projects.list_projects(state)] == ["B", "a", "b"]
    with pytest.raises(ConflictError, match="'a' exists"):
        projects.create(state, "a")
    projects.delete_project(state, made[1].id)
    assert [item.name for item in projects.list_projects(state)] == ["B", "b"]
    for use in (
        lambda: projects.by_name(state, "a"),
        lambda: projects.delete_project(state, made[1].id),
    ):
        with pytest.raises(NotFoundError):
            use()


def test_a_project_with_buckets_is_not_deleted(state: State, project: Project, alice: Principal):
    with state.write() as connection:
        connection.execute(
            insert(buckets).values(
                id=new_id(),
                project_id=project.id,
                name="fruit",
                created=state.now(),
                state="deleting",
                profile="local",
                physical="sc-x",
                prefix="",
            )
        )
    with pytest.raises(ConflictError, match="'fruit'"):
        projects.delete_project(state, project.id)
    assert principals.list_principals(state, project.id) == [alice]


def test_a_deleted_project_leaves_its_trail_alone(state: State, project: Project, alice: Principal):
    policies.put(state, project.id, "all", EVERYTHING)
    policies.attach(state, alice, "all")
    credentials.issue(state, alice)
    event = audit.event(state, project.id, "admin.user.create", "alice")
    audit.record(state, [event])
    projects.delete_project(state, project.id)
    with state.read() as connection:
        left = {
            table.name: connection.scalar(select(func.count()).select_from(table))
            for table in metadata.sorted_tables
        }
    assert {name: count for name, count in left.items() if count} == {"audit_events": 1}
    assert audit.list_events(state, project.id) == [event]


# -- principals --------------------------------------------------------------------


def test_principals_are_made_listed_and_deleted(state: State, project: Project, clock: Clock):
    bob = principals.create(state, project.id, "bob", kind="service")
    amy = principals.create(state, project.id, "amy")
    assert (bob.kind, bob.active, bob.created) == ("service", True, clock())
    assert amy.kind == "user"
    assert principals.list_principals(state, project.id) == [amy, bob]
    with pytest.raises(ConflictError, match="'bob' exists"):
        principals.create(state, project.id, "bob")
    principals.delete_principal(state, project.id, bob.id)
    assert principals.list_principals(state, project.id) == [amy]
    again = principals.create(state, project.id, "bob")
    assert again.id != bob.id


def test_principals_that_are_not_there(state: State, project: Project):
    for use in (
        lambda: principals.by_name(state, project.id, "nobody"),
        lambda: principals.set_active(state, project.id, new_id(), active=False),
        lambda: principals.delete_principal(state, project.id, new_id()),
    ):
        with pytest.raises(NotFoundError):
            use()
    with pytest.raises(ConflictError):
        principals.create(state, new_id(), "alice")
    with pytest.raises(InvalidRequestError, match="robot"):
        principals.create(state, project.id, "bob", kind="robot")  # type: ignore[arg-type]


# -- policies ------------------------------------------------------------------------


def test_a_policy_is_replaced_in_place(
    state: State, project: Project, alice: Principal, clock: Clock
):
    first = policies.put(state, project.id, "p", {"rule": []})
    policies.attach(state, alice, "p")
    clock.move(60)
    second = policies.put(state, project.id, "p", EVERYTHING)
    assert (second.id, second.document) == (first.id, EVERYTHING)
    assert second.updated == first.updated + timedelta(seconds=60)
    assert policies.list_policies(state, project.id) == [second]
    assert policies.attachments(state, project.id) == [("p", "alice")]


def test_what_is_no_policy_is_not_stored(state: State, project: Project):
    policies.put(state, project.id, "p", EVERYTHING)
    wrong: list[object] = [None, [], {}, "rule", {"rule": [{"effect": "Maybe"}]}]
    for document in wrong:
        with pytest.raises(InvalidRequestError):
            policies.put(state, project.id, "p", document)
    assert policies.get(state, project.id, "p").document == EVERYTHING


def test_a_document_comes_back_as_it_was(state: State, project: Project):
    document = {
        "rule": [
            {"resource": ["Z3:früh/\U0001f34e*"[:8], "Z3:*"], "action": "Z3:*", "effect": "Deny"},
            {"effect": "Allow", "action": ["Z3:GetObject"], "resource": "Z3:a'b\"c\\d/**"},
        ]
    }
    policies.put(state, project.id, "p", document)
    found = policies.get(state, project.id, "p").document
    assert found == document
    assert [list(rule) for rule in found["rule"]] == [list(rule) for rule in document["rule"]]


def test_attached_policies_are_not_deleted(state: State, project: Project, alice: Principal):
    policies.put(state, project.id, "p", EVERYTHING)
    policies.attach(state, alice, "p")
    policies.attach(state, alice, "p")
    with pytest.raises(ConflictError, match="alice"):
        policies.delete_policy(state, project.id, "p")
    policies.detach(state, alice, "p")
    policies.detach(state, alice, "p")
    policies.delete_policy(state, project.id, "p")
    for use in (
        lambda: policies.get(state, project.id, "p"),
        lambda: policies.delete_policy(state, project.id, "p"),
        lambda: policies.attach(state, alice, "p"),
        lambda: policies.detach(state, alice, "p"),
    ):
        with pytest.raises(NotFoundError, match="'p'"):
            use()


def test_no_policy_is_attached_to_who_is_gone(state: State, project: Project, alice: Principal):
    policies.put(state, project.id, "p", EVERYTHING)
    principals.delete_principal(state, project.id, alice.id)
    with pytest.raises(ConflictError):
        policies.attach(state, alice, "p")


# -- the audit trail ----------------------------------------------------------------


def test_events_come_newest_first_in_pages(state: State, project: Project, clock: Clock):
    events = []
    for number in range(25):
        clock.move(1)
        events.append(
            audit.event(
                state,
                project.id,
                "Z3:PutObject",
                f"Z3:fruit/{number}",
                principal_id=new_id(),
                credential_id=new_id(),
                request_id="r",
            )
        )
    audit.record(state, events[:20])
    audit.record(state, events)  # again, as when the answer was lost
    audit.record(state, [])
    found: list[AuditEvent] = []
    while page := audit.list_events(
        state, project.id, limit=10, before=found[-1].id if found else None
    ):
        assert len(page) <= 10
        found += page
    assert found == events[::-1]


def test_what_clients_send_does_not_keep_an_event_out(state: State, project: Project):
    odd = "Z3:a\0b\ud800\n" + "x" * 10_000
    audit.record(state, [audit.event(state, project.id, "Z3:PutObject", odd, request_id="\0")])
    (found,) = audit.list_events(state, project.id)
    assert found.target.startswith("Z3:a\\x00b\\ud800\nxxx")
    assert len(found.target) < 5_000


# -- the first start -----------------------------------------------------------------


def test_the_first_start_makes_an_administrator_once(state: State):
    token = setup.first_start(state)
    assert token is not None
    actor = credentials.authenticate(state, token)
    assert (actor.project_name, actor.principal_name) == ("default", "admin")
    assert actor.allows("Z3:DeleteBucket", "Z3:anything")
    assert actor.allows("Import:ImportFile", "Import:anything/at/all")
    assert setup.first_start(state) is None
    assert [item.name for item in projects.list_projects(state)] == ["default"]


def test_of_many_first_starts_one_counts(state: State):
    tokens: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: tokens.append(setup.first_start(state))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(tokens) == 8
    (token,) = [token for token in tokens if token]
    credentials.authenticate(state, token)


def test_there_is_no_first_start_beside_a_project(state: State, project: Project):
    assert setup.first_start(state) is None
    assert principals.list_principals(state, project.id) == []
