"""Links that facades made: who vouches for them is looked up when they are used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import storage_core
from storage_core.access import audit, credentials, principals
from storage_core.gateway import GatewaySettings, Server, serve_background
from storage_core.links import LinkKeys, sign_link
from storage_core.requests import PresignRequest
from storage_core.state import State, open_state
from tests.gateway.clients import request
from tests.service.users import User, new_user
from tests.waiting import wait_until

KEYS = {"k1": b"a-key-for-the-links-of-this-test"}


class Clock:
    """A clock that goes when told to."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(database_url: str, clock: Clock) -> Iterator[State]:
    opened = open_state(database_url, now=clock)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[storage_core.Storage]:
    profile = {"driver": "local", "root": str(tmp_path / "root"), "fsync": False}
    with storage_core.open(config={**profile, "links": {"keys": KEYS}}) as opened:
        yield opened


@pytest.fixture
def server(
    storage: storage_core.Storage, state: State, database_url: str, clock: Clock
) -> Iterator[Server]:
    settings = GatewaySettings(facades=("z3",), database=database_url, metrics=False)
    with serve_background(storage, settings=settings, now=clock) as running:
        yield running


@pytest.fixture
def user(state: State) -> User:
    return new_user(state)


def sign(server: Server, user: User, action: str, key: str = "apple") -> str:
    answer = user.ask(f"{server.base_url}/v1/z3/fruit/{key}", "POST", {"action": action})
    assert answer.status == 200, answer
    url: str = json.loads(answer.body)["signedUrl"]
    return url


@pytest.fixture
def links(server: Server, user: User) -> dict[str, str]:
    """An upload link that was used, and a download link that was."""
    assert user.ask(f"{server.base_url}/v1/z3/fruit", "PUT").status == 200
    made = {"PUT": sign(server, user, "upload"), "GET": sign(server, user, "download")}
    assert request(made["PUT"], "PUT", body=b"red").status == 200
    assert request(made["GET"]).body == b"red"
    return made


def refused(links: dict[str, str]) -> set[tuple[int, str]]:
    """How both links are refused."""
    answers = [request(links["GET"]), request(links["PUT"], "PUT", body=b"blue")]
    return {(answer.status, answer.code) for answer in answers}


def test_a_revoked_credential_takes_its_links_along(links: dict[str, str], user: User):
    user.revoke()
    assert refused(links) == {(403, "link_revoked")}


def test_an_expired_credential(server: Server, user: User, state: State, clock: Clock):
    user.ask(f"{server.base_url}/v1/z3/fruit", "PUT")
    credential, token = credentials.issue(state, user.principal, expires_in=60)
    short = User(state, user.principal, credential, token)
    url = sign(server, short, "upload")
    clock.time += timedelta(seconds=59)
    assert request(url, "PUT", body=b"x").status == 200
    clock.time += timedelta(seconds=1)
    answer = request(url, "PUT", body=b"x")
    assert (answer.status, answer.code) == (403, "link_revoked")


def test_an_inactive_principal(links: dict[str, str], user: User, state: State):
    principals.set_active(state, user.principal.project_id, user.principal.id, active=False)
    assert refused(links) == {(403, "link_revoked")}
    principals.set_active(state, user.principal.project_id, user.principal.id, active=True)
    assert request(links["GET"]).body == b"red"


def test_a_policy_that_changed(links: dict[str, str], user: User):
    allow = {"effect": "Allow", "action": "Z3:GetObject", "resource": "Z3:fruit/*"}
    user.put_policy({"rule": [allow]})
    answer = request(links["PUT"], "PUT", body=b"blue")
    assert (answer.status, answer.code) == (403, "access_denied")
    assert request(links["GET"]).body == b"red"
    deny = {"effect": "Deny", "action": "*", "resource": "Z3:fruit/apple"}
    user.put_policy({"rule": [allow, deny]})
    assert refused(links) == {(403, "access_denied")}


