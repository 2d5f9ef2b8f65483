"""Limits of one client, and of JSON bodies."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from limits.aio.storage import memory

from storage_core.access import credentials
from storage_core.access.model import Actor
from storage_core.gateway import GatewaySettings, Server, serve_background
from storage_core.state import State, open_state
from tests.gateway.clients import Raw, request
from tests.service.users import User, new_user
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def within_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the requests of a test take, they come at one moment."""
    moment = time.time()
    monkeypatch.setattr(memory, "time", SimpleNamespace(time=lambda: moment))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = open_state(f"sqlite:///{tmp_path}/state.db")
    opened.migrate()
    yield opened
    opened.close()


@contextmanager
def running(state: State, folder: Path, **settings: Any) -> Iterator[Server]:
    given = GatewaySettings(
        facades=("z3",),
        database=f"sqlite:///{folder}/state.db",
        **settings,
    )
    profile = {"driver": "local", "root": str(folder / "root"), "fsync": False}
    with serve_background(profile, settings=given) as server:
        yield server


def sign(user: User, url: str, action: str) -> str:
    answer = user.ask(url, "POST", {"action": action})
    assert answer.status == 200, answer
    link: str = json.loads(answer.body)["signedUrl"]
    return link


def test_requests_a_minute(state: State, tmp_path: Path):
    """Of each credential, whatever its address; and of an address without one."""
    users = [new_user(state) for _ in range(2)]
    with running(state, tmp_path, requests_per_minute=20) as server:
        url = f"{server.base_url}/v1/z3"
        for user in users:
            answers = [user.ask(url) for _ in range(25)]
            statuses = [answer.status for answer in answers]
            assert statuses[:18] == [200] * 18
            assert statuses[-1] == 429
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 61
            assert json.loads(answers[-1].body)["message"]
        strangers = [request(url, headers={"authorization": "Bearer x"}) for _ in range(25)]
        assert strangers[0].status == 401
        assert strangers[-1].status == 429
        assert request(f"{server.base_url}/metrics").status == 429
        # What an orchestrator asks is not counted.
        assert {request(f"{server.base_url}/health").status for _ in range(30)} == {200}
        assert request(f"{server.base_url}/ready").status == 200


