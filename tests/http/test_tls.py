"""TLS: who is trusted, what is shown, what is said when it fails."""

from __future__ import annotations

import os
import ssl
import threading
from dataclasses import replace

import pytest

from storage_core.errors import ConfigError, OperationTimeoutError, UnavailableError
from storage_core.http import HttpSettings, Origin, Request, Response
from storage_core.http.tls import tls_context
from storage_core.runtime import drive
from tests.http.certificates import Authority
from tests.http.hostile.answers import DONE, OK, chunked, plain, then, tolerant
from tests.http.hostile.clients import KINDS, QUICK, Pieces, fetch, patiently, request
from tests.http.hostile.differences import differs
from tests.http.hostile.server import Peer
from tests.waiting import PATIENCE

BLOCKING = [kind for kind in KINDS if kind.io == "blocking"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"), "trusted")


@pytest.fixture(scope="module")
def settings(authority):
    return replace(QUICK, ca_file=str(authority.file))


@pytest.fixture(scope="module")
def tls(authority):
    return authority.server_context("localhost", "127.0.0.1")


def test_requests_over_tls(client, serve, tls, settings):
    big = bytes(range(256)) * 8192  # 2 MiB
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        then_body(peer, seen, plain())
        then_body(peer, seen, chunked(b"a" * 70000, b"b"))
        then_body(peer, seen, plain(big))
        then_body(peer, seen, plain())
        then_body(peer, seen, plain())
        peer.gone()

    server = serve(script, tls=tls)

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, DONE)
        assert await fetch(transport, request(server)) == (200, b"a" * 70000 + b"b")
        assert await fetch(transport, request(server)) == (200, big)
        assert await fetch(transport, request(server, "PUT", body=big)) == (200, DONE)
        pieces = Pieces(big[:100_000], big[100_000:])
        assert await fetch(transport, request(server, "PUT", body=pieces)) == (200, DONE)

    client.run(main, settings)
    assert seen[3] == seen[4] == big


def then_body(peer: Peer, seen: list[bytes], answer: bytes) -> None:
    head = peer.head()
    if head.get("expect"):
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    seen.append(peer.read(int(head.get("content-length") or 0)))
    peer.send(answer)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_names_and_addresses_are_verified(client, serve, authority, settings, name):
    other = "127.0.0.1" if name == "localhost" else "localhost"
    server = serve(then(plain()), tls=authority.server_context(name))
    wrong = serve(spare=lambda peer: None, tls=authority.server_context(other, "example.org"))

    async def main(transport):
        asked = Request("GET", Origin.of(f"https://{name}:{server.port}"), "/")
        assert await fetch(transport, asked) == (200, DONE)
        asked = Request("GET", Origin.of(f"https://{name}:{wrong.port}"), "/?sig=hush")
        with pytest.raises(ConfigError, match="not trusted") as seen:
            await fetch(transport, asked)
        assert seen.value.unsent
        assert str(wrong.port) in str(seen.value)
        assert "hush" not in str(seen.value)

    client.run(main, settings)


@pytest.mark.parametrize("what", ["unknown", "expired"])
def test_a_certificate_that_is_not_good(client, serve, authority, settings, tmp_path, what):
    if what == "unknown":
        context = Authority(tmp_path, "stranger").server_context("127.0.0.1")
    else:
        context = authority.server_context("127.0.0.1", expired=True)
    server = serve(spare=lambda peer: None, tls=context)

    async def main(transport):
        with pytest.raises(ConfigError, match="ca_file") as seen:
            await fetch(transport, request(server))
        assert seen.value.unsent
        assert not seen.value.retryable

    client.run(main, settings)


def test_the_systems_certificates_do_not_trust_it(client, serve, tls):
    server = serve(spare=lambda peer: None, tls=tls)

    async def main(transport):
        with pytest.raises(ConfigError, match="not trusted"):
            await fetch(transport, request(server))

    client.run(main)


def test_verification_can_be_switched_off(client, serve, tmp_path):
    stranger = Authority(tmp_path, "stranger").server_context("example.org")
    server = serve(then(plain()), tls=stranger)

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, replace(QUICK, verify=False))


