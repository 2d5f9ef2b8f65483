"""Who is let in, and to what: tokens, links, policies, projects.

`docs/security.md` names these tests. Routes come from the tables that the service is made of,
so that a new one is tried too. Links as such are tried in `tests/test_links.py`, policies as
such in `tests/z3/test_policy.py`.
"""

from __future__ import annotations

import hmac
import json
import string
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from storage_core.access import credentials, principals
from storage_core.state import State, tables
from tests.gateway.clients import request
from tests.service.routes import FACADES, OPEN_PAGES, PAGES, ROUTES, Service
from tests.service.users import EVERYTHING, User, ask, new_user

# --- who is let in --------------------------------------------------------------------


def expired(state: State) -> str:
    """The token of a user who was good until a moment ago."""
    user = new_user(state)
    past = State(state.engine, lambda: datetime.now(UTC) - timedelta(hours=1))
    return credentials.issue(past, user.principal, expires_in=3599)[1]


def revoked(state: State) -> str:
    user = new_user(state)
    user.revoke()
    return user.token


def inactive(state: State) -> str:
    user = new_user(state)
    principals.set_active(state, user.principal.project_id, user.principal.id, active=False)
    return user.token


def deleted(state: State) -> str:
    user = new_user(state)
    principals.delete_principal(state, user.principal.project_id, user.principal.id)
    return user.token


def wrong_secret(state: State) -> str:
    token = new_user(state).token
    return token[:-1] + ("A" if token[-1] != "A" else "B")


def other_id(state: State) -> str:
    """The secret of one credential under the id of another."""
    first, second = new_user(state).token, new_user(state).token
    return first[:30] + second[30:]


BAD_TOKENS: Mapping[str, Callable[[State], str | None]] = {
    "none": lambda _: None,
    "empty": lambda _: "",
    "garbage": lambda _: "let me in",
    "unknown": lambda _: f"sc_{'0' * 26}_{'A' * 43}",
    "wrong secret": wrong_secret,
    "other id": other_id,
    "cut off": lambda state: new_user(state).token[:-1],
    "too long": lambda state: new_user(state).token + "A",
    "upper case": lambda state: new_user(state).token.upper(),
    "two": lambda state: f"{new_user(state).token}, {new_user(state).token}",
    "hash": lambda state: hash_of(new_user(state)),
    "expired": expired,
    "revoked": revoked,
    "inactive": inactive,
    "deleted": deleted,
}


def hash_of(user: User) -> str:
    """A token made of what the database holds."""
    table = tables.credentials
    with user.state.read() as connection:
        found = connection.scalar(
            select(table.c.secret_hash).where(table.c.id == user.credential.id)
        )
    return f"sc_{user.credential.id}_{found}"


@pytest.mark.parametrize("name", ROUTES)
def test_no_operation_without_a_good_token(service: Service, name: str):
    """Whatever is wrong with the token, the answer is the same."""
    answers = set()
    for token in (make(service.state) for make in BAD_TOKENS.values()):
        answer = service.call(name, token, {"X-Request-Id": "same"})
        assert answer.status == 401, (token, answer)
        answers.add((answer.body, answer.headers["www-authenticate"]))
    assert len(answers) == 1


@pytest.mark.parametrize("name", ROUTES)
def test_a_token_counts_only_where_its_facade_looks(service: Service, name: str):
    facade, _, operation = ROUTES[name]
    token = service.admin.token
    tried: list[Mapping[str, str]] = [
        {"authorization": f"Bearer {token}"},
        {"x-api-key": token},
        {"authorization": f"Basic {token}"},
        {"authorization": token},
        {"cookie": f"authorization=Bearer {token}; x-api-key={token}"},
    ]
    wrong = [headers for headers in tried if facade.token(headers) is None]
    assert 3 <= len(wrong) < len(tried)
    for headers in wrong:
        assert request(service.url(name), operation.method, headers).status == 401, headers
    query = f"?access_token={token}&token={token}&x-api-key={token}"
    assert request(service.url(name) + query, operation.method).status == 401


