"""Request bodies: chunked, bound, too large, too slow, and broken off."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import storage_core
from storage_core.gateway import GatewaySettings, serve_background
from storage_core.gateway.uploads import PIECE
from tests.gateway.clients import Raw, request
from tests.gateway.conftest import SETTINGS
from tests.waiting import wait_until

MEBIBYTE = 1024 * 1024


def leftovers(storage: storage_core.Storage) -> list[str]:
    """Temporaries anywhere below the root."""
    root = Path(str(storage.driver.settings.root))  # type: ignore[attr-defined]
    return [str(found) for found in root.glob("buckets/*/tmp/*")]


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * MEBIBYTE])
def test_sized_and_chunked_bodies(bucket: storage_core.Bucket, size: int):
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    link = bucket.presign("k", method="PUT")
    assert request(link, body=body).status == 200
    assert bucket.get("k").read() == body

    def pieces() -> Iterator[bytes]:
        for start in range(0, size, 50_000):
            yield body[start : start + 50_000]

    assert request(bucket.presign("c", method="PUT"), body=pieces()).status == 200
    assert bucket.get("c").read() == body


def test_the_answer_to_a_put(bucket: storage_core.Bucket):
    answer = request(bucket.presign("k", method="PUT"), body=b"12345")
    info = bucket.head("k")
    assert answer.headers["etag"] == f'"{info.etag}"'
    assert info.size == 5


def test_the_content_type_of_the_client_is_kept_unless_bound(bucket: storage_core.Bucket):
    link = bucket.presign("k", method="PUT")
    headers = {"Content-Type": "text/csv", "Content-Encoding": "gzip", "Cache-Control": "no"}
    assert request(link, headers=headers, body=b"x").status == 200
    info = bucket.head("k")
    assert (info.content_type, info.content_encoding) == ("text/csv", "gzip")
    assert info.cache_control is None
    assert request(link, headers={"Content-Type": "x" * 2000}, body=b"y").status == 400
    assert bucket.get("k").read() == b"x"


def test_bound_content_type(bucket: storage_core.Bucket):
    link = bucket.presign("k", method="PUT", content_type="text/csv; charset=utf-8")
    assert link.headers == {"Content-Type": "text/csv; charset=utf-8"}
    for wrong in ("text/plain", "text/csv", "text/csv; charset=latin-1", ""):
        answer = request(link, headers={"Content-Type": wrong}, body=b"x")
        assert (answer.status, answer.code) == (400, "content_type_mismatch")
    bare = storage_core.Link(link.url, "PUT", {}, link.expires_at)
    assert request(bare, body=b"x").status == 400
    assert not bucket.exists("k")
    assert (
        request(link, headers={"Content-Type": "TEXT/CSV;charset=UTF-8"}, body=b"x").status == 200
    )
    assert bucket.head("k").content_type == "text/csv; charset=utf-8"


def test_bound_length(bucket: storage_core.Bucket):
    link = bucket.presign("k", method="PUT", content_length=5)
    for body in (b"", b"1234", b"123456"):
        answer = request(link, body=body)
        assert (answer.status, answer.code) == (400, "content_length_mismatch")
    for pieces in ([b"12", b"34"], [b"123", b"456"], [b"1" * 100_000] * 9):
        assert request(link, body=iter(pieces)).status == 400
    assert not bucket.exists("k")
    assert request(link, body=iter([b"123", b"45"])).status == 200
    assert request(link, body=b"12345").status == 200


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "crc32c"])
def test_bound_checksum(bucket: storage_core.Bucket, algorithm: str):
    from storage_core import checksum

    link = bucket.presign(
        "k", method="PUT", checksum=(algorithm, checksum.digest(algorithm, b"right").hex())
    )
    answer = request(link, body=b"wrong")
    assert (answer.status, answer.code) == (400, "body_mismatch")
    assert not bucket.exists("k")
    assert request(link, body=b"right").status == 200


def test_digests_the_client_sends_are_checked(bucket: storage_core.Bucket):
    link = bucket.presign("k", method="PUT")
    md5 = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    sha = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    for headers in (
        {"Content-MD5": md5},
        {"Content-Digest": f"sha-256=:{sha}:"},
        {"Repr-Digest": f"unknown=:AAAA:, sha-256=:{sha}:"},
    ):
        assert request(link, headers=headers, body=b"x").status == 200
        answer = request(link, headers=headers, body=b"y")
        assert (answer.status, answer.code) == (400, "body_mismatch")
    for headers in ({"Content-MD5": "%%"}, {"Content-Digest": "sha-256=abc"}):
        assert request(link, headers=headers, body=b"x").code == "bad_digest"
    for short in ({"Content-MD5": "AAAA"}, {"Content-Digest": "sha-256=:AAAA:"}):
        assert request(link, headers=short, body=b"x").status == 400
    bound = bucket.presign("b", method="PUT", checksum=("md5", hashlib.md5(b"x").hexdigest()))
    other = base64.b64encode(hashlib.md5(b"y").digest()).decode()
    assert request(bound, headers={"Content-MD5": other}, body=b"y").status == 400
    assert not bucket.exists("b")


def test_a_partial_put_is_refused(bucket: storage_core.Bucket):
    bucket.put("k", b"whole")
    link = bucket.presign("k", method="PUT")
    answer = request(link, headers={"Content-Range": "bytes 0-1/5"}, body=b"xx")
    assert (answer.status, answer.code) == (400, "partial_put")
    assert bucket.get("k").read() == b"whole"


def test_parts(bucket: storage_core.Bucket):
    upload = bucket.create_upload("k", content_type="text/plain")
    first = request(upload.presign_part(1), body=b"one")
    bound = upload.presign_part(
        2, content_length=3, checksum=("md5", hashlib.md5(b"two").hexdigest())
    )
    assert request(bound, body=b"twoo").status == 400
    assert request(bound, body=b"tow").status == 400
    second = request(bound, body=b"two")
    assert (first.status, second.status) == (200, 200)
    parts = list(upload.list_parts())
    assert [f'"{part.etag}"' for part in parts] == [first.headers["etag"], second.headers["etag"]]
    assert not bucket.exists("k")
    upload.complete(parts)
    assert bucket.get("k").read() == b"onetwo"
    gone = request(upload.presign_part(1), body=b"late")
    assert (gone.status, gone.code) == (404, "upload_not_found")
    assert request(upload.presign_part(1), "GET").status == 403


def test_a_body_over_the_limit(bucket: storage_core.Bucket):
    link = bucket.presign("k", method="PUT")
    limit = SETTINGS.max_body_size
    assert request(link, body=b"x" * limit).status == 200
    before = bucket.head("k").etag
    answer = request(link, body=b"x" * (limit + 1))
    assert (answer.status, answer.code) == (413, "body_too_large")
    answer = request(link, body=iter([b"x" * MEBIBYTE] * 4 + [b"x"]))
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert bucket.head("k").etag == before


def test_a_body_that_would_never_end_is_cut(bucket: storage_core.Bucket, raw: Callable[[], Raw]):
    connection = raw()
    connection.head("PUT", bucket.presign("k", method="PUT").url, "Content-Length: 999999999999")
    answer = connection.answer()
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert connection.closed()
    assert not bucket.exists("k")


# --- Expect: 100-continue -------------------------------------------------------------


def test_expect_continue_is_answered_before_the_body(
    bucket: storage_core.Bucket, raw: Callable[[], Raw]
):
    connection = raw()
    url = bucket.presign("k", method="PUT").url
    connection.head("PUT", url, "Content-Length: 5", "Expect: 100-continue")
    assert connection.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send("12345")
    assert connection.answer().status == 200
    assert bucket.get("k").read() == b"12345"


@pytest.mark.parametrize("refusal", ["signature", "type", "size", "condition"])
def test_a_refusal_comes_instead_of_continue(
    bucket: storage_core.Bucket, raw: Callable[[], Raw], refusal: str
):
    link = bucket.presign("k", method="PUT", content_type="a/b")
    lines = ["Content-Length: 5", "Content-Type: a/b"]
    url = link.url
    if refusal == "signature":
        url += "x"
    elif refusal == "type":
        lines[1] = "Content-Type: c/d"
    elif refusal == "size":
        lines[0] = f"Content-Length: {SETTINGS.max_body_size + 1}"
    else:
        lines.append("If-Match: *")
    expected = {"signature": 403, "type": 400, "size": 413, "condition": 412}[refusal]
    connection = raw()
    connection.head("PUT", url, *lines, "Expect: 100-continue")
    answer = connection.answer()
    assert answer.status == expected
    # The body may or may not follow: nothing on this connection can be trusted any more.
    assert answer.headers["connection"] == "close"
    assert connection.closed()


def test_curl_uploads(bucket: storage_core.Bucket, tmp_path: Path):
    source = tmp_path / "body"
    source.write_bytes(b"x" * (3 * MEBIBYTE))
    for key, options in {
        "put": ["-T", str(source)],
        "chunked": ["-T", str(source), "-H", "Transfer-Encoding: chunked"],
        "expect": ["-T", str(source), "-H", "Expect: 100-continue"],
        "upgrade": ["-T", str(source), "--http2"],
    }.items():
        link = bucket.presign(key, method="PUT")
        done = subprocess.run(
            ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *options, link.url],
            capture_output=True,
            check=True,
        )
        assert done.stdout == b"200", key
        assert bucket.head(key).size == 3 * MEBIBYTE


# --- broken off -----------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_an_aborted_upload_leaves_nothing(
    bucket: storage_core.Bucket, raw: Callable[[], Raw], framing: str
):
    etag = bucket.put("k", b"before").etag
    connection = raw()
    sized = framing == "sized"
    line = f"Content-Length: {3 * MEBIBYTE}" if sized else "Transfer-Encoding: chunked"
    connection.head("PUT", bucket.presign("k", method="PUT").url, line)
    piece = b"x" * MEBIBYTE
    connection.send(piece if sized else b"%x\r\n%s\r\n" % (len(piece), piece))
    wait_until(lambda: bool(leftovers(bucket.storage)))
    connection.close()
    wait_until(lambda: not leftovers(bucket.storage))
    assert bucket.head("k").etag == etag


def test_a_client_that_stalls_is_given_up(hasty: storage_core.Bucket, raw: Callable[..., Raw]):
    url = hasty.presign("k", method="PUT").url
    connection = raw(url)
    connection.head("PUT", url, "Content-Length: 10")
    connection.send("12345")
    answer = connection.answer()
    assert (answer.status, answer.code) == (408, "request_timeout")
    assert connection.closed()
    assert not hasty.exists("k")
    wait_until(lambda: not leftovers(hasty.storage))


@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_a_client_that_drips_is_given_up(
    hasty: storage_core.Bucket, raw: Callable[..., Raw], framing: str
):
    """Each byte comes before the limit on one wait, all of them too slowly."""
    line, byte = (
        ("Content-Length: 99", b"x")
        if framing == "sized"
        else ("Transfer-Encoding: chunked", b"1\r\nx\r\n")
    )
    url = hasty.presign("k", method="PUT").url
    connection = raw(url)
    connection.head("PUT", url, line)
    connection.socket.settimeout(0.8)
    answered = b""
    for _ in range(90):
        with contextlib.suppress(ConnectionError):  # it may have been given up just now
            connection.send(byte)
        try:
            answered = connection.socket.recv(12)
        except TimeoutError:
            continue
        break
    assert answered == b"HTTP/1.1 408"
    connection.socket.settimeout(60)
    assert connection.closed()
    assert not hasty.exists("k")


def test_idle_uploads_hold_up_nobody(bucket: storage_core.Bucket, raw: Callable[[], Raw]):
    bucket.put("k", b"x")
    count = 40
    for number in range(count):
        connection = raw()
        url = bucket.presign(f"{number}", method="PUT").url
        connection.head("PUT", url, f"Content-Length: {PIECE + 1}")
        connection.send(bytes(PIECE))
    wait_until(lambda: len(leftovers(bucket.storage)) >= count)
    assert request(bucket.presign("k")).body == b"x"
    assert len(leftovers(bucket.storage)) >= count  # it did not wait for them to be given up


def test_a_slow_client_is_not(local_profile: dict[str, object]):
    """Slower in all than the limit on one wait, though far from it in each."""
    settings = GatewaySettings(stall_timeout=5.0)
    piece = bytes(GatewaySettings().min_rate * 10)  # how long each takes to come is not the matter
    with (
        storage_core.open(config=local_profile) as storage,
        serve_background(storage, settings=settings) as server,
    ):
        bucket = storage.create_bucket("fruit")
        host, port = server.base_url.removeprefix("http://").split(":")
        connection = Raw(socket.create_connection((host, int(port)), timeout=60))
        length = f"Content-Length: {12 * len(piece)}"
        connection.head("PUT", bucket.presign("k", method="PUT").url, length)
        for _ in range(12):
            time.sleep(0.5)  # slowness is what this is about
            connection.send(piece)
        assert connection.answer().status == 200
        connection.close()
        assert bucket.get("k").read() == 12 * piece


def test_keep_alive_goes_on_after_a_read_body(bucket: storage_core.Bucket):
    link = bucket.presign("k", method="PUT")
    host = link.url.split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=60)
    used = None
    for number in range(5):
        connection.request("PUT", link.url.split(host)[1], body=b"%d" % number)
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        assert used is None or connection.sock is used
        used = connection.sock
    connection.close()
