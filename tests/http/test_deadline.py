"""A deadline interrupts whatever blocks."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from storage_core import deadline
from storage_core.errors import OperationTimeoutError
from storage_core.http.blocking import BlockingTransport
from storage_core.runtime import Inline, drive
from storage_core.runtime.threaded import Threaded
from tests.http.certificates import Authority
from tests.http.hostile.answers import DONE, OK, plain, then, tolerant
from tests.http.hostile.clients import QUICK, Pieces, fetch, request
from tests.http.hostile.server import Peer
from tests.http.test_dial import deaf  # noqa: F401 - a fixture
from tests.waiting import PATIENCE

SHORT = 0.2
PATIENT = replace(QUICK, connect_timeout=2 * PATIENCE, read_timeout=2 * PATIENCE, expect_continue=0)


def within(work, seconds=SHORT):
    """Run under a deadline, as core does, and insist that it ends for that alone."""
    begun = time.monotonic()
    with pytest.raises(OperationTimeoutError, match="deadline") as seen:
        drive(Inline().within(seconds, work))
    assert time.monotonic() - begun < PATIENCE
    assert deadline.current.at is None
    return seen.value


@pytest.fixture(params=["plain", "tls"])
def world(request, tmp_path):
    """Settings and the server's TLS context."""
    if request.param == "plain":
        return PATIENT, None
    authority = Authority(tmp_path, "trusted")
    return replace(PATIENT, ca_file=str(authority.file)), authority.server_context("127.0.0.1")


def stalls(start=b""):
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(start)
        peer.gone()

    return tolerant(script)  # the deadline may pass before the request goes out


def test_waiting_for_an_answer(serve, world):
    settings, tls = world
    stalled = serve(spare=stalls(b"HTTP/1.1 200"), tls=tls)
    server = serve(then(plain(), plain()), tls=tls)
    transport = BlockingTransport(settings)
    within(transport.send(request(stalled)))
    # And what comes next is not under it.
    assert drive(fetch(transport, request(server))) == (200, DONE)
    assert drive(Inline().within(PATIENCE, fetch(transport, request(server)))) == (200, DONE)
    drive(transport.close())


def test_reading_a_body(serve, world):
    settings, tls = world
    server = serve(stalls(OK + b"Content-Length: 9\r\n\r\nabc"), tls=tls)
    transport = BlockingTransport(settings)
    response = drive(Inline().within(PATIENCE, transport.send(request(server))))
    assert drive(Inline().within(PATIENCE, response.read(3))) == b"abc"
    within(response.read(3))
    drive(transport.close())


@pytest.mark.parametrize("streamed", [True, False])
def test_sending_a_body(serve, world, streamed):
    settings, tls = world

    def reads_nothing(peer: Peer) -> None:
        peer.head()
        peer.hold()

    server = serve(spare=tolerant(reads_nothing), tls=tls)
    transport = BlockingTransport(settings)
    piece = bytes(1 << 20)
    body = Pieces(*[piece] * 64) if streamed else piece * 64
    within(transport.send(request(server, "PUT", body=body)))
    drive(transport.close())


def test_waiting_for_consent(serve):
    def silent(peer: Peer) -> None:
        peer.head()
        peer.gone()

    server = serve(spare=tolerant(silent))
    transport = BlockingTransport(replace(PATIENT, expect_continue=1))
    body = Pieces(b"abc")
    within(transport.send(request(server, "PUT", body=body)))
    assert not body.begun
    drive(transport.close())


def test_waiting_for_a_connection(serve):
    server = serve(stalls(OK + b"Content-Length: 9\r\n\r\nabc"))
    transport = BlockingTransport(replace(PATIENT, max_connections=1))
    response = drive(transport.send(request(server)))
    with pytest.raises(OperationTimeoutError) as seen:
        drive(Inline().within(SHORT, transport.send(request(server))))
    assert seen.value.unsent
    drive(response.close())
    drive(transport.close())


def test_connecting(deaf):  # noqa: F811
    from storage_core.http import Origin, Request

    transport = BlockingTransport(PATIENT)
    asked = Request("GET", Origin.of(f"http://127.0.0.2:{deaf}"), "/")
    assert within(transport.send(asked)).unsent
    drive(transport.close())


def test_a_handshake(serve):
    from storage_core.http import Origin, Request

    server = serve(spare=lambda peer: peer.gone())
    transport = BlockingTransport(PATIENT)
    asked = Request("GET", Origin.of(f"https://127.0.0.1:{server.port}"), "/")
    assert within(transport.send(asked)).unsent
    drive(transport.close())


def test_a_dripping_answer(serve):
    """Progress does not extend it."""

    def body(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: 100000\r\n\r\n")
        for _ in range(1000):
            peer.send(b"x")
            time.sleep(0.02)

    server = serve(spare=tolerant(body))
    transport = BlockingTransport(PATIENT)
    within(fetch(transport, request(server)))
    drive(transport.close())


def test_a_buffer_that_fills_drop_by_drop(serve, world):
    """Nor does what comes into a buffer, record by record."""
    settings, tls = world

    def body(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: 100000\r\n\r\n")
        for _ in range(1000):
            peer.send(b"x")
            time.sleep(0.02)

    server = serve(spare=tolerant(body), tls=tls)
    transport = BlockingTransport(settings)

    async def work() -> None:
        response = await transport.send(request(server))
        buffer = memoryview(bytearray(100_000))
        while await response.readinto(buffer):
            pass

    within(work(), 0.5)
    drive(transport.close())


def test_the_tighter_one_holds():
    with deadline.deadline(10):
        outer = deadline.current.at
        assert outer is not None
        with deadline.deadline(20):
            assert deadline.current.at == outer
        with deadline.deadline(5):
            inner = deadline.current.at
            assert inner is not None
            assert inner < outer
            assert deadline.left(60) <= 5
            assert deadline.left(1) == 1
        with deadline.deadline(None):
            assert deadline.current.at == outer
        assert deadline.current.at == outer
    assert deadline.current.at is None
    assert deadline.left(7) == 7


def test_each_thread_has_its_own():
    seen = []
    with deadline.deadline(10):
        thread = threading.Thread(target=lambda: seen.append(deadline.current.at))
        thread.start()
        thread.join()
    assert seen == [None]


def test_it_goes_along_from_worker_to_worker():
    """A call whose body is pulled from the caller's loop changes threads in the middle."""
    runtime = Threaded()
    seen = []

    async def source():
        yield b"a"
        await asyncio.sleep(0.01)
        yield b"b"

    async def work():
        items = source()
        for _ in range(2):
            seen.append(deadline.current.at)
            await runtime.pull(items)
        seen.append(deadline.current.at)

    async def call():
        await runtime.within(10, work())
        seen.append(deadline.current.at)

    async def nothing():
        return deadline.current.at

    async def main():
        await runtime.run(call())
        assert await runtime.run(nothing()) is None

    asyncio.run(main())
    runtime.close()
    assert seen[0] is not None
    assert seen == [seen[0]] * 3 + [None]
