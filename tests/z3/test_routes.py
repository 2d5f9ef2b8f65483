"""The routes of the facade, one by one."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import requests

import storage_core
from storage_core.access import audit, buckets
from storage_core.access.model import Project
from storage_core.config.gateway import Z3Settings
from storage_core.gateway import GatewaySettings, serve_background
from storage_core.state import State
from tests.waiting import wait_until
from tests.z3.conftest import MOUNT, Site
from tests.z3.users import TIMEOUT, User, allow

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def failed(answer: requests.Response, status: int) -> str:
    """The message of a refusal, which has the shape that clients read."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert sorted(body) == ["code", "message"]
    assert body["code"] == status
    assert isinstance(body["message"], str)
    return body["message"]


# --- buckets ------------------------------------------------------------------------------


def test_buckets_are_listed_by_name_with_their_times(user: User) -> None:
    assert user.call("GET", "").json() == []
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = [user.call("PUT", f"/{name}").json() for name in ("b", "A", "a")]
    listed = user.call("GET", "").json()
    assert [entry["name"] for entry in listed] == ["A", "a", "b"]
    assert {(entry["id"], entry["name"]) for entry in listed} == {
        (entry["id"], entry["name"]) for entry in made
    }
    for entry in listed:
        assert sorted(entry) == ["creationDate", "id", "name"]
        assert ISO.fullmatch(entry["creationDate"])
        assert before <= datetime.fromisoformat(entry["creationDate"]) <= datetime.now(UTC)
    assert user.call("GET", "/").json() == listed


def test_a_bucket_is_made_once(user: User) -> None:
    answer = user.call("PUT", "/fruit")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert sorted(answer.json()) == ["id", "name"]
    assert answer.json()["name"] == "fruit"
    assert "exists" in failed(user.call("PUT", "/fruit"), 409)
    assert [entry["id"] for entry in user.call("GET", "").json()] == [answer.json()["id"]]


@pytest.mark.parametrize("name", ["-fruit", "fr%20uit", "fr%2Fuit", "%C3%A9", "x" * 129, "a%00b"])
def test_a_bad_name_of_a_bucket_is_told(user: User, name: str) -> None:
    assert "bucket name" in failed(user.call("PUT", f"/{name}"), 400)


def test_a_bucket_is_deleted_when_it_is_empty(user: User, bucket: str) -> None:
    user.put(bucket, "apple")
    assert "objects" in failed(user.call("DELETE", f"/{bucket}"), 409)
    assert user.call("DELETE", f"/{bucket}/apple").status_code == 204
    answer = user.call("DELETE", f"/{bucket}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert user.call("GET", "").json() == []
    assert "bucket" in failed(user.call("DELETE", f"/{bucket}"), 404)


def test_what_is_not_there_is_told(user: User) -> None:
    for method, path, body in (
        ("GET", "/nothing", None),
        ("GET", "/nothing/a", None),
        ("DELETE", "/nothing", None),
        ("DELETE", "/nothing/a", None),
        ("POST", "/nothing/a", {"action": "upload"}),
        ("POST", "/nothing/a", {"action": "download"}),
    ):
        assert "bucket" in failed(user.call(method, path, body), 404), (method, path)


# --- listing ------------------------------------------------------------------------------

KEYS = ["B", "a", "a/", "a/1", "a/b/2", "ab/3", "doe_jane_1980/scan.pdf", "doe_john/x", "é"]


@pytest.fixture
def filled(state: State, storage: storage_core.Storage, project: Project, bucket: str) -> str:
    found = buckets.get(state, project.id, bucket)
    for key in KEYS:
        storage.bucket(found.physical).put(key, key.encode())
    return bucket


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("", KEYS),
        ("a", ["a", "a/", "a/1", "a/b/2", "ab/3"]),
        ("a/", ["a/", "a/1", "a/b/2"]),
        ("a/b", ["a/b/2"]),
        ("a/b/2", ["a/b/2"]),
        ("doe_j", ["doe_jane_1980/scan.pdf", "doe_john/x"]),
        ("é", ["é"]),
        ("nothing", []),
    ],
)
def test_a_listing_is_of_a_string_that_keys_begin_with(
    user: User, filled: str, prefix: str, found: list[str]
) -> None:
    assert user.list(filled, prefix) == [f"{filled}/{key}" for key in found]


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("", ["B", "a", "a/", "ab/", "doe_jane_1980/", "doe_john/", "é"]),
        ("a", ["a", "a/", "ab/"]),
        ("a/", ["a/", "a/1", "a/b/"]),
        ("a/b/", ["a/b/2"]),
        ("doe_j", ["doe_jane_1980/", "doe_john/"]),
        ("nothing/", []),
    ],
)
def test_a_direct_listing_does_not_descend(
    user: User, filled: str, prefix: str, found: list[str]
) -> None:
    expected = [f"{filled}/{key}" for key in found]
    assert user.list(filled, prefix, "?direct=true") == expected
    assert user.list(filled, prefix, "?direct=false") == user.list(filled, prefix)


