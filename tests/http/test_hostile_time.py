"""What never comes, what comes slowly, and where nobody is."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace

import pytest

from storage_core.deadline import deadline
from storage_core.errors import ClosedError, OperationTimeoutError, UnavailableError
from storage_core.http import Origin, Request
from tests.http.hostile.answers import DONE, OK, plain, then, tolerant
from tests.http.hostile.clients import (
    HASTY,
    KINDS,
    QUICK,
    Client,
    Pieces,
    fetch,
    fetch_patiently,
    patiently,
    request,
    whole,
)
from tests.http.hostile.server import Peer
from tests.waiting import PATIENCE

STALLS = {
    "before-head": b"",
    "in-status-line": b"HTTP/1.1 2",
    "in-head": OK + b"Content-Le",
    "after-interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "before-body": OK + b"Content-Length: 5\r\n\r\n",
    "in-body": OK + b"Content-Length: 5\r\n\r\n01",
    "before-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n",
    "in-size": OK + b"Transfer-Encoding: chunked\r\n\r\n5",
    "in-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n01",
    "after-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
    "in-trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\nX: y\r\n",
    "to-the-end": OK + b"\r\n01234",
}


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("case", STALLS)
def test_a_service_that_stalls(client: Client, serve, case: str, method: str):
    """The request fails after the read timeout, may have been carried out, and its connection
    is closed at once."""
    left = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(STALLS[case])
        peer.gone()
        left.set()

    server = serve(tolerant(script), spare=tolerant(then(plain())))

    async def main(transport):
        asked = request(server, method, body=b"x" if method == "PUT" else None)
        with pytest.raises(OperationTimeoutError) as seen:
            print(await fetch(transport, asked))
        assert not seen.value.unsent
        await client.until(left.is_set)
        assert await fetch_patiently(transport, request(server)) == (200, DONE)

    client.run(main, HASTY)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_slow_body_is_no_stall(client: Client, serve, framing: str):
    """As long as something comes within the timeout, the whole may take longer than it."""
    body = b"0123456789"

    def script(peer: Peer) -> None:
        peer.request()
        if framing == "length":
            peer.send(plain(body)[: -len(body)])
        else:
            peer.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        for byte in body:
            time.sleep(0.12)
            one = bytes([byte])
            peer.send(one if framing == "length" else b"1\r\n%b\r\n" % one)
        if framing == "chunks":
            peer.send(b"0\r\n\r\n")
        peer.gone()

    server = serve(spare=tolerant(script))

    async def main(transport):
        return await fetch_patiently(transport, request(server))

    assert client.run(main, replace(QUICK, read_timeout=1.0)) == (200, body)


def test_a_slow_reader_is_no_stall(client: Client, serve):
    """The time that the caller takes between two reads is his own."""
    body = b"x" * 3_000_000
    server = serve(spare=tolerant(then(plain(body))))

    async def main(transport):
        async def slowly() -> bytes:
            response = await transport.send(request(server))
            found = b""
            for _ in range(3):
                found += await response.read(1000)
                await client.pause(0.5)
            return found + await whole(response)

        assert await patiently(slowly) == body

    client.run(main, HASTY)


def test_a_slow_source_is_no_stall(client: Client, serve):
    """Nor is the time that a body takes to give its next piece."""
    received = []

    def script(peer: Peer) -> None:
        received.append(peer.request()[1])
        peer.send(plain())
        peer.gone()

    async def wait(number: int) -> None:
        await client.pause(0.5)

    server = serve(spare=tolerant(script))
    attempts = []

    async def main(transport):
        async def slowly() -> tuple[int, bytes]:
            attempts.append(True)
            body = Pieces(b"x" * 5000, b"y" * 5000, before=wait)
            return await fetch(transport, request(server, "PUT", body=body))

        assert await patiently(slowly) == (200, DONE)

    client.run(main, HASTY)
    assert set(received) == {b"x" * 5000 + b"y" * 5000}
    assert len(received) <= len(attempts)


# -- nobody there ------------------------------------------------------------------------


def test_connection_refused(client: Client, nobody: int):
    """Nothing was sent, so that even a write may be tried again; the body is untouched."""
    asked = Request("PUT", Origin.of(f"http://127.0.0.1:{nobody}"), "/?sig=hush", body=Pieces(b"x"))

    async def main(transport):
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:") as seen:
            await transport.send(asked)
        assert seen.value.unsent
        assert seen.value.retryable
        assert "hush" not in str(seen.value)
        assert isinstance(asked.body, Pieces)
        assert not asked.body.begun

    client.run(main)


def test_a_name_that_does_not_exist(client: Client):
    asked = Request("GET", Origin.of("http://no-such-host.invalid"), "/")

    async def main(transport):
        with pytest.raises((UnavailableError, OperationTimeoutError)) as seen:
            await transport.send(asked)
        assert "no-such-host.invalid" in str(seen.value)
        assert seen.value.unsent

    client.run(main)


@pytest.fixture
def full():
    """The port of a listener whose queue is full, so that the kernel answers nobody else."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = []
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            waiting.append(sock)
        time.sleep(0.05)
        yield address[1]
        for sock in waiting:
            sock.close()


