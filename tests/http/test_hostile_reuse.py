"""Kept connections: used again when they may be, dropped when not, and what dies on them."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from storage_core.errors import UnavailableError
from tests.http.hostile.answers import DONE, OK, plain, says_and_closes, then, tolerant
from tests.http.hostile.clients import QUICK, Client, Pieces, fetch, request
from tests.http.hostile.differences import differs
from tests.http.hostile.server import Peer, Script
from tests.waiting import PATIENCE

EVIL = plain(b"evil")


def test_a_connection_is_used_again(client: Client, serve):
    server = serve(then(*[plain()] * 5))

    async def main(transport):
        for method in ("GET", "PUT", "GET", "DELETE", "POST"):
            assert await fetch(transport, request(server, method)) == (200, DONE)

    client.run(main)
    assert server.accepted == 1


@pytest.mark.parametrize(
    "answer",
    [
        plain(DONE, b"Connection: close"),
        plain(DONE, b"connection: Close"),
        plain(DONE, b"Connection: x, close"),
        plain(DONE).replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["close", "capital", "listed", "http-1.0"],
)
def test_a_connection_that_is_to_be_closed(client: Client, serve, answer: bytes):
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        assert peer.gone() == b"", "it was used again"

    server = serve(script, then(plain()))

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, DONE)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


def test_a_request_that_asks_to_close(client: Client, serve):
    def script(peer: Peer) -> None:
        assert peer.head().get("connection") == "close"
        peer.send(plain())
        assert peer.gone() == b"", "it was used again"

    server = serve(script, then(plain()))

    async def main(transport):
        asked = request(server, headers={"Connection": "close"})
        assert await fetch(transport, asked) == (200, DONE)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


@pytest.mark.parametrize("idle_timeout", [0, 0.05])
def test_old_connections_are_not_used(client: Client, serve, idle_timeout: float):
    closed = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(plain())
        if idle_timeout:
            closed.wait(PATIENCE)
        assert peer.gone() == b"", "it was used again"

    server = serve(script, then(plain()))

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, DONE)
        if idle_timeout:
            await client.pause(0.2)
            closed.set()
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, replace(QUICK, idle_timeout=idle_timeout))


# -- what died while it lay idle ---------------------------------------------------------


def _one_then_ends(how: str, ended: threading.Event) -> Script:
    """Answers once, then ends the connection while it is idle."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(plain())
        if how == "timeout":  # what proxies say before they close
            peer.send(plain(b"too slow", b"Connection: close", status=b"408 Request Timeout"))
        if how == "reset":
            peer.reset()
        else:
            with suppress(OSError):  # the client has closed already, on what it was not to get
                peer.socket.shutdown(socket.SHUT_WR)
            peer.arrived()
        ended.set()
        if how != "reset":
            assert peer.gone() == b"", "a request came on a connection that was closed"

    return script