def test_a_listing_tells_keys_and_times_alone(user: User, filled: str) -> None:
    for query in ("", "?direct=true"):
        for entry in user.call("GET", f"/{filled}{query}").json():
            assert sorted(entry) == ["key", "lastModified"]
            assert ISO.fullmatch(entry["lastModified"])


def test_the_slash_behind_a_bucket_changes_nothing(user: User, filled: str) -> None:
    assert user.call("GET", f"/{filled}/").json() == user.call("GET", f"/{filled}").json()
    assert user.call("GET", f"/{filled}/?direct=true").json() != []


def test_a_bad_query_is_told(user: User, bucket: str) -> None:
    assert "direct" in failed(user.call("GET", f"/{bucket}?direct=maybe"), 400)
    assert user.list(bucket, "", "?unknown=1") == []


@pytest.mark.parametrize("ordered", [True, False])
def test_a_listing_of_many_pages_comes_whole_and_in_order(
    site: Site, state: State, project: Project, storage: storage_core.Storage, ordered: bool
) -> None:
    """Out of order, too, where the storage is said to list so."""
    profile = {
        **site.profile,
        "capabilities": {"max_page_size": 10, "ordered_listing": ordered},
    }
    settings = GatewaySettings(facades=("z3",), database=site.database)
    with serve_background(profile, settings=settings) as server:
        user = User.make(server.base_url + MOUNT, state, project, allow("Z3:*", "Z3:*"))
        user.call("PUT", "/fruit")
        physical = buckets.get(state, project.id, "fruit").physical
        keys = [f"n/{number:02}" for number in range(35)] + ["n/é", "o/1", "o/2", "é"]
        for key in reversed(keys):
            storage.bucket(physical).put(key, b"")
        answer = user.call("GET", "/fruit")
        assert answer.headers["content-type"] == "application/json"
        assert [entry["key"] for entry in answer.json()] == [f"fruit/{key}" for key in keys]
        assert all(ISO.fullmatch(entry["lastModified"]) for entry in answer.json())
        assert user.list("fruit", "n/2") == [f"fruit/n/{number}" for number in range(20, 30)]
        assert user.list("fruit", "n/0") == [f"fruit/n/{number:02}" for number in range(10)]
        assert user.list("fruit", "", "?direct=1") == ["fruit/n/", "fruit/o/", "fruit/é"]
        assert len(user.list("fruit", "n/", "?direct=1")) == 36


# --- links --------------------------------------------------------------------------------


def test_a_link_to_upload_makes_nothing_yet(user: User, bucket: str) -> None:
    user.link("upload", bucket, "apple")
    assert user.list(bucket) == []


def test_a_link_to_download_waits_for_its_object(user: User, bucket: str) -> None:
    link = user.link("download", bucket, "apple")
    assert requests.get(link, timeout=TIMEOUT).status_code == 404
    user.put(bucket, "apple", b"1")
    assert requests.get(link, timeout=TIMEOUT).content == b"1"
    assert user.call("DELETE", f"/{bucket}/apple").status_code == 204
    assert requests.get(link, timeout=TIMEOUT).status_code == 404


def test_the_last_upload_counts_and_a_link_serves_again(user: User, bucket: str) -> None:
    link = user.link("upload", bucket, "apple")
    for data in (b"1", b"two", b""):
        assert requests.put(link, data=data, timeout=TIMEOUT).status_code == 200
        assert user.get(bucket, "apple").content == data


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (None, "application/octet-stream"),
        ("image/png", "image/png"),
        ("text/plain;charset=UTF-8", "text/plain;charset=UTF-8"),
    ],
)
def test_an_upload_is_of_whatever_type(
    user: User, bucket: str, sent: str | None, told: str
) -> None:
    headers = {"Content-Type": sent} if sent else {}
    link = user.link("upload", bucket, "apple")
    assert requests.put(link, data=b"x", headers=headers, timeout=TIMEOUT).status_code == 200
    given = user.get(bucket, "apple").headers["content-type"]
    assert given in (told, "binary/octet-stream" if sent is None else told)