def test_guesses_beyond_the_limit_do_not_reach_the_database(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    user = new_user(state)
    wrong = {"authorization": f"Bearer {user.token[:-1]}{'A' if user.token[-1] != 'A' else 'B'}"}
    looked_up: list[str] = []
    real = credentials.authenticate

    def authenticate(state: State, token: str) -> Actor:
        looked_up.append(token)
        return real(state, token)

    monkeypatch.setattr(credentials, "authenticate", authenticate)
    with running(state, tmp_path, requests_per_minute=5) as server:
        url = f"{server.base_url}/v1/z3"
        statuses = [request(url, headers=wrong).status for _ in range(30)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert len(looked_up) == statuses.count(401) <= 10


def test_links_count_for_their_issuer(state: State, tmp_path: Path):
    user = new_user(state)
    with running(state, tmp_path, requests_per_minute=20) as server:
        bucket = f"{server.base_url}/v1/z3/fruit"
        assert user.ask(bucket, "PUT").status == 200
        assert request(sign(user, f"{bucket}/k", "upload"), "PUT", body=b"x").status == 200
        link = sign(user, f"{bucket}/k", "download")
        answers = [request(link) for _ in range(25)]
        assert answers[0].body == b"x"
        assert (answers[-1].status, answers[-1].code) == (429, "too_many_requests")
        assert user.ask(bucket).status == 429
        assert new_user(state).ask(bucket).status == 200


def test_requests_at_a_time(state: State, tmp_path: Path):
    """An upload under way is one; another client is not disturbed."""
    user = new_user(state)
    with running(state, tmp_path, max_client_requests=2) as server:
        bucket = f"{server.base_url}/v1/z3/fruit"
        assert user.ask(bucket, "PUT").status == 200
        url = sign(user, f"{bucket}/k", "upload")
        parts = urlsplit(url)
        held = []
        for _ in range(2):
            raw = Raw(socket.create_connection((parts.hostname, parts.port), timeout=60))
            raw.head("PUT", url, "Content-Length: 4", "Expect: 100-continue")
            assert raw.socket.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 100"  # it is under way
            raw.send("ab")
            held.append(raw)
        assert user.ask(bucket).status == 429
        assert user.ask(bucket).headers["retry-after"] == "1"
        assert new_user(state).ask(bucket).status == 200
        for raw in held:
            raw.send("cd")
            assert raw.answer("PUT").status == 200
            raw.close()
        assert user.ask(bucket).status == 200


def test_an_address_behind_a_proxy(state: State, tmp_path: Path):
    """Only of a trusted proxy X-Forwarded-For is believed."""
    with running(state, tmp_path, requests_per_minute=5, trusted_proxies=("127.0.0.1",)) as server:
        url = f"{server.base_url}/v1/z3"
        for last in ("1", "2"):
            headers = {"x-forwarded-for": f"203.0.113.{last}"}
            assert request(url, headers=headers).status == 401
            assert [request(url, headers=headers).status for _ in range(7)][-1] == 429
    with running(state, tmp_path, requests_per_minute=5) as server:
        url = f"{server.base_url}/v1/z3"
        found = [
            request(url, headers={"x-forwarded-for": f"203.0.113.{last}"}).status
            for last in range(8)
        ]
        assert found[-1] == 429


def test_json_bodies(state: State, tmp_path: Path):
    user = new_user(state)
    with running(state, tmp_path, max_json_body=1000) as server:
        bucket = f"{server.base_url}/v1/z3/fruit"
        assert user.ask(bucket, "PUT").status == 200
        headers = {"authorization": f"Bearer {user.token}"}
        small = json.dumps({"action": "upload", "x": "y" * 900}).encode()
        large = json.dumps({"action": "upload", "x": "y" * 2000}).encode()
        for body, status in ((small, 200), (large, 413)):
            for sent in (body, iter([body[:500], body[500:]])):  # by length, and in chunks
                answer = request(f"{bucket}/k", "POST", headers, sent)
                assert answer.status == status
                assert answer.headers["content-type"] == "application/json"
        link = sign(user, f"{bucket}/k", "upload")
        assert request(link, "PUT", body=bytes(5000)).status == 200  # not a JSON body


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"\xff\xfe", b'"x"', b"nul", b'{"action": 1}', b"[" * 5000, b"\x00"]
)
def test_bodies_that_are_no_json(state: State, tmp_path: Path, body: bytes):
    user = new_user(state)
    with running(state, tmp_path) as server:
        bucket = f"{server.base_url}/v1/z3/fruit"
        assert user.ask(bucket, "PUT").status == 200
        for content_type in ("application/json", "text/plain", "x"):
            headers = {"authorization": f"Bearer {user.token}", "content-type": content_type}
            answer = request(f"{bucket}/k", "POST", headers, body)
            assert answer.status == 400
            assert set(json.loads(answer.body)) == {"message", "code"}


def test_many_clients_at_once(state: State, tmp_path: Path):
    """None of many requests gets another one's answer."""
    users = [new_user(state) for _ in range(4)]
    with running(state, tmp_path, max_client_requests=100) as server:
        wrong: list[object] = []

        def work(user: User, number: int) -> None:
            bucket = f"{server.base_url}/v1/z3/bucket-{number}"
            for turn in range(10):
                answer = user.ask(bucket, "PUT", headers={"x-request-id": f"{number}-{turn}"})
                if answer.headers["x-request-id"] != f"{number}-{turn}":
                    wrong.append(answer)
                if answer.status not in {200, 409}:
                    wrong.append(answer)

        threads = [threading.Thread(target=work, args=(u, n)) for n, u in enumerate(users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_a_facade_with_no_room_says_so_in_its_shape(
    state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """What is refused for the number of connections is answered, counted and logged like all
    else."""
    user = new_user(state)
    with (
        caplog.at_level(logging.INFO, "storage_core.gateway"),
        running(state, tmp_path, max_connections=2) as server,
    ):
        parts = urlsplit(server.base_url)
        held = [socket.create_connection((parts.hostname, parts.port), timeout=60) for _ in "12"]
        url = f"{server.base_url}/v1/z3"
        wait_until(lambda: user.ask(url, headers={"x-request-id": "crowd"}).status == 503)
        answer = user.ask(url)
        assert answer.status == 503
        assert json.loads(answer.body)["code"] == 503
        assert answer.headers["retry-after"] == "1"
        assert request(f"{server.base_url}/health").status == 200
        for connection in held:
            connection.close()
        wait_until(lambda: user.ask(url).status == 200)
        figures = user.ask(f"{server.base_url}/metrics").body.decode()
    assert 'method="GET",route="z3",status="503"' in figures
    assert "GET /v1/z3 503" in caplog.text
    assert "id=crowd" in caplog.text