@pytest.mark.parametrize("how", ["close", "reset", "timeout"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_connection_closed_while_idle(client: Client, serve, method: str, how: str):
    """Seen before anything is sent, so that any request takes a new one."""
    ended = threading.Event()
    server = serve(_one_then_ends(how, ended), then(plain()))

    async def main(transport):
        # The answer is read at once; the end comes after it.
        assert await fetch(transport, request(server)) == (200, DONE)
        await client.until(ended.is_set)
        await client.settle()
        body = b"x" * 1000 if method == "PUT" else None
        status, found = await fetch(transport, request(server, method, body=body))
        assert (status, found) == (200, b"" if method == "HEAD" else DONE)

    client.run(main)


def _takes_a_second(how: str, taken: list[str]) -> Script:
    """Answers once, reads another request, and ends the connection without an answer."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(plain())
        taken.append(peer.request()[0].method)
        if how == "reset":
            peer.reset()
        elif how == "part":
            peer.send(b"HTTP/1.1 20")

    return script


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_read_on_a_connection_that_just_closed_is_sent_again(
    client: Client, serve, method: str, how: str
):
    taken: list[str] = []
    server = serve(_takes_a_second(how, taken), then(plain()))

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, DONE)
        status, _ = await fetch(transport, request(server, method))
        assert status == 200

    client.run(main)
    assert taken == [method]


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@pytest.mark.parametrize("body", ["none", "memory", "pieces"])
def test_a_write_is_never_sent_twice(client: Client, serve, method: str, how: str, body: str):
    """It may have been carried out: core decides, and asks the service first."""
    taken: list[str] = []
    server = serve(_takes_a_second(how, taken), then(plain()))
    bodies = {"none": None, "memory": b"x" * 1000, "pieces": Pieces(b"x" * 1000)}

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, DONE)
        with pytest.raises(UnavailableError) as seen:
            await fetch(transport, request(server, method, body=bodies[body]))
        assert not seen.value.unsent
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)
    assert taken == [method]


def test_a_part_of_an_answer_is_no_reason_to_ask_again(client: Client, serve):
    taken: list[str] = []
    server = serve(_takes_a_second("part", taken), then(plain(), plain()))

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, DONE)
        if differs("part-again", client):
            assert await fetch(transport, request(server)) == (200, DONE)
        else:
            with pytest.raises(UnavailableError):
                await fetch(transport, request(server))
            assert await fetch(transport, request(server)) == (200, DONE)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


def test_sent_again_once_and_on_a_new_connection(client: Client, serve):
    """Kept connections die together, so the next kept one is no better; and a new one that
    dies is a failure."""
    both = threading.Barrier(2)
    taken: list[str] = []

    def keeps(peer: Peer) -> None:
        peer.request()
        both.wait(PATIENCE)
        peer.send(plain())
        taken.append(peer.request()[0].method)

    server = serve(tolerant(keeps), tolerant(keeps), says_and_closes(b""), then(plain()))

    async def main(transport):
        await client.together(fetch(transport, request(server)), fetch(transport, request(server)))
        with pytest.raises(UnavailableError) as seen:
            await fetch(transport, request(server))
        assert not seen.value.unsent
        assert len(taken) == 1
        assert server.accepted == 3

    client.run(main)
    server.scripts.clear()


def test_a_new_connection_that_closes_is_a_failure(client: Client, serve):
    server = serve(says_and_closes(b""), then(plain()))

    async def main(transport):
        with pytest.raises(UnavailableError) as seen:
            await fetch(transport, request(server))
        assert not seen.value.unsent
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


# -- what nobody asked for ---------------------------------------------------------------


UNASKED = {
    "answer": EVIL,
    "two": EVIL * 2,
    "begun": EVIL[:10],
    "head": EVIL[:-4],
    "noise": b"\0\1\2\3",
    "break": b"\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("when", ["together", "apart", "idle"])
@pytest.mark.parametrize("case", UNASKED)
@pytest.mark.parametrize("framing", ["length", "chunks", "head-only"])
def test_what_was_not_asked_for_answers_nothing(
    client: Client, serve, framing: str, case: str, when: str
):
    """Response splitting: a second answer that comes with the first must not be taken for the
    one to the next request. That goes over another connection; over this one at most where
    what came was no part of an answer."""
    good = {
        "length": plain(b"good"),
        "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        "head-only": OK + b"Content-Length: 4\r\n\r\n",
    }[framing]
    came = threading.Event()
    idle = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        if when == "together":
            peer.send(good + UNASKED[case])
        elif when == "apart":
            peer.split(good + UNASKED[case], len(good))
        else:
            peer.send(good)
            idle.wait(PATIENCE)
            peer.send(UNASKED[case])
        peer.arrived()
        came.set()
        then(plain())(peer)

    server = serve(tolerant(script), spare=then(plain()))

    async def main(transport):
        method = "HEAD" if framing == "head-only" else "GET"
        try:
            status, found = await fetch(transport, request(server, method))
            assert (status, found) == (200, b"" if method == "HEAD" else b"good")
        except UnavailableError:
            assert when != "idle"
        idle.set()
        await client.until(came.is_set)
        await client.settle()
        assert await fetch(transport, request(server, "PUT", body=b"x")) == (200, DONE)

    client.run(main)


# -- limits ------------------------------------------------------------------------------


def test_no_more_connections_than_allowed(client: Client, serve):
    """Six requests at a time on two connections: each waits for its turn."""
    now = [0]
    most = [0]
    lock = threading.Lock()

    def script(peer: Peer) -> None:
        while True:
            peer.request()
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            threading.Event().wait(0.02)
            with lock:
                now[0] -= 1
            peer.send(plain())

    server = serve(spare=tolerant(script))

    async def main(transport):
        found = await client.together(*[fetch(transport, request(server)) for _ in range(6)])
        assert found == [(200, DONE)] * 6

    client.run(main, replace(QUICK, max_connections=2))
    assert most[0] <= 2
    assert server.accepted <= 2


def test_two_loops_one_after_the_other(client: Client, serve):
    """Each with a transport of its own; nothing of the first is in the second's way."""
    server = serve(*[then(plain())] * 2)
    for _ in range(2):
        assert client.run(lambda transport: fetch(transport, request(server))) == (200, DONE)


def test_responses_that_nobody_closes(client: Client, serve):
    """The connection is not used again, and is not lost for the pool either."""
    server = serve(spare=tolerant(then(plain(b"x" * 1_000_000))))

    async def main(transport):
        for _ in range(3):
            response = await transport.send(request(server))
            assert await response.read(1)
            del response
            if client.kind.io == "asyncio":
                await asyncio.sleep(0.01)

    client.run(main, replace(QUICK, max_connections=1))
