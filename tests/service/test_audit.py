"""What of requests that were refused or failed is in the audit trail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import storage_core
from storage_core.access import audit, buckets
from storage_core.gateway import GatewaySettings, Server, serve_background
from storage_core.state import State, open_state
from tests.gateway.clients import request
from tests.service.users import User, new_user
from tests.waiting import wait_until

Event = tuple[str, str, str]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = open_state(f"sqlite:///{tmp_path}/state.db")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[storage_core.Storage]:
    profile = {"driver": "local", "root": str(tmp_path / "root"), "fsync": False}
    with storage_core.open(config=profile) as opened:
        yield opened


@pytest.fixture
def server(storage: storage_core.Storage, tmp_path: Path) -> Iterator[Server]:
    settings = GatewaySettings(facades=("z3",), database=f"sqlite:///{tmp_path}/state.db")
    with serve_background(storage, settings=settings) as running:
        yield running


@pytest.fixture
def user(state: State, server: Server) -> User:
    made = new_user(state)
    assert made.ask(f"{server.base_url}/v1/z3/fruit", "PUT").status == 200
    return made


def events(user: User, count: int) -> list[Event]:
    """The newest events of the user, once there are so many beside the bucket's."""

    def found() -> list[Event]:
        all_ = audit.list_events(user.state, user.principal.project_id, limit=50)
        return [
            (one.action, one.target, one.result)
            for one in reversed(all_)
            if one.credential_id == user.credential.id and one.action != "Z3:CreateBucket"
        ]

    wait_until(lambda: len(found()) >= count)
    return found()


def sign(server: Server, user: User, key: str, action: str) -> str:
    answer = user.ask(f"{server.base_url}/v1/z3/fruit/{key}", "POST", {"action": action})
    assert answer.status == 200, answer
    url: str = json.loads(answer.body)["signedUrl"]
    return url


def test_a_change_that_failed_is_recorded_with_its_code(
    server: Server, user: User, storage: storage_core.Storage
):
    """It may have been made in part, such as the deletion of several objects."""
    bucket = buckets.get(user.state, user.principal.project_id, "fruit")
    storage.delete_bucket(bucket.physical)
    url = f"{server.base_url}/v1/z3/fruit/a"
    assert user.ask(url, "DELETE", {"children": ["1", "2"]}).status == 404
    assert events(user, 1) == [("Z3:DeleteObject", "Z3:fruit/a/ and 2 below", "bucket_not_found")]


def test_a_request_that_can_not_be_read_is_no_change(server: Server, user: User):
    url = f"{server.base_url}/v1/z3/fruit/a"
    assert user.ask(url, "DELETE", {"children": "x"}).status == 400
    assert user.ask(url, "DELETE").status == 204
    assert events(user, 1) == [("Z3:DeleteObject", "Z3:fruit/a", "ok")]


def test_what_is_denied_at_redemption_is_recorded(server: Server, user: User):
    put, get = sign(server, user, "k", "upload"), sign(server, user, "k", "download")
    user.put_policy({"rule": []})
    assert request(put, "PUT", body=b"x").status == 403
    assert request(get).status == 403
    assert events(user, 4)[2:] == [
        ("Z3:PutObject", "Z3:fruit/k", "denied"),
        ("Z3:GetObject", "Z3:fruit/k", "denied"),
    ]


def test_an_upload_by_link_that_failed_is_recorded(server: Server, user: User):
    url = sign(server, user, "k", "upload")
    answer = request(url, "PUT", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, b"x")
    assert answer.status == 400
    assert events(user, 2)[1:] == [("Z3:PutObject", "Z3:fruit/k", answer.code)]