def test_a_bucket_that_is_gone(server: Server, links: dict[str, str], user: User):
    url = f"{server.base_url}/v1/z3/fruit"
    assert user.ask(f"{url}/apple", "DELETE").status == 204
    assert user.ask(url, "DELETE").status == 204
    assert refused(links) == {(404, "bucket_not_found")}
    assert user.ask(url, "PUT").status == 200  # another bucket of the same name
    assert refused(links) == {(404, "bucket_not_found")}


def test_a_link_runs_out(links: dict[str, str], clock: Clock):
    clock.time += timedelta(seconds=899)
    assert request(links["GET"]).status == 200
    clock.time += timedelta(seconds=1)
    assert refused(links) == {(403, "link_expired")}


@pytest.mark.parametrize(
    "issuer", ["z3", "z3:x:y", "appfile:{credential}:{bucket}", "none:a:b", "z3:{credential}:x"]
)
def test_an_issuer_that_nobody_knows(
    server: Server, links: dict[str, str], user: User, issuer: str, clock: Clock
):
    """Only who has the link keys can sign such a thing, and even he is not believed."""
    physical = links["GET"].split("/o/")[1].split("/")[0]
    text = issuer.format(credential=user.credential.id, bucket=physical.removeprefix("sc-"))
    wanted = PresignRequest(physical, "apple", "GET", 60, clock())
    link = sign_link(server.base_url, LinkKeys(KEYS), wanted, issuer=text)
    assert request(link).status in {403, 404}


def test_an_issuer_vouches_for_his_own_bucket_only(
    server: Server, links: dict[str, str], user: User, clock: Clock
):
    user.ask(f"{server.base_url}/v1/z3/secrets", "PUT")
    other = sign(server, user, "upload").split("/o/")[1].split("/")[0]
    bucket_id = links["GET"].split("/o/")[1].split("/")[0].removeprefix("sc-")
    target = json.loads(
        user.ask(f"{server.base_url}/v1/z3/secrets/k", "POST", {"action": "upload"}).body
    )["signedUrl"]
    physical = target.split("/o/")[1].split("/")[0]
    assert physical != other
    issuer = f"z3:{user.credential.id}:{bucket_id}"
    wanted = PresignRequest(physical, "k", "PUT", 60, clock())
    link = sign_link(server.base_url, LinkKeys(KEYS), wanted, issuer=issuer)
    answer = request(link, body=b"x")
    assert (answer.status, answer.code) == (404, "bucket_not_found")


def test_links_of_the_library_are_redeemed_as_ever(
    server: Server, storage: storage_core.Storage, clock: Clock
):
    bucket = storage.create_bucket("plain-bucket")
    bucket.put("k", b"x")
    wanted = PresignRequest("plain-bucket", "k", "GET", 60, clock())
    assert request(sign_link(server.base_url, LinkKeys(KEYS), wanted)).body == b"x"


def test_a_gateway_without_facades_knows_no_issuer(
    links: dict[str, str], storage: storage_core.Storage, clock: Clock
):
    with serve_background(storage, now=clock) as plain:
        url = plain.base_url + "/o/" + links["GET"].split("/o/")[1]
        answer = request(url)
    assert (answer.status, answer.code) == (403, "link_issuer")


def test_what_links_change_is_in_the_audit_trail(links: dict[str, str], user: User, state: State):
    def events() -> list[tuple[str, str, str]]:
        found = audit.list_events(state, user.principal.project_id, limit=50)
        assert all(event.credential_id == user.credential.id for event in found)
        return [(event.action, event.target, event.result) for event in reversed(found)]

    wait_until(lambda: len(events()) >= 4)
    assert events() == [
        ("Z3:CreateBucket", "Z3:fruit", "ok"),
        ("Z3:PutObject", "Z3:fruit/apple", "ok"),
        ("Z3:GetObject", "Z3:fruit/apple", "ok"),
        ("Z3:PutObject", "Z3:fruit/apple", "redeemed"),
    ]