def test_a_host_that_does_not_answer(client: Client, full: int):
    asked = Request("PUT", Origin.of(f"http://127.0.0.1:{full}"), "/", body=b"x")

    async def main(transport):
        with pytest.raises(OperationTimeoutError) as seen:
            await transport.send(asked)
        assert seen.value.unsent

    client.run(main, replace(QUICK, connect_timeout=0.3))


def test_all_connections_in_use(client: Client, serve):
    """Whoever waits in vain has sent nothing."""
    held = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        while not held.wait(0.1):
            peer.send(b"1\r\nx\r\n")
        peer.send(b"0\r\n\r\n")
        then(plain())(peer)

    server = serve(spare=tolerant(script))

    async def main(transport):
        async def in_vain() -> None:
            held.clear()
            response = await transport.send(request(server))
            with pytest.raises(OperationTimeoutError) as seen:
                await transport.send(request(server, "PUT", body=b"x"))
            assert seen.value.unsent
            held.set()
            assert set(await response.body(1 << 20)) == {ord("x")}
            assert await fetch(transport, request(server)) == (200, DONE)

        await patiently(in_vain)

    client.run(main, replace(HASTY, max_connections=1, connect_timeout=0.5, read_timeout=0.5))


# -- deadlines ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "client",
    [kind for kind in KINDS if kind.io == "blocking"],
    ids=lambda kind: kind.name,
    indirect=True,
)
@pytest.mark.parametrize("case", ["before-head", "in-body", "in-chunk"])
def test_a_deadline_ends_before_the_timeout(client: Client, serve, case: str):
    """Of the whole call, under blocking I/O; under asyncio it cancels, which has tests of its
    own. One that has passed begins nothing."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(STALLS[case])
        peer.gone()

    stalled = serve(spare=tolerant(script))
    server = serve(then(plain()))

    async def ended(transport) -> OperationTimeoutError:
        with deadline(0.2), pytest.raises(OperationTimeoutError) as seen:
            await fetch(transport, request(stalled))
        return seen.value

    async def main(transport):
        for _ in range(100):  # on a busy machine it may pass before the request goes out
            if not (seen := await ended(transport)).unsent:
                break
        assert not seen.unsent
        with deadline(-1), pytest.raises(OperationTimeoutError):
            await fetch(transport, request(server))
        with deadline(PATIENCE):
            assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


def test_after_close(client: Client, serve):
    server = serve(tolerant(then(plain())))

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, DONE)
        await transport.close()
        with pytest.raises(ClosedError):
            await transport.send(request(server))

    client.run(main)
