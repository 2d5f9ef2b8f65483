"""Calls that are broken off: by cancelling their task, or by a signal such as Ctrl-C.

Whatever was under way, its connection is closed at once and never used again, its place in
the pool is free, and the body is let go of.
"""

from __future__ import annotations

import gc
import socket
import threading
import warnings
from dataclasses import replace

import pytest

from storage_core.http import Origin, Request
from tests.http.hostile.answers import DONE, OK, plain, then, tolerant
from tests.http.hostile.clients import QUICK, Client, Pieces, fetch, request
from tests.http.hostile.differences import differs
from tests.http.hostile.server import Peer
from tests.waiting import PATIENCE

SETTINGS = replace(QUICK, max_connections=1, expect_continue=1000)
"""One connection, so that a place which is not given back would be missed."""

PHASES = {
    "head": b"",
    "in-head": OK + b"Content-Le",
    "after-interim": b"HTTP/1.1 102 Processing\r\n\r\n",
    "before-body": OK + b"Content-Length: 5\r\n\r\n",
    "in-body": OK + b"Content-Length: 5\r\n\r\n01",
    "in-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n01",
    "between-chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
    "in-trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\nX: y\r\n",
    "to-the-end": OK + b"\r\n01234",
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
def test_while_the_answer_is_awaited(client: Client, serve, phase: str, kept: bool):
    reached, left = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        if kept:
            peer.request()
            peer.send(plain())
        peer.request()
        peer.send(PHASES[phase])
        reached.set()
        peer.gone()
        left.set()

    server = serve(script, then(plain()))

    async def main(transport):
        if kept:
            assert await fetch(transport, request(server)) == (200, DONE)
        await client.interrupted(fetch(transport, request(server)), reached)
        await client.until(left.is_set)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, SETTINGS)


@pytest.mark.parametrize("phase", ["in-body", "in-chunk", "to-the-end"])
def test_while_a_body_is_read_in_pieces(client: Client, serve, phase: str):
    """And the response may still be closed, as its owner will."""
    reached, left = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(PHASES[phase])
        peer.gone()
        left.set()

    server = serve(script, then(plain()))

    async def main(transport):
        response = await transport.send(request(server))
        assert await response.read(1) == b"0"
        rest = 4 if phase == "to-the-end" else 1
        while rest:
            rest -= len(await response.read(rest))
        reached.set()
        await client.interrupted(response.read(10), reached)
        await response.close()
        await client.until(left.is_set)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, SETTINGS)


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "chunked"])
@pytest.mark.parametrize("body", ["memory", "pieces"])
def test_while_the_service_does_not_read(client: Client, serve, body: str, sized: bool):
    reached, over = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        reached.set()
        over.wait(PATIENCE)

    piece = bytes(1 << 20)
    pieces = Pieces(*[piece] * 64, size=-1 if sized else None)
    server = serve(script, then(plain()))

    async def main(transport):
        asked = request(server, "PUT", body=pieces if body == "pieces" else piece * 64)
        await client.interrupted(transport.send(asked), reached)
        if body == "pieces":
            assert pieces.closed
        over.set()
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, replace(SETTINGS, expect_continue=0))


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "chunked"])
def test_while_the_body_has_nothing_to_give(client: Client, serve, sized: bool):
    """The service must not take what it got for the whole."""
    reached = threading.Event()
    received = []

    def script(peer: Peer) -> None:
        peer.head()
        received.append(peer.gone())

    never = threading.Event()

    async def wait(number: int) -> None:
        if number == 1:
            reached.set()
            await client.until(never.is_set)

    pieces = Pieces(b"x" * 100_000, b"y", size=-1 if sized else None, before=wait)
    server = serve(script, then(plain()))

    async def main(transport):
        asked = request(server, "PUT", body=pieces)
        await client.interrupted(transport.send(asked), reached)
        assert pieces.closed
        await client.until(lambda: received)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, replace(SETTINGS, expect_continue=0))
    assert b"y" not in received[0]
    assert not received[0].endswith(b"0\r\n\r\n")


def test_while_consent_is_awaited(client: Client, serve):
    reached, left = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        assert peer.head().get("expect")
        reached.set()
        assert peer.gone() == b""
        left.set()

    pieces = Pieces(b"x" * 100_000)
    server = serve(script, then(plain()))

    async def main(transport):
        await client.interrupted(transport.send(request(server, "PUT", body=pieces)), reached)
        assert not pieces.begun
        await client.until(left.is_set)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, SETTINGS)


def test_while_a_connection_is_made(client: Client, serve):
    """To a host that does not answer; the one place of its pool is free again."""
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = []
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            waiting.append(sock)
        asked = Request("GET", Origin.of(f"http://127.0.0.1:{address[1]}"), "/")

        async def main(transport):
            for _ in range(2):
                reached.clear()
                threading.Timer(0.05, reached.set).start()
                await client.interrupted(transport.send(asked), reached)

        try:
            with warnings.catch_warnings():
                if differs("interrupted-connect", client):
                    warnings.simplefilter("ignore", ResourceWarning)
                client.run(main, SETTINGS)
                gc.collect()
        finally:
            for sock in waiting:
                sock.close()


def test_while_a_place_in_the_pool_is_awaited(client: Client, serve):
    """Who gave up waiting is not handed the connection when it comes free."""
    reached = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: 10\r\n\r\n01234")
        reached.wait(PATIENCE)
        gave_up.wait(PATIENCE)
        peer.send(b"56789")
        for _ in range(2):
            peer.request()
            peer.send(plain())
        peer.gone()

    gave_up = threading.Event()
    server = serve(tolerant(script))

    async def main(transport):
        response = await transport.send(request(server))
        threading.Timer(0.05, reached.set).start()
        await client.interrupted(transport.send(request(server)), reached)
        gave_up.set()
        assert await response.body(10) == b"0123456789"
        for _ in range(2):
            assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, SETTINGS)


def test_many_times_over(client: Client, serve):
    """Nothing adds up: the last request works as the first."""
    reached = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        reached.set()
        peer.gone()

    rounds = 20
    server = serve(*[script] * rounds, then(plain()))

    async def main(transport):
        for _ in range(rounds):
            reached.clear()
            await client.interrupted(transport.send(request(server)), reached)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, SETTINGS)
