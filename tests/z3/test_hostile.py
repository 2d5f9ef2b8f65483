"""Keys and paths as nobody means well with them."""

from __future__ import annotations

import http.client
import json
import string
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import storage_core
from storage_core.access import buckets, projects
from storage_core.access.model import Project
from storage_core.config.gateway import Z3Settings
from storage_core.errors import InvalidKeyError
from storage_core.gateway import GatewaySettings, Server, serve_background
from storage_core.keys import check_key
from storage_core.state import State
from tests.z3.conftest import MOUNT, Site
from tests.z3.users import TIMEOUT, User, allow

SHARED = "t-z3-shared-hostile"

ODD = [
    "with space", " ", "a+b", "a&b=c", "what?", "#", "%", "%2F", "%25", "100%", "a%00b", "a//b",
    "/a", "//", "a/", "a//", "é", "e\u0301", "🍏", "a:b", "a*b", "**", "a\\b", 'a"b', "a'b", "a;b",
    "<script>", "{x}", "[x]", "a|b", "^", "`", "...", "a/...", ".hidden", "..a/b", "~", "$(x)",
    "\u2028", "CON", "x" * 990, "fruit/fruit",
]  # fmt: skip


def send(
    user: User, method: str, target: bytes, body: bytes = b""
) -> tuple[int, dict[str, object]]:
    """A request whose target no client library has touched."""
    parts = urlsplit(user.base)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT)
    try:
        # http.client refuses some targets, and encodes none.
        connection.putrequest("GET", "/", skip_accept_encoding=True)
        line = b"%s %s HTTP/1.1" % (method.encode(), target)
        connection._buffer[0] = line  # type: ignore[attr-defined]
        connection.putheader("Authorization", f"Bearer {user.token}")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        return answer.status, json.loads(data) if data.startswith(b"{") else {}
    finally:
        connection.close()


@pytest.mark.parametrize("key", ODD, ids=range(len(ODD)))
def test_odd_keys_come_back_as_they_went(user: User, bucket: str, key: str) -> None:
    check_key(key)  # they can be
    user.put(bucket, key, key.encode())
    assert user.list(bucket) == [f"{bucket}/{key}"]
    assert user.list(bucket, key) == [f"{bucket}/{key}"]
    assert user.get(bucket, key).content == key.encode()
    # Encoded to the last character, slashes too, it is the same key.
    target = f"{MOUNT}/{bucket}/{quote(key, safe='')}".encode()
    status, told = send(user, "POST", target, b'{"action": "download"}')
    assert status == 200
    assert requests.get(str(told["signedUrl"]), timeout=TIMEOUT).content == key.encode()
    assert send(user, "DELETE", target)[0] == 204
    assert user.list(bucket) == []


def test_a_key_of_the_most_bytes_fits(user: User, bucket: str) -> None:
    user.put(bucket, "é" * 512, b"1")
    assert user.list(bucket) == [f"{bucket}/{'é' * 512}"]
    assert user.ask("upload", bucket, "x" * 1025).status_code == 400


# --- out of one's bucket ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(site: Site, state: State) -> Iterator[Server]:
    """A service whose buckets are prefixes side by side."""
    mapping = Z3Settings(bucket=SHARED)
    given = GatewaySettings(facades=("z3",), database=site.database, z3=mapping)
    with serve_background(dict(site.profile), settings=given) as running:
        yield running


@pytest.fixture(scope="module")
def prisoner(shared: Server, state: State) -> User:
    """Who may do everything in a project of his own, with the bucket ``cell``."""
    project = projects.create(state, "prison-" + shared.base_url.rpartition(":")[2])
    user = User.make(shared.base_url + MOUNT, state, project, allow("Z3:*", "Z3:*"))
    assert user.call("PUT", "/cell").status_code in (200, 409)
    return user


@pytest.fixture
def victim(shared: Server, state: State, project: Project) -> buckets.LogicalBucket:
    """The bucket of somebody else, with an object in it."""
    user = User.make(shared.base_url + MOUNT, state, project, allow("Z3:*", "Z3:*"))
    assert user.call("PUT", "/victim").status_code == 200
    user.put("victim", "secret", b"secret")
    return buckets.get(state, project.id, "victim")


def test_no_path_leads_out_of_a_bucket(
    prisoner: User, victim: buckets.LogicalBucket, storage: storage_core.Storage
) -> None:
    secret = f"{victim.prefix}secret"
    ways = [
        f"../{secret}", f"..%2f{secret}", f"%2e%2e/{secret}", f"%2e%2e%2f{secret}",
        f"%252e%252e%252f{secret}", f"..%5c{secret}", f"..\\{secret}", f"./../{secret}",
        f"a/../../{secret}", f"%c0%ae%c0%ae/{secret}", f"..%00/{secret}", f"/{secret}", secret,
        f"..;/{secret}", f"%2e%2e;/{secret}", "..", "%2e%2e", "../../../../etc/passwd",
        f"..%2f..%2f..%2fo/{SHARED}/{secret}",
    ]  # fmt: skip
    for way in ways:
        for bucket in ("cell", "cell/..", "..", "%2e%2e"):
            target = f"{MOUNT}/{bucket}/{way}".encode()
            status, told = send(prisoner, "POST", target, b'{"action": "download"}')
            if status == 200:  # a key of that name in one's own bucket
                link = str(told["signedUrl"])
                assert requests.get(link, timeout=TIMEOUT).status_code == 404, way
            else:
                assert status in (400, 403, 404, 405), (way, status)
            assert send(prisoner, "DELETE", target)[0] in (204, 400, 403, 404, 405)
            assert send(prisoner, "GET", target)[0] in (200, 400, 403, 404, 405)
    assert storage.bucket(SHARED).get(secret).read() == b"secret"
    for child in (f"../{secret}", secret, f"/../{secret}", f"cell/../{secret}"):
        prisoner.call("DELETE", "/cell/folder", {"children": [child]})
    assert storage.bucket(SHARED).get(secret).read() == b"secret"


RAW = st.lists(
    st.sampled_from(
        [*string.ascii_letters[:3], "/", "//", ".", "..", "%2e", "%2F", "%5C", "%25", "%00", "%C3",
         "%A9", "%zz", "%", "+", ";", ":", "*", "~", "&", "=", "\\", "\u00e9", "cell", "%0d%0a"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(raw=RAW)
@example(raw="../cell")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_link_is_to_just_the_key_that_was_written(prisoner: User, raw: str) -> None:
    """Whatever is asked for: a refusal, or a link to that key, decoded once, below the prefix
    of one's own bucket."""
    target = f"{MOUNT}/cell/{raw}".encode("latin-1")
    status, told = send(prisoner, "POST", target, b'{"action": "upload"}')
    try:
        key = unquote(raw, errors="strict")
        check_key(key)
    except (UnicodeError, InvalidKeyError):
        assert status in (400, 404), raw
        return
    if status != 200:
        assert status == 400, raw  # a malformed escape or byte, which `unquote` lets pass
        assert "%zz" in raw or raw.endswith("%") or "%" in key or "\u00e9" in raw
        return
    path = unquote(urlsplit(str(told["signedUrl"])).path)
    found = buckets.get(prisoner.state, prisoner.principal.project_id, "cell")
    assert path == f"/o/{SHARED}/{found.prefix}{key}"