@pytest.mark.parametrize("shown", [True, False])
def test_client_certificates(client, serve, authority, settings, shown):
    context = authority.server_context("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    files = authority.issue("a-client")
    names = []

    def script(peer: Peer) -> None:
        assert isinstance(peer.socket, ssl.SSLSocket)
        names.append(str(peer.socket.getpeercert()))
        then(plain())(peer)

    if shown:
        server = serve(script, tls=context)
        settings = replace(settings, client_cert=str(files.cert), client_key=str(files.key))
    else:
        server = serve(tls=context)

    async def main(transport):
        if shown:
            assert await fetch(transport, request(server)) == (200, DONE)
            assert "a-client" in str(names)
            return
        with pytest.raises(UnavailableError):
            await fetch(transport, request(server))

    client.run(main, settings)


def test_no_tls_spoken_there(client, serve, settings):
    def plainly(peer: Peer) -> None:
        peer.socket.recv(1000)
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.gone()

    server = serve(plainly)

    async def main(transport):
        asked = Request("GET", Origin.of(f"https://127.0.0.1:{server.port}"), "/")
        with pytest.raises(UnavailableError, match="TLS") as seen:
            await fetch(transport, asked)
        assert seen.value.unsent

    client.run(main, settings)


def test_a_handshake_that_stalls_ends(client, serve, settings):
    server = serve(spare=lambda peer: peer.gone())

    async def main(transport):
        asked = Request("GET", Origin.of(f"https://127.0.0.1:{server.port}"), "/")
        for _ in range(100):  # on a busy machine the time may pass before there is a connection
            with pytest.raises(OperationTimeoutError) as seen:
                await fetch(transport, asked)
            assert seen.value.unsent
            if server.accepted:
                break
        assert server.accepted

    client.run(main, replace(settings, connect_timeout=0.2))


@pytest.mark.parametrize("sized", [True, False])
def test_an_end_without_farewell_is_no_end(client, serve, tls, settings, sized):
    """Whoever cuts the connection can not make a part look like the whole."""

    def cut(peer: Peer) -> None:
        peer.request()
        peer.send(OK + (b"Content-Length: 9\r\n" if sized else b"") + b"\r\nabc")
        os.close(peer.socket.detach())

    server = serve(cut, tls=tls)

    async def main(transport):
        response = await transport.send(request(server))
        if not sized and differs("no-farewell", client):
            assert await response.body(100) == b"abc"
            return
        with pytest.raises(UnavailableError):
            await response.body(100)

    client.run(main, settings)


def test_an_early_answer_over_tls(client, serve, tls, settings):
    def refuses(peer: Peer) -> None:
        peer.head()
        peer.send(plain(b"no", status=b"403 Forbidden"))
        peer.hold()

    server = serve(refuses, tls=tls)

    async def main(transport):
        body = Pieces(*[b"x" * 262144] * 200)
        asked = request(server, "PUT", body=body)
        assert await fetch(transport, asked) == (403, b"no")
        assert body.given < 200
        assert body.closed

    client.run(main, replace(settings, expect_continue=0))


def test_a_stall_over_tls_ends(client, serve, tls, settings):
    def stalls(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: 9\r\n\r\nabc")
        peer.gone()

    server = serve(spare=tolerant(stalls), tls=tls)

    async def main(transport):
        async def begun() -> Response:
            response = await transport.send(request(server))
            assert await response.read(3) == b"abc"
            return response

        response = await patiently(begun)
        with pytest.raises(OperationTimeoutError, match=r"progress|nothing came"):
            await response.read(3)

    client.run(main, replace(settings, read_timeout=0.3))


@pytest.mark.parametrize("client", BLOCKING, ids=lambda kind: kind.name, indirect=True)
def test_close_waits_for_no_rest_of_a_record(client, serve, tls, settings):
    def stalls(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: 9\r\n\r\nabc")
        os.write(peer.socket.fileno(), b"\x17\x03\x03\x00\x40begin")
        peer.gone()

    server = serve(stalls, tls=tls)

    async def main(transport):
        response = await transport.send(request(server))
        assert await response.read(3) == b"abc"
        await client.until(response._wire.readable)
        thread = threading.Thread(target=drive, args=(response.close(),), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()

    client.run(main, replace(settings, read_timeout=2 * PATIENCE))


def test_contexts_are_made_once(authority):
    first = tls_context(HttpSettings(ca_file=str(authority.file)))
    assert tls_context(HttpSettings(ca_file=str(authority.file), read_timeout=1)) is first
    assert first.verify_mode == ssl.CERT_REQUIRED
    assert first.check_hostname


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"ca_file": "/nowhere/ca.pem"}, "ca_file.*/nowhere/ca.pem"),
        ({"client_cert": "/nowhere/c.pem"}, "client_cert.*/nowhere/c.pem"),
        ({"client_key": "/nowhere/k.pem"}, "client_key"),
        ({"ca_file": __file__}, "ca_file"),
        ({"client_cert": __file__}, "client_cert"),
    ],
)
def test_files_that_can_not_be_read(client, changes, names):
    async def main(transport):
        raise AssertionError

    with pytest.raises(ConfigError, match=names):
        client.run(main, replace(QUICK, **changes))


def test_a_parents_session_survives_its_child(serve, tls, settings):
    """The child must not say goodbye in its parent's name."""
    from storage_core.http.blocking import BlockingTransport
    from storage_core.runtime import drive
    from tests.http.test_pool import forked

    server = serve(then(plain(b"1"), plain(b"2")), tls=tls)
    transport = BlockingTransport(settings)
    assert drive(fetch(transport, request(server))) == (200, b"1")
    assert forked(lambda: drive(transport.close())) == 0
    assert drive(fetch(transport, request(server))) == (200, b"2")
    drive(transport.close())