@pytest.mark.parametrize(
    "content_type", [None, "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "x"]
)
def test_a_body_is_json_whatever_its_header_says(
    user: User, bucket: str, content_type: str | None
) -> None:
    headers = {"Authorization": f"Bearer {user.token}"}
    if content_type is not None:
        headers["Content-Type"] = content_type
    answer = requests.post(
        f"{user.base}/{bucket}/apple",
        data=json.dumps({"action": "upload"}),
        headers=headers,
        timeout=TIMEOUT,
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("", "action"),
        ("{}", "action"),
        ("{", "JSON"),
        ("[]", "object"),
        ("null", "object"),
        ('{"action": "delete"}', "action"),
        ('{"action": ["upload"]}', "action"),
        ('{"action": "upload", "isFolder": 3}', "isFolder"),
        ("action=upload", "JSON"),
        ("\xff", "JSON"),
    ],
)
def test_a_bad_order_is_told(user: User, bucket: str, body: str, named: str) -> None:
    answer = requests.post(
        f"{user.base}/{bucket}/apple",
        data=body.encode("latin-1"),
        headers={"Authorization": f"Bearer {user.token}"},
        timeout=TIMEOUT,
    )
    assert named in failed(answer, 400)


def test_other_methods_are_refused(user: User, bucket: str) -> None:
    for method, path in (
        ("POST", ""),
        ("POST", f"/{bucket}"),
        ("PATCH", f"/{bucket}"),
        ("PUT", f"/{bucket}/apple"),
    ):
        assert failed(user.call(method, path), 405)


# --- folders and deletion -----------------------------------------------------------------


@pytest.mark.parametrize("path", ["dir", "dir/", "dir/sub"])
def test_a_folder_is_a_marker(user: User, bucket: str, path: str) -> None:
    marker = path.rstrip("/") + "/"
    link = user.link("upload", bucket, path, isFolder=True)
    assert user.list(bucket) == [f"{bucket}/{marker}"]
    assert requests.put(link, timeout=TIMEOUT).status_code == 200
    assert user.list(bucket) == [f"{bucket}/{marker}"]
    assert user.get(bucket, marker).content == b""
    again = user.link("download", bucket, path, isFolder=True)
    assert requests.get(again, timeout=TIMEOUT).status_code == 200


def test_a_marker_that_is_there_is_left_alone(user: User, bucket: str) -> None:
    user.put(bucket, "dir/", b"not nothing")
    user.link("upload", bucket, "dir", isFolder=True)
    assert user.get(bucket, "dir/").content == b"not nothing"


def test_a_link_to_download_a_folder_makes_none(user: User, bucket: str) -> None:
    link = user.link("download", bucket, "dir", isFolder=True)
    assert requests.get(link, timeout=TIMEOUT).status_code == 404
    assert user.list(bucket) == []


def test_an_object_is_deleted_and_once_more(user: User, bucket: str) -> None:
    user.put(bucket, "a/apple")
    user.put(bucket, "a/")
    for _ in range(2):
        answer = user.call("DELETE", f"/{bucket}/a/apple")
        assert (answer.status_code, answer.content) == (204, b"")
    assert user.list(bucket) == [f"{bucket}/a/"]


def test_without_children_a_path_is_an_objects(user: User, bucket: str) -> None:
    for key in ("a", "a/", "a/1"):
        user.put(bucket, key)
    assert user.call("DELETE", f"/{bucket}/a", {}).status_code == 204
    assert user.list(bucket) == [f"{bucket}/a/", f"{bucket}/a/1"]


def test_with_children_a_path_is_a_folders(user: User, bucket: str) -> None:
    for key in ("a", "a/", "a/1", "a/b/2"):
        user.put(bucket, key)
    assert user.call("DELETE", f"/{bucket}/a", {"children": []}).status_code == 204
    assert user.list(bucket) == [f"{bucket}/a", f"{bucket}/a/1", f"{bucket}/a/b/2"]


@pytest.mark.parametrize("path", ["a", "a/"])
@pytest.mark.parametrize(
    "children",
    [["fruit/a/1", "fruit/a/b/2"], ["a/1", "a/b/2"], ["1", "b/2"], ["1", "a/b/2", "gone"]],
)
def test_children_are_named_in_three_ways(
    user: User, bucket: str, path: str, children: list[str]
) -> None:
    for key in ("a/", "a/1", "a/b/2", "a/stays"):
        user.put(bucket, key)
    assert user.call("DELETE", f"/{bucket}/{path}", {"children": children}).status_code == 204
    assert user.list(bucket) == [f"{bucket}/a/stays"]


