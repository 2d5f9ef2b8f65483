"""Uploads that do not end as planned: bodies that fail, answers that come early."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from storage_core.errors import (
    IntegrityError,
    OperationTimeoutError,
    StorageError,
    UnavailableError,
)
from tests.http.hostile.answers import BIG, DONE, plain, then, tolerant
from tests.http.hostile.clients import (
    HASTY,
    QUICK,
    Client,
    Pieces,
    fetch,
    fetch_patiently,
    request,
)
from tests.http.hostile.server import GoneError, Peer, Script
from tests.waiting import PATIENCE

EARLY = plain(b"no", status=b"403 Forbidden")


class BodyError(Exception):
    """A caller's own."""


def _gets_less(received: list[bytes]) -> Script:
    """Takes what comes until the client hangs up."""

    def script(peer: Peer) -> None:
        with suppress(GoneError):  # the head may not even have gone out
            peer.head()
        received.append(peer.gone())

    return script


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "chunked"])
@pytest.mark.parametrize("error", [BodyError("x"), OSError(28, "full"), IntegrityError("digest")])
def test_what_a_body_raises_comes_out_unchanged(
    client: Client, serve, consent_fails: None, sized: bool, error: Exception
):
    """And the service never gets the request as a whole: it must not store half an object."""
    received: list[bytes] = []
    pieces = Pieces(b"x" * 1000, b"y" * 1000, size=2000 if sized else None, error=error)
    server = serve(_gets_less(received), then(plain()))

    async def main(transport):
        with pytest.raises(type(error)) as seen:
            await transport.send(request(server, "PUT", body=pieces))
        assert seen.value is error
        await client.until(lambda: received)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)
    if sized:
        assert len(received[0]) < 2000
    else:
        assert b"\r\n0\r\n" not in received[0]


@pytest.mark.parametrize("size", [1999, 2001, 0x100000])
def test_a_body_of_another_size_than_announced(client: Client, serve, size: int):
    """More bytes than announced would be the next request; fewer leave this one unfinished."""
    received: list[bytes] = []
    pieces = Pieces(b"x" * 1000, b"y" * 1000, size=size)
    server = serve(_gets_less(received), then(plain()))

    async def main(transport):
        with pytest.raises(StorageError):
            await transport.send(request(server, "PUT", body=pieces))
        await client.until(lambda: received)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, _no_expect())
    assert len(received[0]) < size


def _no_expect():
    return replace(QUICK, expect_continue=0)


# -- answers that come early -------------------------------------------------------------


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "chunked"])
@pytest.mark.parametrize("body", ["memory", "pieces"])
def test_an_early_answer_ends_the_sending(client: Client, serve, body: str, sized: bool):
    """The service has read enough, answers, reads no more and keeps the connection open. The
    answer is returned, the body is closed, the connection is not used again."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.read(1000)
        peer.send(EARLY)
        peer.hold()

    server = serve(script, then(plain()))
    pieces = Pieces(*[BIG[: 1 << 20]] * 64, size=-1 if sized else None)

    async def main(transport):
        asked = request(server, "PUT", body=pieces if body == "pieces" else BIG)
        assert await fetch(transport, asked) == (403, b"no")
        if body == "pieces":
            assert pieces.given < 64
            assert pieces.closed
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, _no_expect())


def test_a_long_early_answer_is_read_to_its_end(client: Client, serve):
    page = os.urandom(500_000)
    sent = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(plain(page, status=b"500 Internal Server Error")[:1000])
        sent.wait(PATIENCE)
        peer.send(plain(page, status=b"500 Internal Server Error")[1000:])
        peer.gone()

    server = serve(script, then(plain()))
    pieces = Pieces(*[BIG[: 1 << 20]] * 64)

    async def main(transport):
        response = await transport.send(request(server, "PUT", body=pieces))
        assert response.status == 500
        assert pieces.closed, "the body is let go of before the answer is read"
        sent.set()
        assert await response.body(1 << 20) == page
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, _no_expect())


@pytest.mark.parametrize("how", ["politely", "rudely", "reset"])
def test_an_early_answer_and_the_end(client: Client, serve, how: str):
    """A service that closes at once may have its answer lost on the way; if it waits for us
    (RFC 9112 section 9.6), it arrives. It is never taken for success."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.read(1000)
        peer.send(EARLY)
        if how == "politely":
            with suppress(OSError):  # the client has its answer, and has closed already
                peer.socket.shutdown(socket.SHUT_WR)
            peer.gone()
        elif how == "reset":
            peer.reset()

    server = serve(script, then(plain()))

    async def main(transport):
        asked = request(server, "PUT", body=Pieces(*[BIG[: 1 << 20]] * 64))
        try:
            assert await fetch(transport, asked) == (403, b"no")
        except UnavailableError as error:
            assert how != "politely"
            assert not error.unsent  # noqa: PT017
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, _no_expect())


def test_an_answer_before_the_body_was_taken_is_not_waited_with(client: Client, serve):
    """While the body waits for its source, the answer counts."""
    answered = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(EARLY)
        peer.arrived()
        answered.set()
        peer.gone()

    async def wait(number: int) -> None:
        if number == 1:
            await client.until(answered.is_set)
            await client.settle()

    server = serve(script, then(plain()))
    pieces = Pieces(*[b"x" * 70_000] * 50, before=wait)

    async def main(transport):
        assert await fetch(transport, request(server, "PUT", body=pieces)) == (403, b"no")
        assert pieces.given < 50
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, _no_expect())


def test_the_answer_before_the_end_of_the_request_then_keep_alive(client: Client, serve):
    """The service answers, then reads on and would answer again on this connection. What we
    did not send can not be told from a next request, so there is none on it before all was
    sent."""

    def script(peer: Peer) -> None:
        size = int(peer.head().get("content-length") or 0)
        peer.send(plain(b"created", status=b"201 Created"))
        peer.read(size)
        then(plain())(peer)

    server = serve(tolerant(script), spare=then(plain()))

    async def main(transport):
        asked = request(server, "PUT", body=Pieces(*[BIG[: 1 << 20]] * 64))
        assert await fetch(transport, asked) == (201, b"created")
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, _no_expect())


@pytest.mark.parametrize("body", ["memory", "pieces", "chunked"])
def test_a_service_that_stops_reading(client: Client, serve, body: str):
    def script(peer: Peer) -> None:
        peer.head()
        peer.hold()

    server = serve(tolerant(script), spare=tolerant(then(plain())))
    pieces = Pieces(*[BIG[: 1 << 20]] * 64, size=None if body == "chunked" else -1)

    async def main(transport):
        with pytest.raises(OperationTimeoutError) as seen:
            await transport.send(request(server, "PUT", body=BIG if body == "memory" else pieces))
        assert not seen.value.unsent
        assert pieces.closed or body == "memory"
        assert await fetch_patiently(transport, request(server)) == (200, DONE)

    client.run(main, replace(HASTY, expect_continue=0))
