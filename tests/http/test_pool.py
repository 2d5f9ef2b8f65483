"""Connections kept, shared, limited, expired, lost, forked and left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from storage_core.errors import (
    InvalidRequestError,
    OperationTimeoutError,
    UnavailableError,
)
from storage_core.http.blocking import BlockingPool, BlockingTransport
from storage_core.runtime import drive
from tests.http.hostile.answers import DONE, OK, plain, then, tolerant
from tests.http.hostile.clients import KINDS, QUICK, fetch, fetch_patiently, patiently, request
from tests.http.hostile.server import GoneError, Peer
from tests.waiting import PATIENCE

LEAN = [kind for kind in KINDS if kind.transport == "lean"]
lean = pytest.mark.parametrize("client", LEAN, ids=lambda kind: kind.name, indirect=True)
LONG = OK + b"Content-Length: 1000000\r\n\r\nbegin"


def closes_after(*answers: bytes):
    """Answers, then closes the connection without a word of it."""

    def script(peer: Peer) -> None:
        for answer in answers:
            peer.request()
            peer.send(answer)

    return script


def answers_all(peer: Peer) -> None:
    with suppress(GoneError):
        while True:
            peer.request()
            peer.send(plain())


@lean
def test_a_small_answer_is_in_memory_and_its_connection_free(client, serve):
    server = serve(then(plain(), plain()))

    async def main(transport):
        first = await transport.send(request(server))
        assert first.data == DONE
        assert (await transport.send(request(server))).data == DONE
        assert await first.read(3) == DONE[:3]
        assert await first.body(100) == DONE[3:]
        assert await first.read(3) == b""
        await first.close()

    client.run(main)


@lean
def test_the_limit_holds_and_who_waits_gets_the_connection(client, serve):
    go = threading.Event()

    def slow(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: 3\r\n\r\n")
        assert go.wait(PATIENCE)
        peer.send(b"abc")
        then(plain())(peer)

    server = serve(slow)
    settings = replace(QUICK, max_connections=1)

    async def threads(transport):
        first = await transport.send(request(server))
        found = []
        thread = threading.Thread(
            target=lambda: found.append(drive(fetch(transport, request(server)))), name="hostile-2"
        )
        thread.start()
        go.set()
        assert await first.body(10) == b"abc"
        thread.join()
        assert found == [(200, DONE)]

    async def tasks(transport):
        first = await transport.send(request(server))
        second = asyncio.create_task(fetch(transport, request(server)))
        await asyncio.sleep(0.01)
        assert not second.done()
        go.set()
        assert await first.body(10) == b"abc"
        assert await second == (200, DONE)

    client.run(threads if client.kind.io == "blocking" else tasks, settings)
    assert server.accepted == 1


@lean
def test_waiting_for_a_connection_ends(client, serve):
    def held(peer: Peer) -> None:
        peer.request()
        peer.send(LONG)
        peer.gone()

    holding = serve(spare=tolerant(held))
    settings = replace(QUICK, max_connections=1, read_timeout=0.2)

    async def main(transport):
        first = await patiently(lambda: transport.send(request(holding)))
        with pytest.raises(OperationTimeoutError, match="max_connections") as seen:
            await transport.send(request(holding))
        assert seen.value.unsent
        await first.close()
        again = await patiently(lambda: transport.send(request(holding)))
        await again.close()

    client.run(main, settings)


@lean
def test_a_response_nobody_wants_gives_its_place_back(client, serve):
    def held(peer: Peer) -> None:
        peer.request()
        peer.send(LONG)
        peer.gone()

    server = serve(held, then(plain()))

    async def main(transport):
        response = await transport.send(request(server))
        del response
        gc.collect()
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, replace(QUICK, max_connections=1))


@lean
def test_a_response_may_be_collected_inside_of_the_pool(client, serve):
    """As the garbage collector runs anywhere, so in a thread that holds the pool's lock."""

    def held(peer: Peer) -> None:
        peer.request()
        peer.send(LONG)
        peer.gone()

    server = serve(held)
    gc.disable()  # until the right moment

    async def main(transport):
        cycle = [await transport.send(request(server))]
        cycle.append(cycle)
        del cycle
        (station,) = transport._stations.values()

        def collect() -> None:
            with station.pool._lock:
                gc.collect()

        thread = threading.Thread(target=collect, name="hostile-gc", daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        await client.until(lambda: len(station.pool) == 0)

    try:
        client.run(main)
    finally:
        gc.enable()


@lean
def test_a_nearly_read_response_is_read_to_its_end_by_close(client, serve):
    first_half = threading.Event()

    def whole(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: 70000\r\n\r\n" + b"x" * 65000)
        assert first_half.wait(PATIENCE)
        peer.send(b"x" * 5000)
        then(plain())(peer)

    server = serve(whole)

    async def main(transport):
        response = await transport.send(request(server))
        got = 0
        while got < 65000:
            got += len(await response.read(65000 - got))
        first_half.set()
        await client.until(lambda: response._wire is None or response._wire.readable())
        await response.close()
        await response.close()
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


@lean
def test_an_idle_connection_expires(client, serve):
    server = serve(then(plain()), then(plain()))

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, DONE)
        past = time.monotonic() - 100
        (station,) = transport._stations.values()
        for wire in station.pool:
            wire.idle_since = past
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)
    assert server.accepted == 2