def test_very_many_children_are_several_requests(user: User, bucket: str, state: State) -> None:
    """One request keeps the service busy for a moment only, and is one event of the trail."""
    several = [f"{number}" for number in range(1001)]
    message = failed(user.call("DELETE", f"/{bucket}/a", {"children": several}), 400)
    assert "children: more than 1000 keys" in message
    assert "several requests" in message
    user.put(bucket, "a/7")
    doubled = ["7"] * 500 + ["a/7"] * 497 + ["8", "9", "a/9"]
    assert user.call("DELETE", f"/{bucket}/a", {"children": doubled}).status_code == 204
    assert user.list(bucket) == []

    def events() -> list[tuple[str, str]]:
        found = audit.list_events(state, user.principal.project_id, limit=1000)
        return [(one.target, one.result) for one in found if one.action == "Z3:DeleteObject"]

    wait_until(events)
    assert events() == [("Z3:fruit/a/ and 3 below", "ok")]


def test_children_are_below_their_folder(user: User, bucket: str) -> None:
    for key in ("b", "b/1", "ab", "a/1"):
        user.put(bucket, key)
    everything = ["b", "/b", "fruit/b", "b/1", "ab", "fruit/ab"]
    assert user.call("DELETE", f"/{bucket}/a", {"children": everything}).status_code == 204
    assert len(user.list(bucket)) == 4
    failed(user.call("DELETE", f"/{bucket}/a", {"children": ["../b"]}), 400)
    failed(user.call("DELETE", f"/{bucket}/a", {"children": "b"}), 400)
    failed(user.call("DELETE", f"/{bucket}/a", {"children": [1]}), 400)
    assert len(user.list(bucket)) == 4


def test_a_slash_is_no_object(user: User, bucket: str) -> None:
    """Nor is it the bucket: a client that builds a path of an empty key deletes nothing."""
    failed(user.call("DELETE", f"/{bucket}/"), 400)
    failed(user.call("POST", f"/{bucket}/", {"action": "upload"}), 400)
    assert user.list(bucket) == []


# --- projects, and a shared bucket ----------------------------------------------------------


@pytest.mark.parametrize("header", ["x-oystehr-project-id", "x-zapehr-project-id"])
def test_the_header_names_the_project_of_the_token(
    user: User, project: Project, header: str
) -> None:
    for name in (project.id, project.name):
        assert user.call("GET", "", **{header: name}).status_code == 200
    assert header in failed(user.call("GET", "", **{header: "another"}), 403)
    both = {"x-oystehr-project-id": project.id, "x-zapehr-project-id": project.id}
    assert user.call("GET", "", **both).status_code == 200


def test_buckets_in_one_that_they_share(
    site: Site, state: State, project: Project, storage: storage_core.Storage
) -> None:
    mapping = Z3Settings(bucket="t-z3-shared-by-all", path="/files")
    settings = GatewaySettings(facades=("z3",), database=site.database, z3=mapping)
    with serve_background(dict(site.profile), settings=settings) as server:
        user = User.make(server.base_url + "/files", state, project, allow("Z3:*", "Z3:*"))
        for name in ("one", "two"):
            assert user.call("PUT", f"/{name}").status_code == 200
            user.put(name, "dir/k", name.encode())
        assert user.list("one") == ["one/dir/k"]
        assert user.list("one", "", "?direct=true") == ["one/dir/"]
        assert user.get("one", "dir/k").content == b"one"
        failed(user.call("DELETE", "/one"), 409)
        assert user.call("DELETE", "/one/dir", {"children": ["k"]}).status_code == 204
        assert user.call("DELETE", "/one").status_code == 204
        assert user.list("two") == ["two/dir/k"]
    prefix = buckets.get(state, project.id, "two").prefix
    stored = [item.key for item in storage.bucket("t-z3-shared-by-all").list(prefix)]
    assert stored == [f"{prefix}dir/k"]


def test_deleting_a_bucket_ends_its_links(user: User, bucket: str) -> None:
    up = user.link("upload", bucket, "apple")
    down = user.link("download", bucket, "apple")
    assert user.call("DELETE", f"/{bucket}").status_code == 204
    assert requests.put(up, data=b"x", timeout=TIMEOUT).status_code == 404
    assert requests.get(down, timeout=TIMEOUT).status_code == 404
    # One of the same name is another bucket.
    assert user.call("PUT", f"/{bucket}").status_code == 200
    assert requests.put(up, data=b"x", timeout=TIMEOUT).status_code == 404
    assert user.list(bucket) == []
