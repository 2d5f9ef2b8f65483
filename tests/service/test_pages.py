"""The gateway's own pages: readiness, figures, the OpenAPI document and the page of it."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from storage_core import __version__
from storage_core.gateway import GatewaySettings, Server, probes, serve_background
from storage_core.state import State, open_state
from tests import servers
from tests.gateway.clients import Answer, request
from tests.servers.postgres import database
from tests.service.routes import ROUTES
from tests.service.users import User, new_user
from tests.waiting import PATIENCE, wait_until

PAGES = ("/metrics", "/openapi.json", "/docs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def state(folder: Path) -> Iterator[State]:
    opened = open_state(f"sqlite:///{folder}/state.db")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def server(folder: Path, state: State) -> Iterator[Server]:
    settings = GatewaySettings(
        facades=("z3", "appfile"), database=f"sqlite:///{folder}/state.db", root_path="/files"
    )
    profile = {"driver": "local", "root": str(folder / "root"), "fsync": False}
    with serve_background(profile, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def user(state: State) -> User:
    return new_user(state, None)  # no policy is needed to read what there is


def basic(user: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"authorization": f"Basic {pair}"}


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_for_who_has_a_token(server: Server, user: User, page: str):
    url = server.base_url + page
    for headers in (
        {"authorization": f"Bearer {user.token}"},
        {"x-api-key": user.token},
        basic("anybody", user.token),
        basic("", user.token),
    ):
        answer = request(url, headers=headers)
        assert answer.status == 200, answer
        assert answer.headers["cache-control"] == "no-store"
        assert user.token.encode() not in answer.body
    for headers in (
        {},
        basic(user.token, ""),
        basic("x", user.token[:-1]),
        {"authorization": f"Basic {user.token}"},
        {"authorization": "Basic"},
        {"authorization": f"Token {user.token}"},
    ):
        answer = request(url, headers=headers)
        assert (answer.status, answer.code) == (401, "unauthorized")
        challenges = answer.headers.get_all("www-authenticate")
        assert challenges is not None
        assert [one.partition(" ")[0] for one in challenges] == ["Basic", "Bearer"]
    assert request(f"{url}?token={user.token}").status == 401
    answer = request(url, "POST", {"authorization": f"Bearer {user.token}"})
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("page", ["/health", "/ready"])
def test_probes_are_for_all(server: Server, page: str):
    answer = request(server.base_url + page)
    assert answer.status == 200
    assert request(server.base_url + page, "HEAD").body == b""
    assert request(f"{server.base_url}/files{page}").body == answer.body
    assert request(server.base_url + page, "DELETE").status == 405


def test_ready_is_not_alive(postgres: servers.Server, tmp_path: Path):
    """Without its database a gateway is alive, not ready, and ready again by itself."""
    with database(postgres) as url:
        state = open_state(url)
        state.migrate()
        settings = GatewaySettings(facades=("z3",), database=url, metrics=False)
        profile = {"driver": "local", "root": str(tmp_path / "root"), "fsync": False}
        with serve_background(profile, settings=settings) as server:
            user = new_user(state)
            listing = f"{server.base_url}/v1/z3"
            assert request(f"{server.base_url}/ready").status == 200
            with state.write() as connection:
                connection.exec_driver_sql("alter table alembic_version rename to hidden")
            wait_until(lambda: request(f"{server.base_url}/ready").status == 503)
            answer = request(f"{server.base_url}/ready")
            assert json.loads(answer.body) == {
                "status": "not ready",
                "reason": "the database can not be used",
            }
            assert request(f"{server.base_url}/health").status == 200
            with state.write() as connection:
                connection.exec_driver_sql("alter table hidden rename to alembic_version")
            wait_until(lambda: request(f"{server.base_url}/ready").status == 200)
            assert user.ask(listing).status == 200
        state.close()


def test_ready_asks_the_database_once_for_all(
    folder: Path, state: State, monkeypatch: pytest.MonkeyPatch
):
    """Everybody may ask, and as often as he likes."""
    asked, asking, answer = [], threading.Event(), threading.Event()

    def check(_: State) -> None:
        asked.append(1)
        asking.set()
        answer.wait(PATIENCE)

    profile = {"driver": "local", "root": str(folder / "root"), "fsync": False}
    settings = GatewaySettings(facades=("z3",), database=f"sqlite:///{folder}/state.db")
    monkeypatch.setattr(probes, "READY_SECONDS", PATIENCE)
    monkeypatch.setattr(probes, "FRESH_SECONDS", 3600.0)
    with serve_background(profile, settings=settings) as server:
        monkeypatch.setattr(State, "check", check)
        statuses: list[int] = []
        ask = lambda: statuses.append(request(f"{server.base_url}/ready").status)  # noqa: E731
        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        assert asking.wait(PATIENCE)
        answer.set()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 20
    assert len(asked) == 1


def test_without_facades_there_are_only_the_probes(tmp_path: Path):
    with serve_background({"driver": "local", "root": str(tmp_path), "fsync": False}) as server:
        assert request(f"{server.base_url}/ready").body == b'{"status": "ready"}'
        for page in (*PAGES, "/v1/z3", "/appfile/file/x", "/"):
            answer = request(server.base_url + page)
            assert (answer.status, answer.code) == (404, "not_found")


def value_of(figures: str, name: str, **labels: str) -> float:
    """Sum of the samples of a metric with some labels."""
    total = 0.0
    for line in figures.splitlines():
        if found := re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line):
            has = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
            if found[1] == name and labels.items() <= has.items():
                total += float(found[3])
    return total


def figures_of(server: Server, user: User) -> str:
    answer = user.ask(f"{server.base_url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return answer.body.decode()


def test_figures(server: Server, state: State, user: User):
    admin = new_user(state)
    before = figures_of(server, user)
    bucket = f"{server.base_url}/v1/z3/figures"
    assert admin.ask(bucket, "PUT").status == 200
    signed = admin.ask(f"{bucket}/k", "POST", {"action": "upload"})
    link = json.loads(signed.body)["signedUrl"]
    assert request(link, "PUT", body=bytes(12345)).status == 200
    assert request(link, "PUT", body=b"").status == 200
    assert request(f"{server.base_url}/v1/z3").status == 401
    assert request(f"{server.base_url}/none", "PROPFIND").status == 404
    after = figures_of(server, user)
    count = "storage_gateway_request_seconds_count"

    def grown(name: str, **labels: str) -> float:
        return value_of(after, name, **labels) - value_of(before, name, **labels)

    assert grown(count, route="z3.create_bucket", method="PUT", status="200") == 1
    assert grown(count, route="link", method="PUT", status="200") == 2
    assert grown(count, route="z3", status="401") == 1
    assert grown(count, route="none", method="other", status="404") == 1
    assert grown("storage_gateway_received_bytes_total", route="link") == 12345
    assert grown("storage_gateway_sent_bytes_total", route="z3.sign") == len(signed.body)
    assert value_of(after, "storage_gateway_active_requests") == 1
    for secret in (user.token, admin.token, "sc-signature", "figures", "/v1/z3"):
        assert secret not in after


def test_figures_can_be_switched_off(folder: Path, user: User, tmp_path: Path):
    settings = GatewaySettings(
        facades=("z3",), database=f"sqlite:///{folder}/state.db", metrics=False
    )
    profile = {"driver": "local", "root": str(tmp_path), "fsync": False}
    with serve_background(profile, settings=settings) as server:
        assert user.ask(f"{server.base_url}/metrics").status == 404


def test_the_document_names_every_operation(server: Server, user: User):
    spec = json.loads(user.ask(f"{server.base_url}/openapi.json").body)
    assert spec["openapi"] == "3.1.0"
    assert spec["info"]["version"] == __version__
    assert spec["servers"] == [{"url": server.base_url}]
    found = {
        operation["operationId"]: (method.upper(), operation)
        for methods in spec["paths"].values()
        for method, operation in methods.items()
    }
    assert set(found) == set(ROUTES) | {name for name in found if "@" in name}
    for name, (method, operation) in found.items():
        facade, _, route = ROUTES[name.partition("@")[0]]
        assert method == route.method
        assert operation["security"] == [{facade.token.name: []}]
        assert {"401", "403", "429", str(route.status)} <= set(operation["responses"])
    text = json.dumps(spec)
    for name in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        assert name in spec["components"]["schemas"]


class References(HTMLParser):
    """What a page asks of others."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attrs if name in {"src", "href"}]


def test_the_page_needs_nothing_from_elsewhere(server: Server, user: User):
    answer: Answer = user.ask(f"{server.base_url}/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = References()
    page.feed(answer.body.decode())
    assert page.found == ["openapi.json"]
    assert "script" not in page.tags
    for name, (_, mount, operation) in ROUTES.items():
        assert operation.summary.encode() in answer.body.replace(b"&#x27;", b"'"), name
        assert mount.encode() in answer.body
