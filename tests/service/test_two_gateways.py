"""Two gateways on one PostgreSQL and one store, behind a proxy that gives them requests in turn.

`storage serve` processes over real sockets; the store is local disk, and S3 on Ceph's radosgw.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.gateway.clients import request, target_of
from tests.servers import Server
from tests.servers.postgres import database
from tests.service.fleet import PATIENCE, Fleet, fleet
from tests.service.users import EVERYTHING, User, ask, new_user
from tests.waiting import wait_until

NO_READING = {
    "rule": [
        EVERYTHING["rule"],
        {"effect": "Deny", "action": "Z3:GetObject", "resource": "Z3:*"},
    ]
}
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module", params=["local", "s3"])
def two(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Server
) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    if request.param == "local":
        profile = {"driver": "local", "root": str(folder / "root"), "fsync": False}
    else:
        profile = dict(request.getfixturevalue("radosgw").profile)
    with database(postgres) as url, fleet(folder, profile, url) as running:
        yield running


@dataclass
class Client:
    """A user with a bucket, and what is asked of a gateway or the proxy."""

    fleet: Fleet
    user: User
    bucket: str

    def ask(self, url: str, path: str, method: str = "GET", value: object = None) -> Any:
        """JSON of an answer that is a success."""
        answer = self.user.ask(url + path, method, value)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def link(self, url: str, key: str, action: str) -> str:
        path = f"/v1/z3/{self.bucket}/{quote(key)}"
        return self.ask(url, path, "POST", {"action": action})["signedUrl"]

    def keys(self, url: str) -> set[str]:
        found = self.ask(url, f"/v1/z3/{self.bucket}")
        return {one["key"].removeprefix(f"{self.bucket}/") for one in found}


@pytest.fixture
def client(two: Fleet) -> Client:
    made = Client(two, new_user(two.state), f"b-{uuid.uuid4().hex[:12]}")
    made.ask(two.url, f"/v1/z3/{made.bucket}", "PUT")
    return made


def test_one_of_two_that_start_at_once_sets_the_database_up(two: Fleet):
    (token,) = two.tokens
    for gateway in two.gateways:
        assert ask(f"{gateway.url}/v1/z3", token=token).status == 200


def test_links_made_by_one_are_redeemed_by_the_other(two: Fleet, client: Client):
    for makes, redeems in (two.gateways, two.gateways[::-1]):
        body = os.urandom(70_000)
        link = client.link(makes.url, "a/ b", "upload")
        assert request(two.at(redeems, link), "PUT", body=body).status == 200
        link = client.link(makes.url, "a/ b", "download")
        assert request(two.at(redeems, link)).body == body
        assert client.keys(redeems.url) == {"a/ b"}


def test_through_the_proxy_both_serve_and_no_one_notices(two: Fleet, client: Client):
    before = two.proxy.taken.copy()
    for number in range(6):
        body = os.urandom(1000)
        link = client.link(two.url, f"k{number}", "upload")
        assert request(link, "PUT", body=body).status == 200
        assert request(client.link(two.url, f"k{number}", "download")).body == body
    taken = two.proxy.taken - before
    assert all(taken[gateway.url] >= 10 for gateway in two.gateways)


def test_a_policy_change_is_in_force_by_the_next_request_on_both(two: Fleet, client: Client):
    request(client.link(two.url, "k", "upload"), "PUT", body=b"x")
    link = client.link(two.url, "k", "download")
    path = f"/v1/z3/{client.bucket}/k"
    for document, status in ((EVERYTHING, 200), (NO_READING, 403), (EVERYTHING, 200)):
        client.user.put_policy(document)
        for gateway in two.gateways:
            answer = client.user.ask(gateway.url + path, "POST", {"action": "download"})
            assert answer.status == status
            assert request(two.at(gateway, link)).status == status


def test_a_revoked_token_is_refused_by_both_and_so_are_its_links(two: Fleet, client: Client):
    request(client.link(two.url, "k", "upload"), "PUT", body=b"x")
    link = client.link(two.url, "k", "download")
    for gateway in two.gateways:
        assert client.user.ask(f"{gateway.url}/v1/z3").status == 200
        assert request(two.at(gateway, link)).status == 200
    client.user.revoke()
    for gateway in two.gateways:
        assert client.user.ask(f"{gateway.url}/v1/z3").status == 401
        assert request(two.at(gateway, link)).status == 403


def test_a_file_registered_at_one_is_uploaded_imported_and_followed_at_either(
    two: Fleet, client: Client
):
    one, other = two.gateways
    told = client.ask(
        one.url,
        "/appfile/file/path",
        "POST",
        {"WorkspaceId": "w", "BucketId": client.bucket, "FileName": "fruit.cc5txt"},
    )["Data"]
    assert request(two.at(other, told["Url"]), "PUT", body=CC5).status == 200
    started = {"FileType": "cc5", "FileId": told["FileId"], "ActionId": told["ActionId"]}
    assert client.ask(other.url, "/appfile/file/import", "POST", started)["IsSuccess"]
    for gateway in two.gateways:
        wait_until(lambda url=gateway.url: imported(client, url, told["FileId"]), PATIENCE)  # type: ignore[misc]


CC5 = b"""\
00|customer|data|20240101000000|1
01|fruit|w|b|s|upsert
02|code
03|code:string|name:string
10|1|apple
10|2|pear
99|2
"""


def imported(client: Client, url: str, file_id: str) -> bool:
    file = client.ask(url, f"/appfile/file/{file_id}")["Data"]["File"]
    assert file["Status"] != "Failed", file
    return file["Status"] == "Imported"


# --- one is killed --------------------------------------------------------------------


@dataclass
class Uploads:
    """Clients that upload one object after the other until told to stop, and know which of
    them were acknowledged."""

    client: Client
    acknowledged: dict[str, str] = field(default_factory=dict)
    tried: dict[str, str] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self, count: int) -> Iterator[None]:
        threads = [threading.Thread(target=self._upload, args=(n,)) for n in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join()

    def _upload(self, number: int) -> None:
        turn = 0
        while not self.stopped.is_set():
            turn += 1
            key = f"{number}/{turn}"
            body = os.urandom(1000) * (100 + 37 * turn % 700)
            self.tried[key] = hashlib.sha256(body).hexdigest()
            # A connection that a gateway's death breaks off; the client would try again.
            with contextlib.suppress(OSError, http.client.HTTPException):
                link = self.client.link(self.client.fleet.url, key, "upload")
                if request(link, "PUT", body=body).status == 200:
                    self.acknowledged[key] = self.tried[key]


def half_sent(url: str, link: str) -> socket.socket:
    """A connection on which half of an upload was sent to a gateway, more than fits on the
    way: the rest of that half it has read."""
    body = os.urandom(MEBIBYTE) * 32
    address = urlsplit(url)
    connection = socket.create_connection((str(address.hostname), address.port or 80), timeout=60)
    head = f"PUT {target_of(link)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body[: len(body) // 2])
    return connection


def test_one_killed_during_uploads_loses_nothing_acknowledged(two: Fleet, client: Client):
    """kill -9 of a gateway while many uploads are under way, new keys and overwritten ones."""
    victim, other = two.gateways
    before = os.urandom(MEBIBYTE)
    for key in ("overwritten", "also/overwritten"):
        assert request(client.link(two.url, key, "upload"), "PUT", body=before).status == 200
    uploads = Uploads(client)
    with contextlib.ExitStack() as stack, uploads.running(6):
        for key in ("overwritten", "also/overwritten", "new", "also/new"):
            link = client.link(other.url, key, "upload")
            stack.enter_context(half_sent(victim.url, link))
        wait_until(lambda: len(uploads.acknowledged) >= 20, PATIENCE)
        two.kill(victim)
        count = len(uploads.acknowledged)
        wait_until(lambda: len(uploads.acknowledged) >= count + 20, PATIENCE)

    found = client.keys(other.url)
    assert found >= set(uploads.acknowledged)
    assert found - {"overwritten", "also/overwritten"} <= set(uploads.tried)
    for key in found & set(uploads.tried):
        body = request(client.link(two.url, key, "download")).body
        assert hashlib.sha256(body).hexdigest() == uploads.tried[key], key
    for key in ("overwritten", "also/overwritten"):
        assert request(client.link(two.url, key, "download")).body == before
    for key in ("new", "also/new"):
        assert request(client.link(two.url, key, "download")).status == 404

    (replaced,) = two.start()
    assert client.keys(replaced.url) == found