@pytest.mark.parametrize("page", PAGES)
def test_no_page_without_a_good_token(service: Service, page: str):
    url = service.server.base_url + page
    for token in (make(service.state) for make in BAD_TOKENS.values()):
        assert ask(url, token=token).status == 401
    assert ask(url, token=service.admin.token).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_else_is_there_for_strangers(service: Service, method: str):
    """Below a facade even what does not exist asks for a token first."""
    base = service.server.base_url
    for mount in {mount for facade in FACADES.values() for mount, _ in facade.mounts}:
        for path in ("/", "/x", "/x/y/z", "/%2e%2e/health", "//", "/health"):
            assert request(f"{base}{mount}{path}", method).status in (401, 405), path
    for path in ("/", "/admin", "/v1", "/o", "/p", "/o/", "/p/x/o/b/k", "/o/fruit/apple"):
        assert request(base + path, method).status in (401, 403, 404, 405), path


def test_what_is_open_tells_nothing(service: Service):
    for page in OPEN_PAGES:
        answer = request(service.server.base_url + page)
        assert answer.status == 200
        assert set(json.loads(answer.body)) <= {"status"}


@pytest.mark.parametrize("name", ROUTES)
def test_nothing_is_allowed_without_a_policy(service: Service, fruit: str, name: str):
    stranger = new_user(service.state, None)
    answer = service.call(name, stranger.token)
    assert answer.status == 403, answer
    assert service.call(name, service.admin.token).status in (200, 204, 400, 409)


@pytest.mark.parametrize("name", ROUTES)
def test_a_denial_beats_every_permission(service: Service, fruit: str, name: str):
    deny = {"effect": "Deny", "action": "*", "resource": "*"}
    denied = new_user(service.state, {"rule": [EVERYTHING["rule"], deny]})
    answer = service.call(name, denied.token)
    assert answer.status == 403 or (name, answer.body) == ("z3.list_buckets", b"[]")


# --- tokens ---------------------------------------------------------------------------

HEADER_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=120)


@given(text=HEADER_TEXT, start=st.sampled_from(["", "sc_", "Bearer ", f"sc_{'0' * 26}_"]))
@settings(max_examples=100, deadline=None)
def test_tokens_of_any_text(service: Service, text: str, start: str):
    for url in ("/v1/z3", "/appfile/file/x", "/metrics"):
        answer = ask(service.server.base_url + url, token=(start + text).strip())
        assert answer.status in (400, 401)


@given(place=st.integers(0, 72), to=st.sampled_from(string.ascii_letters + string.digits + "-_ ."))
@settings(max_examples=150, deadline=None)
def test_any_altered_character_of_a_token_is_refused(service: Service, place: int, to: str):
    token = service.admin.token
    altered = token[:place] + to + token[place + 1 :]
    expected = 200 if altered.strip() == token else 401
    assert ask(f"{service.server.base_url}/v1/z3", token=altered).status == expected


def test_secrets_are_compared_in_constant_time(
    service: Service, fruit: str, monkeypatch: pytest.MonkeyPatch
):
    """Once for a token of the right form, known or not, and once for a link."""
    compared: list[int] = []
    real = hmac.compare_digest

    def compare(one: Any, other: Any) -> bool:
        compared.append(len(one))
        assert len(one) == len(other)
        return real(one, other)

    link = json.loads(service.admin.ask(f"{fruit}/apple", "POST", {"action": "download"}).body)
    url = link["signedUrl"]
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for token in (service.admin.token, wrong_secret(service.state), f"sc_{'0' * 26}_{'A' * 43}"):
        compared.clear()
        ask(fruit, token=token)
        assert len(compared) == 1
    for altered in (url, url[:-10] + "A" * 10):
        compared.clear()
        request(altered)
        assert len(compared) == 1


