"""Tokens: who they are of, when they are not accepted, and where their secrets are not."""

import base64
import hashlib
import hmac
import logging
import re
import string
import subprocess
import traceback
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from storage_core.access import credentials, policies, principals, projects
from storage_core.access.model import Principal, Project
from storage_core.access.policy import EVERYTHING
from storage_core.errors import (
    AuthenticationError,
    ConfigError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
)
from storage_core.state import State, new_id, open_state
from storage_core.state.tables import credentials as table
from storage_core.state.tables import metadata
from storage_core.state.tables import policies as policy_table
from tests.access.conftest import Clock

BASE64URL = string.ascii_letters + string.digits + "-_"


def refused(state: State, token: str) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as caught:
        credentials.authenticate(state, token)
    return caught.value


# -- accepted --------------------------------------------------------------------


def test_a_token_tells_who_it_is_of(state: State, alice: Principal, project: Project):
    made, token = credentials.issue(state, alice, label="laptop", kind="api-key")
    assert re.fullmatch(rf"sc_{made.id}_[A-Za-z0-9_-]{{43}}", token)
    actor = credentials.authenticate(state, token)
    assert (actor.principal_id, actor.principal_name) == (alice.id, "alice")
    assert (actor.project_id, actor.project_name) == (project.id, "acme")
    assert actor.credential_id == made.id
    assert actor.rules == ()
    assert not actor.allows("Z3:GetObject", "Z3:fruit/apple")
    assert credentials.actor_of(state, made.id) == actor
    assert credentials.list_credentials(state, project.id) == [made]
    assert credentials.id_of(token) == credentials.id_of(made.id) == made.id


def test_the_policies_are_those_of_the_moment(state: State, alice: Principal, project: Project):
    _, token = credentials.issue(state, alice)
    read = {"rule": {"effect": "Allow", "action": "Z3:GetObject", "resource": "Z3:fruit/*"}}
    deny = {"rule": {"effect": "Deny", "action": "Z3:*", "resource": "Z3:fruit/secret"}}

    def allowed(key: str) -> bool:
        return credentials.authenticate(state, token).allows("Z3:GetObject", f"Z3:fruit/{key}")

    policies.put(state, project.id, "read", read)
    policies.put(state, project.id, "deny", deny)
    assert not allowed("apple")
    policies.attach(state, alice, "read")
    assert allowed("apple")
    assert allowed("secret")
    policies.attach(state, alice, "deny")
    assert allowed("apple")
    assert not allowed("secret")
    policies.put(state, project.id, "read", {"rule": []})
    assert not allowed("apple")
    policies.put(state, project.id, "read", EVERYTHING)
    policies.detach(state, alice, "deny")
    assert allowed("secret")


# -- refused ---------------------------------------------------------------------


def test_expiry_is_to_the_moment(state: State, alice: Principal, clock: Clock):
    made, token = credentials.issue(state, alice, expires_in=60)
    assert made.expires == clock() + timedelta(seconds=60)
    clock.move(59.999999)
    credentials.authenticate(state, token)
    clock.move(0.000001)
    refused(state, token)
    assert credentials.actor_of(state, made.id) is None


def test_without_an_end_it_is_good_for_long(state: State, alice: Principal, clock: Clock):
    _, token = credentials.issue(state, alice)
    clock.move(50 * 365 * 86400)
    credentials.authenticate(state, token)


def test_revoked_for_good(state: State, alice: Principal, project: Project, clock: Clock):
    made, token = credentials.issue(state, alice)
    other, other_token = credentials.issue(state, alice)
    credentials.revoke(state, project.id, made.id)
    refused(state, token)
    assert credentials.actor_of(state, made.id) is None
    credentials.authenticate(state, other_token)
    first = clock()
    clock.move(60)
    credentials.revoke(state, project.id, made.id)  # again changes nothing
    listed = {item.id: item.revoked for item in credentials.list_credentials(state, project.id)}
    assert listed == {made.id: first, other.id: None}


def test_a_disabled_user_is_refused_until_it_is_enabled(
    state: State, alice: Principal, project: Project
):
    made, token = credentials.issue(state, alice)
    principals.set_active(state, project.id, alice.id, active=False)
    refused(state, token)
    assert credentials.actor_of(state, made.id) is None
    principals.set_active(state, project.id, alice.id, active=True)
    credentials.authenticate(state, token)


