"""What clients send that no honest one does: names, headers and bodies.

`docs/security.md` names these tests. Requests that are none at all, and bodies taken for
requests, are in `tests/gateway/test_hostile.py`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage_core.access import audit
from tests.gateway.clients import request
from tests.service.routes import BODIES, FILE, ROUTES, Service
from tests.service.users import new_user
from tests.waiting import wait_until

TRAVERSALS = (
    "..", "../..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", ".%00/x",
    "a%00b", "%ff%fe", "..%5c..%5cx", "....//", "%252e%252e%252fx", "a%0d%0aSet-Cookie:%20x=1",
    "fruit%2f..%2fother", "%", "%zz", "~root", "-rf", "CON", "$(id)", "';DROP TABLE buckets;--",
    "%27%20OR%201=1--", "{bucket}", "${x}", "a" * 5000,
)  # fmt: skip


@pytest.mark.parametrize("text", TRAVERSALS)
def test_names_that_lead_elsewhere(service: Service, fruit: str, text: str):
    """As a bucket, a key, an id: refused or taken literally, nothing outside of the bucket
    touched, no header of the answer made by it."""
    base = service.server.base_url
    beside = [service.root, service.root.parent, service.root.parent.parent]
    before = [sorted(path.name for path in place.iterdir()) for place in beside]
    admin = service.admin
    calls = [
        ("PUT", f"{base}/v1/z3/{text}", None),
        ("GET", f"{base}/v1/z3/{text}", None),
        ("GET", f"{fruit}/{text}", None),
        ("POST", f"{fruit}/{text}", {"action": "download"}),
        ("DELETE", f"{fruit}/{text}", None),
        ("GET", f"{base}/appfile/file/{text}", None),
        ("POST", f"{base}/appfile/file/path", {**FILE, "Folder": text, "FileName": text}),
        ("POST", f"{base}/appfile/file/path", {**FILE, "BucketId": text}),
    ]
    for method, url, body in calls:
        answer = admin.ask(url.replace(" ", "%20"), method, body)
        assert answer.status in (200, 204, 400, 404, 405, 409, 414, 431), (method, url, answer)
        assert answer.headers["set-cookie"] is None
        if answer.status == 200 and b"signedUrl" in answer.body:
            got = request(json.loads(answer.body)["signedUrl"])
            assert got.status == 404, got
    assert [sorted(path.name for path in place.iterdir()) for place in beside] == before
    admin.ask(f"{base}/v1/z3/{text}".replace(" ", "%20"), "DELETE")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


READING = [name for name, (_, _, operation) in ROUTES.items() if operation.request]
"""Operations that read a body."""


def fields(name: str) -> list[str]:
    """Names of the members that an operation reads, as they are sent."""
    model = ROUTES[name][2].request
    return sorted(model.model_json_schema()["properties"]) if model else []


@pytest.mark.parametrize("name", READING)
def test_bodies_of_any_json(service: Service, fruit: str, name: str):
    """Carried out or refused with 4xx; never a failure of the server. Text holds what a database
    would not take, too."""

    @given(body=JSON | st.dictionaries(st.sampled_from(fields(name)), JSON, max_size=4))
    @example(body={**BODIES.get(name, {}), **dict.fromkeys(fields(name), "a\0b")})
    @settings(max_examples=40, deadline=None)
    def check(body: Any) -> None:
        answer = service.admin.ask(service.url(name), ROUTES[name][2].method, body)
        assert answer.status in (200, 204, 400, 404, 409), (body, answer)
        if answer.body:
            json.loads(answer.body)

    check()


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("text", ["a\0b", "x" * 100_000, "\uffff\U0010ffff", "\u202e\x1b[2J"])
def test_text_in_each_field(service: Service, fruit: str, name: str, text: str):
    """In one field of a body that is good otherwise, and wherever such a field takes text."""
    for field in fields(name):
        for value in (text, [text], {text: text}):
            body = {**service.body(name), field: value}
            answer = service.admin.ask(service.url(name), ROUTES[name][2].method, body)
            assert answer.status in (200, 400, 404), (field, answer)


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"action": "upload", "action": "download"',
        b"\xff\xfe",
        b"{}" * 2,
        b'{"x": 1e999999, "y": ' + b"9" * 50_000 + b"}",
        b'{"action": "\\ud800"}',
        b"action=upload",
    ],
    ids=["arrays", "objects", "unfinished", "no UTF-8", "two", "numbers", "surrogate", "form"],
)
def test_bodies_that_no_parser_likes(service: Service, fruit: str, name: str, body: bytes):
    token = service.admin.token
    headers = {"Authorization": f"Bearer {token}", "X-Api-Key": token}
    answer = request(service.url(name), ROUTES[name][2].method, headers, body)
    assert answer.status in (200, 204, 400, 404, 409), answer  # a large number may be no field


@pytest.mark.parametrize("text", ["a%00b", "x" * 6000, "%f0%9f%8d%8e" * 500, "a%0ab", "%ef%bf%bf"])
def test_the_audit_trail_takes_whatever_was_tried(service: Service, fruit: str, text: str):
    """A target that the database would refuse must not keep it from others."""
    stranger = new_user(service.state, None)
    assert stranger.ask(f"{fruit}/{text}").status == 403
    assert stranger.ask(f"{fruit}/pear").status == 403

    def recorded() -> list[str]:
        events = audit.list_events(service.state, stranger.principal.project_id, limit=50)
        its = [event for event in events if event.credential_id == stranger.credential.id]
        return [event.target for event in its if event.result == "denied"]

    wait_until(lambda: len(recorded()) == 2)
    assert recorded()[0] == "Z3:fruit/pear"
