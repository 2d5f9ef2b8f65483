"""Policies in force: on every route, at redemption, and from the next request on."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests

from storage_core.access import credentials, principals, projects
from storage_core.state import State
from tests.z3.users import TIMEOUT, User, allow, deny

Users = Callable[..., User]

# Action, what it is needed on, request, its body, status where it is allowed.
NEEDED: list[tuple[str, str, str, str, dict[str, Any] | None, int]] = [
    ("Z3:ListBuckets", "Z3:fruit", "GET", "", None, 200),
    ("Z3:CreateBucket", "Z3:new", "PUT", "/new", None, 200),
    ("Z3:DeleteBucket", "Z3:fruit", "DELETE", "/fruit", None, 204),
    ("Z3:ListObjects", "Z3:fruit", "GET", "/fruit", None, 200),
    ("Z3:ListObjects", "Z3:fruit/*", "GET", "/fruit/", None, 200),
    ("Z3:ListObjects", "Z3:fruit/a/*", "GET", "/fruit/a/", None, 200),
    ("Z3:PutObject", "Z3:fruit/a/1", "POST", "/fruit/a/1", {"action": "upload"}, 200),
    ("Z3:PutObject", "Z3:fruit/a/", "POST", "/fruit/a", {"action": "upload", "isFolder": True}, 200),
    ("Z3:GetObject", "Z3:fruit/a/1", "POST", "/fruit/a/1", {"action": "download"}, 200),
    ("Z3:DeleteObject", "Z3:fruit/a/1", "DELETE", "/fruit/a/1", None, 204),
    ("Z3:DeleteObject", "Z3:fruit/a/*", "DELETE", "/fruit/a", {"children": ["1"]}, 204),
]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "resource", "method", "path", "body", "status"),
    NEEDED,
    ids=[f"{row[0]}-{row[2]}{row[3]}" for row in NEEDED],
)
def test_each_route_needs_its_action_on_its_resource(
    bucket: str,
    make_user: Users,
    action: str,
    resource: str,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    status: int,
) -> None:
    actions = {row[0] for row in NEEDED}
    refused = {
        "without a policy": (),
        "every other action": (allow(sorted(actions - {action}), "Z3:*"),),
        "another bucket": (allow(action, "Z3:vegetables", "Z3:vegetables/*"),),
        "denied as well": (allow("Z3:*", "Z3:*"), deny(action, resource)),
        "denied first": (deny(action, "Z3:*"), allow(action, resource)),
    }
    for why, rules in refused.items():
        answer = make_user(*rules).call(method, path, body)
        if action == "Z3:ListBuckets" and any(action in rule["action"] for rule in rules):
            assert answer.json() == [], why  # a listing shows what there is for one
            continue
        assert answer.status_code == 403, (why, answer.text)
        assert sorted(answer.json()) == ["code", "message"]
        assert action in answer.json()["message"]
    answer = make_user(allow(action, resource)).call(method, path, body)
    assert answer.status_code == status, answer.text


def test_z7_a_token_that_may_not_upload(bucket: str, make_user: Users) -> None:
    reader = make_user(allow(["Z3:GetObject", "Z3:ListObjects", "Z3:ListBuckets"], "Z3:*"))
    assert reader.ask("upload", bucket, "apple").status_code == 403
    assert reader.ask("download", bucket, "apple").status_code == 200


def test_the_buckets_that_are_listed_are_those_one_may_list(user: User, make_user: Users) -> None:
    for name in ("a", "b", "c"):
        user.call("PUT", f"/{name}")
    some = make_user(allow("Z3:ListBuckets", "Z3:a", "Z3:b"), deny("Z3:*", "Z3:b"))
    assert [entry["name"] for entry in some.call("GET", "").json()] == ["a"]
    objects_only = make_user(allow("Z3:*", "Z3:a/*"))
    assert objects_only.call("GET", "").json() == []
    assert make_user(allow("Z3:GetObject", "Z3:*")).call("GET", "").status_code == 403
    assert make_user(deny("Z3:ListBuckets", "Z3:a")).call("GET", "").status_code == 403


def test_what_is_not_there_is_not_told_to_who_may_not_ask(user: User, make_user: Users) -> None:
    user.call("PUT", "/there")
    nobody = make_user(allow("Z3:*", "Z3:elsewhere"))
    for method, path, body in (
        ("GET", "/{}", None),
        ("DELETE", "/{}", None),
        ("PUT", "/{}", None),
        ("POST", "/{}/k", {"action": "download"}),
        ("DELETE", "/{}/k", None),
    ):
        there = nobody.call(method, path.format("there"), body)
        missing = nobody.call(method, path.format("missing"), body)
        assert there.status_code == missing.status_code == 403
        assert there.json() == missing.json()


# --- listings ---------------------------------------------------------------------------------


@pytest.fixture
def filled(user: User, bucket: str) -> str:
    for key in ("open/1", "open/2", "openly", "secret/1", "secret/2/x", "z"):
        user.put(bucket, key, b"x")
    return bucket


def test_what_is_denied_is_not_listed(filled: str, make_user: Users) -> None:
    some = make_user(
        allow("Z3:ListObjects", "Z3:fruit/*"),
        deny("Z3:*", "Z3:fruit/secret/*", "Z3:fruit/z"),
    )
    assert some.list(filled) == ["fruit/open/1", "fruit/open/2", "fruit/openly"]
    assert some.list(filled, "", "?direct=true") == ["fruit/open/", "fruit/openly"]
    assert some.list(filled, "secre") == []
    assert some.call("GET", "/fruit/secret/").status_code == 403
    hidden_reads_only = make_user(
        allow("Z3:*", "Z3:fruit/*"), deny("Z3:GetObject", "Z3:fruit/secret/*")
    )
    assert "fruit/secret/1" in hidden_reads_only.list(filled)


def test_a_right_to_a_path_is_none_to_its_neighbours(filled: str, make_user: Users) -> None:
    some = make_user(allow("Z3:ListObjects", "Z3:fruit/open"))
    assert some.list(filled, "open") == ["fruit/open/1", "fruit/open/2"]
    more = make_user(allow("Z3:ListObjects", "Z3:fruit/open", "Z3:fruit/openly"))
    assert more.list(filled, "open") == ["fruit/open/1", "fruit/open/2", "fruit/openly"]
    assert make_user(allow("Z3:ListObjects", "Z3:fruit/*")).list(filled, "ope") == [
        "fruit/open/1",
        "fruit/open/2",
        "fruit/openly",
    ]


# --- deletion of several ----------------------------------------------------------------------


def test_nothing_is_deleted_when_one_of_several_may_not_be(user: User, make_user: Users) -> None:
    user.call("PUT", "/fruit")
    for key in ("a/", "a/1", "a/2"):
        user.put("fruit", key)
    some = make_user(allow("Z3:DeleteObject", "Z3:fruit/a/*"), deny("Z3:*", "Z3:fruit/a/2"))
    answer = some.call("DELETE", "/fruit/a", {"children": ["1", "2"]})
    assert answer.status_code == 403
    assert user.list("fruit") == ["fruit/a/", "fruit/a/1", "fruit/a/2"]


# --- changes ----------------------------------------------------------------------------------


def test_a_change_of_policy_is_in_force_with_the_next_request(
    bucket: str, make_user: Users
) -> None:
    some = make_user()
    for _ in range(3):
        some.under(allow("Z3:PutObject", f"Z3:{bucket}/*"))
        assert some.ask("upload", bucket, "apple").status_code == 200
        some.under(allow("Z3:PutObject", f"Z3:{bucket}/*"), deny("Z3:*", f"Z3:{bucket}/apple"))
        assert some.ask("upload", bucket, "apple").status_code == 403


def test_links_go_with_the_right_of_who_asked_for_them(
    user: User, bucket: str, make_user: Users, state: State
) -> None:
    user.put(bucket, "apple", b"1")
    some = make_user(allow(["Z3:PutObject", "Z3:GetObject"], f"Z3:{bucket}/*"))
    up, down = some.link("upload", bucket, "apple"), some.link("download", bucket, "apple")

    def redeemed() -> tuple[int, int]:
        return (
            requests.put(up, data=b"2", timeout=TIMEOUT).status_code,
            requests.get(down, timeout=TIMEOUT).status_code,
        )

    assert redeemed() == (200, 200)
    some.under(allow("Z3:GetObject", f"Z3:{bucket}/*"))
    assert redeemed() == (403, 200)
    some.under(allow("Z3:PutObject", f"Z3:{bucket}/*"))
    assert redeemed() == (200, 403)
    some.under(allow("Z3:*", f"Z3:{bucket}/*"))
    known = (some.principal.project_id, some.principal.id)
    principals.set_active(state, *known, active=False)
    assert redeemed() == (403, 403)
    principals.set_active(state, *known, active=True)
    assert redeemed() == (200, 200)
    credentials.revoke(state, some.principal.project_id, some.credential_id)
    assert redeemed() == (403, 403)
    assert some.call("GET", "").status_code == 401
    assert user.get(bucket, "apple").content == b"2"


def test_projects_know_nothing_of_each_other(user: User, state: State, make_user: Users) -> None:
    other = projects.create(state, "p-" + uuid.uuid4().hex)
    stranger = make_user(allow("*", "*"), of=other)
    user.call("PUT", "/fruit")
    user.put("fruit", "apple", b"mine")
    assert stranger.call("GET", "").json() == []
    for method, path, body in (
        ("GET", "/fruit", None),
        ("DELETE", "/fruit", None),
        ("DELETE", "/fruit/apple", None),
        ("POST", "/fruit/apple", {"action": "download"}),
        ("POST", "/fruit/apple", {"action": "upload"}),
    ):
        assert stranger.call(method, path, body).status_code == 404
    assert stranger.call("PUT", "/fruit").status_code == 200
    stranger.put("fruit", "apple", b"theirs")
    assert user.get("fruit", "apple").content == b"mine"
    named = {"x-oystehr-project-id": user.principal.project_id}
    assert stranger.call("GET", "/fruit", **named).status_code == 403