@pytest.mark.parametrize("client", LEAN[1:], ids=lambda kind: kind.name, indirect=True)
def test_idle_connections_are_closed_without_being_asked_for(client, serve):
    server = serve(spare=tolerant(then(plain())))

    async def main(transport):
        assert await fetch_patiently(transport, request(server)) == (200, DONE)
        (station,) = transport._stations.values()
        assert station.pool.idle == 1
        await client.until(lambda: not station.pool.idle)
        assert not len(station.pool)

    client.run(main, replace(QUICK, idle_timeout=0.1, read_timeout=0.4))


@lean
def test_close_ends_what_is_on_its_way(client, serve):
    reached = threading.Event()

    def stalls(peer: Peer) -> None:
        peer.request()
        reached.set()
        peer.gone()

    server = serve(stalls)
    caught = []

    def work(transport):
        with pytest.raises(UnavailableError) as seen:
            drive(transport.send(request(server)))
        caught.append(seen.value)

    async def threads(transport):
        thread = threading.Thread(target=work, args=(transport,), name="hostile-close")
        thread.start()
        assert reached.wait(PATIENCE)
        await transport.close()
        thread.join(PATIENCE)
        assert len(caught) == 1

    async def tasks(transport):
        task = asyncio.create_task(transport.send(request(server)))
        await client.until(reached.is_set)
        await transport.close()
        with pytest.raises(UnavailableError):
            await task

    client.run(threads if client.kind.io == "blocking" else tasks)


def test_threads_share_a_transport(serve):
    server = serve(spare=answers_all)
    transport = BlockingTransport(replace(QUICK, max_connections=4))
    wrong = []

    def work():
        for _ in range(25):
            if (found := drive(fetch(transport, request(server)))) != (200, DONE):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert 1 <= server.accepted <= 4
    (station,) = transport._stations.values()
    assert len(station.pool) == station.pool.idle == server.accepted
    drive(transport.close())