def test_what_is_deleted_takes_its_tokens_along(state: State, alice: Principal, project: Project):
    _, token = credentials.issue(state, alice)
    bob = principals.create(state, project.id, "bob")
    _, bobs = credentials.issue(state, bob)
    principals.delete_principal(state, project.id, alice.id)
    refused(state, token)
    credentials.authenticate(state, bobs)
    projects.delete_project(state, project.id)
    refused(state, bobs)
    with pytest.raises(ConflictError):
        credentials.issue(state, bob)


def test_every_refusal_is_alike(state: State, alice: Principal, project: Project, clock: Clock):
    revoked, of_revoked = credentials.issue(state, alice)
    credentials.revoke(state, project.id, revoked.id)
    _, of_expired = credentials.issue(state, alice, expires_in=1)
    clock.move(2)
    bob = principals.create(state, project.id, "bob")
    _, of_inactive = credentials.issue(state, bob)
    principals.set_active(state, project.id, bob.id, active=False)
    good, _ = credentials.issue(state, alice)
    tokens = [
        of_revoked,
        of_expired,
        of_inactive,
        f"sc_{good.id}_{'A' * 43}",
        f"sc_{new_id()}_{'A' * 43}",
        "",
        "anything",
    ]
    told = {(type(error), str(error)) for error in (refused(state, token) for token in tokens)}
    assert told == {(AuthenticationError, "the token is not accepted")}


def test_an_unknown_id_costs_the_same_comparison(
    state: State, alice: Principal, monkeypatch: pytest.MonkeyPatch
):
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def counting(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    made, _ = credentials.issue(state, alice)
    refused(state, f"sc_{made.id}_{'A' * 43}")
    refused(state, f"sc_{new_id()}_{'A' * 43}")
    assert compared == [(64, 64), (64, 64)]


def test_a_policy_that_can_not_be_read_allows_nothing(
    state: State, alice: Principal, project: Project
):
    """It may be one of a newer version, and what it denies is not known."""
    _, token = credentials.issue(state, alice)
    policies.put(state, project.id, "all", EVERYTHING)
    policies.put(state, project.id, "odd", {"rule": []})
    policies.attach(state, alice, "all")
    policies.attach(state, alice, "odd")
    with state.write() as connection:
        connection.execute(
            update(policy_table).where(policy_table.c.name == "odd").values(document={"v": 2})
        )
    with pytest.raises(ConfigError, match="'odd'"):
        credentials.authenticate(state, token)


WRONG_OPTIONS: list[tuple[str, dict]] = [
    ("neither", {"kind": "password"}),
    ("expires_in", {"expires_in": 0}),
    ("expires_in", {"expires_in": -1}),
    ("expires_in", {"expires_in": 10**12}),
    ("label", {"label": "x" * 201}),
    ("label", {"label": "a\nb"}),
    ("label", {"label": "a\0b"}),
]


def test_what_can_not_be_issued(state: State, alice: Principal, project: Project):
    for what, options in WRONG_OPTIONS:
        with pytest.raises(InvalidRequestError, match=what):
            credentials.issue(state, alice, **options)
    assert credentials.list_credentials(state, project.id) == []


def test_to_revoke_what_is_not_there(state: State, project: Project):
    with pytest.raises(NotFoundError):
        credentials.revoke(state, project.id, new_id())


# -- forged ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> tuple[State, str]:
    """A state with one token; the checks of forged ones are the same on every database, as they
    send it but an id."""
    state = open_state(f"sqlite:///{tmp_path_factory.mktemp('forged')}/state.db")
    state.migrate()
    project = projects.create(state, "acme")
    alice = principals.create(state, project.id, "alice")
    policies.put(state, project.id, "all", EVERYTHING)
    policies.attach(state, alice, "all")
    return state, credentials.issue(state, alice)[1]


def altered(token: str) -> st.SearchStrategy[str]:
    """The token with one character changed, left out, doubled, or put in."""
    place = st.integers(0, len(token) - 1)
    return st.one_of(
        st.builds(lambda i, c: token[:i] + c + token[i + 1 :], place, st.characters()),
        st.builds(lambda i, c: token[:i] + c + token[i + 1 :], place, st.sampled_from(BASE64URL)),
        st.builds(lambda i: token[:i] + token[i + 1 :], place),
        st.builds(lambda i, c: token[:i] + c + token[i:], place, st.characters()),
        st.builds(lambda i: token[:i], place),
        st.builds(lambda end: token + end, st.text(min_size=1)),
        st.builds(lambda start: start + token, st.text(min_size=1)),
        st.sampled_from([token.upper(), token.lower(), token.swapcase(), token[::-1]]),
        st.sampled_from([f" {token}", f"{token}\n", f"{token}\0", f"Bearer {token}", f'"{token}"']),
    )


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_altered_token_is_accepted(issued: tuple[State, str], data: st.DataObject):
    state, token = issued
    forged = data.draw(altered(token))
    if forged != token:
        refused(state, forged)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    token=st.one_of(
        st.text(alphabet=st.characters(exclude_categories=())),
        st.from_regex(r"sc_[0-9a-z]{26}_[A-Za-z0-9_-]{43}", fullmatch=True),
        st.from_regex(r"sc_.{0,40}_.{0,60}"),
        st.sampled_from(
            ["sc__", "sc_" + "0" * 26 + "_", "'; DROP TABLE credentials; --", "%s", "\0"]
        ),
    )
)
def test_nothing_else_is_accepted_or_breaks(issued: tuple[State, str], token: str):
    refused(issued[0], token)


