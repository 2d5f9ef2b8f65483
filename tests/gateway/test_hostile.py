"""Requests no honest client sends: answered with a documented refusal or a closed
connection, the server sound afterwards, nothing outside the root touched."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import storage_core
from storage_core.gateway import Server
from storage_core.gateway.protocol import GatewayProtocol
from tests.gateway.clients import Raw, request, target_of

BIG = os.urandom(1024 * 1024) * 24  # what no socket buffer holds


@pytest.fixture(autouse=True)
def _still_sound(server: Server):
    yield
    assert request(server.base_url + "/health").status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"FOO /o/b/k HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_request(raw: Callable[[], Raw], data: bytes):
    connection = raw()
    connection.send(data)
    first = connection.socket.recv(64)
    assert first == b"" or first.split()[1] in (b"400", b"403", b"404", b"431", b"501")
    connection.socket.settimeout(0.2)
    connection.closed()


@given(st.binary(min_size=1, max_size=300))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_bytes(raw: Callable[[], Raw], data: bytes):
    connection = raw()
    connection.send(data + b"\r\n\r\n")
    connection.socket.settimeout(0.05)
    try:
        first = connection.socket.recv(64)
    except (TimeoutError, ConnectionError):
        first = b""
    assert first == b"" or first.split()[1] in (b"400", b"403", b"404", b"431")
    connection.close()


@given(
    path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60),
    method=st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]),
)
@settings(max_examples=60, deadline=None)
def test_random_paths(server: Server, path: str, method: str):
    answer = request(f"{server.base_url}/o/{path}".replace("#", "%23"), method)
    assert answer.status in (400, 403, 404)


@pytest.mark.parametrize(
    "key",
    ["../../etc/passwd", "..", "/etc/passwd", "a/../../b", "..%2f..%2fetc/passwd", "%2e%2e/x"],
)
def test_no_path_leads_outside(
    bucket: storage_core.Bucket,
    raw: Callable[[], Raw],
    tmp_path_factory: pytest.TempPathFactory,
    key: str,
):
    """Signed for another key, then for this very one: never anything but this bucket."""
    bucket.put("k", b"inside")
    outside = _tree(bucket)
    url = bucket.presign("k").url.replace("/k?", f"/{key}?")
    connection = raw()
    connection.head("GET", url)
    assert connection.answer().status == 403
    connection = raw()
    connection.head("PUT", url.replace("GET", "PUT"), "Content-Length: 1")
    connection.send("x")
    assert connection.answer().status == 403
    assert _tree(bucket) == outside


def _tree(bucket: storage_core.Bucket) -> set[str]:
    root = Path(str(bucket.storage.driver.settings.root))  # type: ignore[attr-defined]
    return {str(found) for found in root.parent.iterdir()}


def test_a_signed_link_with_dot_segments_stays_in_the_bucket(bucket: storage_core.Bucket):
    """Such a key can not be made, but a link to read it can be; it names an object that is
    not there, and no place on the disk."""
    for key in ("../../storage.json", "a/../b", "./x"):
        answer = request(bucket.presign(key))
        assert (answer.status, answer.code) == (404, "object_not_found")


def test_a_null_byte_in_a_key(bucket: storage_core.Bucket):
    bucket.put("k", b"x")
    url = bucket.presign("k").url.replace("/k?", "/k%00?")
    assert request(url).status == 403


@pytest.mark.parametrize("count", [1, 3])
def test_pipelined_requests_are_answered_in_order(
    bucket: storage_core.Bucket, raw: Callable[[], Raw], count: int
):
    bodies = [b"%d" % number * 50_000 for number in range(count)]
    head = b""
    for number, body in enumerate(bodies):
        bucket.put(f"k{number}", body)
        target = target_of(bucket.presign(f"k{number}").url)
        head += f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    connection = raw()
    connection.send(head)
    for body in bodies:
        assert connection.answer().body == body


# --- between and during answers -------------------------------------------------------


@pytest.mark.parametrize("extra", [b"\r\n", b"GET /o", b"GET / HTTP/1.1\r\nHost: x\r\nx-a: b"])
def test_stray_bytes_do_not_end_a_download(
    bucket: storage_core.Bucket,
    raw: Callable[[], Raw],
    monkeypatch: pytest.MonkeyPatch,
    extra: bytes,
):
    """A client that takes longer than the limit on a head, and has begun with the next one."""
    bucket.put("k", BIG)
    connection = raw()
    connection.head("GET", bucket.presign("k").url)
    assert connection.socket.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
    monkeypatch.setattr(GatewayProtocol, "head_timeout", 0.3)
    connection.send(extra)
    time.sleep(0.6)  # time for a wrong thing to happen; there is nothing right to wait for
    assert connection.answer().body == BIG


@pytest.mark.parametrize(
    "extra",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nx-a: " + b"b" * (GatewayProtocol.max_overhead * 2),
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["431", "400", "no host", "connect"],
)
def test_nothing_is_written_into_a_running_answer(
    bucket: storage_core.Bucket, raw: Callable[[], Raw], extra: bytes
):
    """What was asked before a request that is none is answered whole, and then it ends."""
    bucket.put("k", BIG)
    connection = raw()
    connection.head("GET", bucket.presign("k").url)
    assert connection.socket.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
    connection.send(extra)
    assert connection.answer().body == BIG
    assert connection.socket.recv(100) == b""


def test_a_late_head_after_an_answer(
    bucket: storage_core.Bucket, raw: Callable[[], Raw], monkeypatch: pytest.MonkeyPatch
):
    """With the answer complete the limit holds again, also for a head begun before."""
    bucket.put("k", BIG)
    connection = raw()
    connection.head("GET", bucket.presign("k").url)
    assert connection.socket.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
    monkeypatch.setattr(GatewayProtocol, "head_timeout", 0.3)
    connection.send(b"GET /o")
    assert connection.answer().body == BIG
    with contextlib.suppress(ConnectionError):
        connection.send(b"/")
    assert connection.closed()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /health HTTP/1.1\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 400),
        (b"GET /health HTTP/1.0\r\n\r\n", 200),
        (b"PUT /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (
            b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            501,
        ),
    ],
)
def test_what_rfc_9112_has_refused(raw: Callable[[], Raw], head: bytes, status: int):
    connection = raw()
    connection.send(head)
    assert connection.answer().status == status
    assert connection.closed()


def test_a_body_in_an_unknown_coding_is_not_stored(
    bucket: storage_core.Bucket, raw: Callable[[], Raw]
):
    connection = raw()
    url = bucket.presign("k", method="PUT").url
    connection.head("PUT", url, "Transfer-Encoding: gzip, chunked")
    connection.send(b"5\r\nhello\r\n0\r\n\r\n")
    assert connection.answer().status == 501
    assert not bucket.exists("k")


def test_a_body_is_never_taken_for_a_request(bucket: storage_core.Bucket, raw: Callable[[], Raw]):
    """A refused upload whose body looks like a request: the connection ends instead."""
    bucket.put("victim", b"x")
    smuggled = f"DELETE {target_of(bucket.presign('victim', method='DELETE').url)} HTTP/1.1\r\nHost: x\r\n\r\n"
    connection = raw()
    url = bucket.presign("k", method="PUT").url + "x"
    connection.head("PUT", url, f"Content-Length: {len(smuggled)}", "Expect: 100-continue")
    assert connection.answer().status == 403
    try:
        connection.send(smuggled)
        connection.send(smuggled)
    except ConnectionError:
        pass
    assert connection.closed()
    assert bucket.exists("victim")


def test_an_endless_head(raw: Callable[[], Raw]):
    for start, piece in (
        (b"GET /", b"a" * 8192),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"x-a: b\r\n" * 1024),
        (b"GET / HTTP/1.1\r\nHost: x\r\nx-a: ", b"b" * 8192),
    ):
        connection = raw()
        connection.send(start)
        sent = 0
        try:
            while sent < 40 * 1024 * 1024:
                connection.send(piece)
                sent += len(piece)
        except ConnectionError:
            pass
        # The kernel's buffers take some megabytes before the sender notices.
        assert sent < 40 * 1024 * 1024
        assert connection.closed()


def test_a_large_head_is_refused_with_its_status(raw: Callable[[], Raw]):
    connection = raw()
    connection.send(
        b"GET / HTTP/1.1\r\nHost: x\r\nx-a: " + b"b" * (GatewayProtocol.max_overhead + 1)
    )
    assert connection.answer().status == 431
    assert connection.closed()


def test_endless_trailers(bucket: storage_core.Bucket, raw: Callable[[], Raw]):
    connection = raw()
    url = bucket.presign("k", method="PUT").url
    connection.head("PUT", url, "Transfer-Encoding: chunked")
    connection.send(b"1\r\nx\r\n0\r\n")
    sent = 0
    try:
        while sent < 40 * 1024 * 1024:
            connection.send(b"x-trailer: " + b"y" * 8192 + b"\r\n")
            sent += 8192
    except ConnectionError:
        pass
    assert sent < 40 * 1024 * 1024
    assert not bucket.exists("k")


def test_a_trailer_changes_nothing(bucket: storage_core.Bucket, raw: Callable[[], Raw]):
    connection = raw()
    url = bucket.presign("k", method="PUT").url
    connection.head("PUT", url, "Transfer-Encoding: chunked", "Content-Type: a/b")
    connection.send(b"1\r\nx\r\n0\r\nContent-Type: text/html\r\n\r\n")
    assert connection.answer().status == 200
    assert bucket.head("k").content_type == "a/b"


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
def test_a_head_that_does_not_come(
    raw: Callable[[], Raw], monkeypatch: pytest.MonkeyPatch, start: bytes
):
    monkeypatch.setattr(GatewayProtocol, "head_timeout", 0.3)
    connection = raw()
    connection.send(start)
    assert connection.closed()


def test_a_head_that_drips(raw: Callable[[], Raw], monkeypatch: pytest.MonkeyPatch):
    """One byte now and then keeps nothing open, neither on a new connection nor on one that
    was used."""
    connection = raw()
    connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.answer().status == 200
    monkeypatch.setattr(GatewayProtocol, "head_timeout", 0.5)
    connection.socket.settimeout(0.1)
    sent = 0
    try:
        while sent < 600:
            connection.send(b"\r\n"[sent % 2 : sent % 2 + 1])
            sent += 1
            try:
                if not connection.socket.recv(10):
                    break
            except TimeoutError:
                continue
    except ConnectionError:
        pass
    assert sent < 600


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "If-Match",
                    "If-None-Match",
                    "If-Modified-Since",
                    "If-Range",
                    "Range",
                    "Expect",
                    "Content-Type",
                    "Content-Encoding",
                    "Content-MD5",
                    "Content-Digest",
                    "Content-Length",
                    "Transfer-Encoding",
                    "Connection",
                    "Upgrade",
                    "Origin",
                ]
            ),
            st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=30),
        ),
        max_size=5,
    ),
    st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_headers(
    fuzzed: storage_core.Bucket, raw: Callable[[], Raw], fields: list[tuple[str, str]], method: str
):
    link = fuzzed.presign("k", method=method)  # type: ignore[arg-type]
    connection = raw()
    connection.head(method, link.url, *(f"{name}: {value}" for name, value in fields))
    connection.socket.settimeout(0.3)
    try:
        first = connection.socket.recv(256)
    except (TimeoutError, ConnectionError):
        first = b""
    connection.close()
    documented = (100, 200, 204, 206, 304, 400, 403, 404, 408, 412, 413, 416, 431, 501)
    assert first == b"" or int(first.split()[1]) in documented
    assert quote(b"Traceback") not in first.decode("latin-1")


@pytest.fixture(scope="module")
def fuzzed(storage: storage_core.Storage, server: Server) -> storage_core.Bucket:
    bucket = storage.create_bucket("fuzzed", exist_ok=True)
    bucket.put("k", b"x" * 100)
    return bucket