# --- links ----------------------------------------------------------------------------


def test_a_link_with_any_byte_altered_is_refused(service: Service, fruit: str):
    link = json.loads(service.admin.ask(f"{fruit}/apple", "POST", {"action": "download"}).body)
    url = link["signedUrl"]
    assert request(url).body == b"an apple"
    start = len(service.server.base_url) + 1
    for place in range(start, len(url)):
        for to in ("A", "0", "%") if url[place] not in "A0%" else ("B", "1", "/"):
            answer = request(url[:place] + to + url[place + 1 :])
            assert answer.status in (400, 403, 404), (place, to)
            assert b"apple" not in answer.body
        assert request(url[:place] + url[place + 1 :]).status in (400, 403, 404)


@pytest.mark.parametrize("action", ["upload", "download"])
def test_a_link_is_good_for_one_thing_only(service: Service, fruit: str, action: str):
    """Not for another method, object, bucket or profile, and not as a token."""
    link = json.loads(service.admin.ask(f"{fruit}/apple", "POST", {"action": action}).body)
    url = link["signedUrl"]
    good = {"upload": ("PUT",), "download": ("GET", "HEAD")}[action]
    for method in {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"} - set(good):
        assert request(url, method).status in (403, 405), method
    parts = urlsplit(url)
    for path in ("/o/other/apple", parts.path + "2", parts.path + "/../pear", parts.path + "/"):
        altered = f"{service.server.base_url}{path}?{parts.query}"
        assert request(altered, good[0]).status in (403, 404), path
    assert request(url.replace("/o/", "/p/default/o/"), good[0]).status == 404
    assert request(f"{fruit}?{parts.query}").status == 401


# --- projects -------------------------------------------------------------------------


def test_projects_know_nothing_of_each_other(service: Service, fruit: str):
    """Buckets of one name, files by their ids, links, listings: each project has its own."""
    base = service.server.base_url
    other = new_user(service.state, project="another")
    assert other.ask(f"{base}/v1/z3").body == b"[]"
    for path, method, body in (
        ("/v1/z3/fruit", "GET", None),
        ("/v1/z3/fruit/apple", "POST", {"action": "download"}),
        ("/v1/z3/fruit/apple", "DELETE", None),
        ("/v1/z3/fruit", "DELETE", None),
        (f"/appfile/file/{service.file_id}", "GET", None),
        ("/appfile/file/import", "POST", {"FileType": "cc5", "FileId": service.file_id}),
    ):
        here, nowhere = (
            other.ask(base + one, method, json.loads(json.dumps(body).replace(was, now)))
            for one, was, now in (
                (path, "", ""),
                (path.replace("fruit", "pears").replace(service.file_id, "0" * 26),
                 service.file_id, "0" * 26),
            )
        )  # fmt: skip
        assert (here.status, nowhere.status) == (404, 404), path
    assert other.ask(fruit, "PUT").status == 200  # the name is free here
    assert json.loads(other.ask(fruit).body) == []
    link = json.loads(other.ask(f"{fruit}/apple", "POST", {"action": "upload"}).body)["signedUrl"]
    assert request(link, "PUT", body=b"another apple").status == 200
    mine = json.loads(service.admin.ask(f"{fruit}/apple", "POST", {"action": "download"}).body)
    assert request(mine["signedUrl"]).body == b"an apple"
    ids = {json.loads(user.ask(f"{base}/v1/z3").body)[0]["id"] for user in (other, service.admin)}
    assert len(ids) == 2


@pytest.mark.parametrize("name", ["x-oystehr-project-id", "x-zapehr-project-id"])
def test_a_project_is_not_chosen_by_a_header(service: Service, fruit: str, name: str):
    """Clients may send one; the token alone says which project it is."""
    other = new_user(service.state, project="another")
    answer = other.ask(fruit, headers={name: service.admin.principal.project_id})
    assert answer.status == 403
    assert b"apple" not in answer.body