def test_another_text_of_the_same_bytes_is_refused(issued: tuple[State, str]):
    """The last of 43 characters carries two bits that no byte is made of."""
    state, token = issued
    secret = token[-43:]
    same = [
        other
        for last in BASE64URL
        if (other := secret[:-1] + last) != secret
        and base64.urlsafe_b64decode(other + "=") == base64.urlsafe_b64decode(secret + "=")
    ]
    assert len(same) == 3
    for other in same:
        refused(state, token[:-43] + other)


def test_the_hash_is_no_token(issued: tuple[State, str]):
    state, token = issued
    with state.read() as connection:
        stored = connection.scalar(select(table.c.secret_hash))
    assert stored == hashlib.sha256(token[-43:].encode()).hexdigest()
    for forged in (stored, token[:-43] + stored, token[:-43] + stored[:43]):
        refused(state, forged)


def test_secrets_are_chance(state: State, alice: Principal):
    secrets = [credentials.issue(state, alice)[1][-43:] for _ in range(40)]
    assert len(set(secrets)) == 40
    assert max(Counter("".join(secrets)).values()) < 80  # 27 of each on average


# -- kept to oneself ---------------------------------------------------------------


def test_no_secret_is_in_the_database_logs_or_reprs(
    state: State,
    alice: Principal,
    project: Project,
    caplog: pytest.LogCaptureFixture,
    tmp_path_factory: pytest.TempPathFactory,
):
    with caplog.at_level(logging.DEBUG):
        state.engine.echo = True  # every statement, as somebody looking for a fault would have it
        made, token = credentials.issue(state, alice)
        actor = credentials.authenticate(state, token)
        error = refused(state, token[:-1] + ("A" if token[-1] != "A" else "B"))
        credentials.revoke(state, project.id, made.id)
        state.engine.echo = False
    assert "INSERT INTO credentials" in caplog.text
    secret, stored = token[-43:], hashlib.sha256(token[-43:].encode()).hexdigest()
    shown = [caplog.text, repr(made), repr(actor), repr(state), *traceback.format_exception(error)]
    for text in shown:
        assert secret[:-1] not in text
        assert stored not in text
    assert secret not in dump(state)
    assert stored in dump(state)
    if state.engine.dialect.name == "sqlite":
        # Another process reads: to close the file here would drop SQLite's locks on it.
        folder = Path(str(state.engine.url.database)).parent
        raw = subprocess.run(["cat", *folder.iterdir()], capture_output=True, check=True).stdout
        assert made.id.encode() in raw
        assert secret.encode() not in raw


def dump(state: State) -> str:
    """All rows of all tables."""
    with state.read() as connection:
        return "\n".join(
            repr(tuple(row))
            for each in metadata.sorted_tables
            for row in connection.execute(select(each))
        )
