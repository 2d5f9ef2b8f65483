"""The log: a line for each request, as text and as JSON; request ids; hosts that lie."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage_core.gateway import GatewaySettings, Server, serve_background
from storage_core.gateway.logs import JsonFormatter, TextFormatter
from storage_core.state import State, open_state
from tests.gateway.clients import Raw, request
from tests.service.users import User, new_user
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    opened = open_state(f"sqlite:///{tmp_path_factory.mktemp('state')}/state.db")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def server(state: State, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("root")
    database = str(state.engine.url)
    settings = GatewaySettings(facades=("z3",), database=database)
    profile = {"driver": "local", "root": str(root), "fsync": False}
    with serve_background(profile, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def user(state: State) -> User:
    return new_user(state)


@contextmanager
def written(formatter: logging.Formatter, about: str) -> Iterator[io.StringIO]:
    """What the gateway logs meanwhile with a text in it, in a form. Not all that it logs: the
    line of a request of an earlier test may come as late as now."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(lambda record: about in record.getMessage())
    log = logging.getLogger("storage_core.gateway")
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield stream
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def lines_of(stream: io.StringIO, count: int) -> list[str]:
    """The lines, once there are as many: one is written after its answer was sent."""
    wait_until(lambda: stream.getvalue().count("\n") >= count)
    return stream.getvalue().splitlines()


def test_json(server: Server, state: State):
    user = new_user(state)
    with written(JsonFormatter(), f"credential={user.credential.id}") as stream:
        bucket = f"{server.base_url}/v1/z3/logged"
        user.ask(bucket, "PUT", headers={"x-request-id": "first.1"})
        answer = user.ask(f"{bucket}/k", "POST", {"action": "upload"})
        link = json.loads(answer.body)["signedUrl"]
        request(link, "PUT", body=b"hello")
        lines = lines_of(stream, 3)
    made, signed, put = map(json.loads, lines)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", made["time"])
    assert made["request_id"] == "first.1"
    assert (made["level"], made["method"], made["status"]) == ("INFO", "PUT", 200)
    assert (made["path"], made["route"]) == ("/v1/z3/logged", "z3.create_bucket")
    assert made["credential"] == user.credential.id
    assert made["client"] == "127.0.0.1"
    assert signed["request_id"] == answer.headers["x-request-id"]
    assert signed["sent"] == len(answer.body)
    assert put["received"] == 5
    assert put["route"] == "link"
    assert f"sc-id={put['link']}&" in link
    assert put["credential"] == user.credential.id
    assert put["milliseconds"] > 0
    for secret in ("sc-signature", user.token):
        assert secret not in "".join(lines)


def test_text(server: Server, user: User):
    form = TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    with written(form, "id=second") as stream:
        user.ask(f"{server.base_url}/v1/z3?direct=true", headers={"x-request-id": "second"})
        (line,) = lines_of(stream, 1)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO storage_core\.gateway: GET /v1/z3 200 link=- "
        rf"credential={user.credential.id} 127\.0\.0\.1 id=second \d+\.\d ms",
        line,
    ), line


def test_a_failure_is_written_down_with_its_request(
    server: Server, user: User, monkeypatch: pytest.MonkeyPatch
):
    from storage_core.access import buckets

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(buckets, "list_buckets", broken)
    with written(JsonFormatter(), "id=third") as stream:
        answer = user.ask(f"{server.base_url}/v1/z3", headers={"x-request-id": "third"})
        lines = [json.loads(line) for line in lines_of(stream, 2)]
    assert answer.status == 500
    assert "defect" not in answer.body.decode()
    assert "ZeroDivisionError: a defect" in lines[0]["error"]
    assert "id=third" in lines[0]["message"]
    assert lines[1]["status"] == 500


@pytest.mark.parametrize(
    "given", ["", "a b", "x" * 65, "ä", "a,b", "<script>", "../x", "a\tb", "%0d%0a"]
)
def test_request_ids_that_are_none(server: Server, given: str):
    headers = {"x-request-id": given.encode("latin-1")}
    answer = request(f"{server.base_url}/health", headers=headers)  # type: ignore[arg-type]
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


@pytest.mark.parametrize("given", ["a", "x" * 64, "01HF-3.x_Y"])
def test_request_ids_that_are_taken_over(server: Server, user: User, given: str):
    for url in (
        f"{server.base_url}/health",
        f"{server.base_url}/o/none",
        f"{server.base_url}/v1/z3/x",
    ):
        assert request(url, headers={"x-request-id": given}).headers["x-request-id"] == given
        assert user.ask(url, headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("host", ["evil.example.org", "evil.example.org:1", "", "a@b", "[::1]"])
def test_links_do_not_lead_where_the_host_header_says(server: Server, user: User, host: str):
    import socket

    bucket = f"{server.base_url}/v1/z3/logged"
    user.ask(bucket, "PUT")
    name, port = server.base_url.removeprefix("http://").split(":")
    raw = Raw(socket.create_connection((name, int(port)), timeout=60))
    body = '{"action":"upload"}'
    raw.send(
        f"POST /v1/z3/logged/k HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: evil.example.org\r\n"
        f"Forwarded: host=evil.example.org\r\nAuthorization: Bearer {user.token}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    answer = raw.answer("POST")
    raw.close()
    assert answer.status == 200
    assert json.loads(answer.body)["signedUrl"].startswith(f"{server.base_url}/o/")


def test_the_file_of_a_log_holds_no_line_break_of_a_client(server: Server, tmp_path: Path):
    with written(TextFormatter("%(message)s"), "id=fourth") as stream:
        url = f"{server.base_url}/v1/z3/a%0d%0ab%1b[2J"
        request(url, headers={"x-request-id": "fourth"})
        (line,) = lines_of(stream, 1)
    assert "a%0d%0ab%1b[2J" in line