def forked(work) -> int:
    """Run in a forked child; its exit status."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_makes_connections_of_its_own(serve):
    # First the parent's connection, then the child's, then the parent's again.
    server = serve(then(plain(b"parent"), plain(b"parent again")), then(plain(b"child")))
    transport = BlockingTransport(QUICK)
    assert drive(fetch(transport, request(server))) == (200, b"parent")

    def child():
        assert drive(fetch(transport, request(server))) == (200, b"child")
        drive(transport.close())

    assert forked(child) == 0
    assert drive(fetch(transport, request(server))) == (200, b"parent again")
    drive(transport.close())
    assert server.accepted == 2


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("client", LEAN[1:], ids=lambda kind: kind.name, indirect=True)
def test_a_child_leaves_the_loop_of_its_parent_alone(client, serve):
    server = serve(_holds, then(plain(b"child")), then(plain(b"y")))

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, b"parent")
        reading = await transport.send(request(server))

        async def in_child():
            assert await fetch(transport, request(server)) == (200, b"child")
            await transport.close()

        def child():
            asyncio.events._set_running_loop(None)
            drive(reading.close())
            asyncio.run(in_child())

        assert forked(child) == 0
        assert await reading.read(5) == b"begin"
        assert not reading._wire.readable()  # still connected
        await reading.close()
        assert await fetch(transport, request(server)) == (200, b"y")

    client.run(main)


def _holds(peer: Peer) -> None:
    peer.request()
    peer.send(plain(b"parent"))
    peer.request()
    peer.send(LONG)
    peer.gone()


def test_one_loop_after_the_other(serve):
    from storage_core.http.asyncio import AsyncioTransport

    server = serve(then(plain()), then(plain()))
    made = []

    async def first():
        made.append(AsyncioTransport(QUICK))
        assert await fetch(made[0], request(server)) == (200, DONE)

    async def second():
        assert await fetch(made[0], request(server)) == (200, DONE)
        await made[0].close()

    asyncio.run(first())
    asyncio.run(second())
    gc.collect()


def test_two_loops_at_a_time_are_refused(serve):
    from storage_core.http.asyncio import AsyncioTransport

    server = serve(then(plain()))

    async def other(transport):
        with pytest.raises(InvalidRequestError, match="loop"):
            await fetch(transport, request(server))

    async def main():
        transport = AsyncioTransport(QUICK)
        assert await fetch(transport, request(server)) == (200, DONE)
        await asyncio.to_thread(asyncio.run, other(transport))
        await transport.close()

    asyncio.run(main())


LEFT = """
import asyncio, sys
from storage_core.http import HttpSettings, Origin, Request, open_transport
from storage_core.runtime import drive
origin = Origin.of(sys.argv[2])
async def main(io):
    global transport, response
    transport = await open_transport(io, HttpSettings(trust_env=False))
    assert (await transport.send(Request("GET", origin, "/"))).data == b"small"
    response = await transport.send(Request("GET", origin, "/"))
if sys.argv[1] == "blocking":
    drive(main("blocking"))
elif sys.argv[1] == "asyncio":
    asyncio.run(main("asyncio"))
else:
    import uvloop
    uvloop.run(main("asyncio"))
"""


@pytest.mark.parametrize("way", ["blocking", "asyncio", "uvloop"])
def test_an_interpreter_that_ends_without_close_says_nothing(serve, way):
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(plain(b"small"))
        peer.request()
        peer.send(LONG)
        peer.gone()

    server = serve(script)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LEFT, way,
         f"http://127.0.0.1:{server.port}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_sockets_do_not_outlive_a_forgotten_transport(serve):
    server = serve(then(plain()))
    transport = BlockingTransport(QUICK)
    assert drive(fetch(transport, request(server))) == (200, DONE)
    (station,) = transport._stations.values()
    (wire,) = station.pool
    sock: socket.socket = wire.sock
    del transport, station, wire
    gc.collect()
    assert sock.fileno() == -1


class Held:
    """A connection that tells when two use it at a time."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.closed = False
        self.used = threading.Lock()

    def readable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def interrupt(self) -> None: ...

    def abandon(self) -> None: ...


def test_threads_share_few_connections():
    """Most giving back and taking is done without the lock: nobody may be forgotten for it, and
    no connection be given to two."""
    pool: Any = BlockingPool("host", 2, 60, 60)
    done = []

    def work() -> None:
        for _ in range(300):
            wire = pool.pop() or drive(pool.acquire())
            if wire is None:
                wire = Held()
                pool.add(wire)
            assert wire.used.acquire(blocking=False)
            wire.used.release()
            pool.release(wire)
        done.append(True)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns in the middle of everything
    try:
        threads = [threading.Thread(target=work, name=f"hostile-{n}") for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    finally:
        sys.setswitchinterval(interval)
    assert len(done) == len(threads)
    assert pool.idle == len(pool) <= 2
    pool.close()
    assert (pool.idle, len(pool)) == (0, 0)


def test_a_connection_given_back_to_a_closed_pool_is_closed():
    pool: Any = BlockingPool("host", 2, 60, 60)
    assert drive(pool.acquire()) is None
    wire = Held()
    pool.add(wire)
    pool.close()
    pool.release(wire)
    assert wire.closed
    assert (pool.idle, len(pool)) == (0, 0)


def test_a_connection_that_expires_goes_when_another_one_is_given_back():
    pool: Any = BlockingPool("host", 2, 60, 60)
    old, young = Held(), Held()
    for wire in (old, young):
        assert drive(pool.acquire()) is None
        pool.add(wire)
    pool.release(old)
    old.idle_since -= 100
    pool.release(young)
    assert (old.closed, young.closed, pool.idle) == (True, False, 1)
