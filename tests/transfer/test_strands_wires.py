"""Requests by turns in one thread, over real connections."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from storage_core.errors import OperationTimeoutError
from storage_core.http import HttpSettings, open_transport
from storage_core.http.blocking import BlockingTransport, BlockingWire
from storage_core.http.transport import Station
from storage_core.runtime import Inline, drive
from storage_core.runtime.strands import Stopped
from storage_core.runtime.team import Team
from tests.http.certificates import Authority
from tests.http.conftest import serve  # noqa: F401 - found by its name
from tests.http.hostile.answers import OK, plain
from tests.http.hostile.clients import QUICK, fetch, request
from tests.http.hostile.server import GoneError, Peer, Script, Server
from tests.transfer.strands import (  # noqa: F401 - fixtures are found by their names
    Job,
    acquired,
    alone,
    by_turns,
    carried,
    carriers,
    carry,
    nothing_left,
    thread,
)
from tests.waiting import PATIENCE

pytestmark = [by_turns, pytest.mark.timeout(120)]
one_thread = pytest.mark.usefixtures("alone")
SETTINGS = replace(QUICK, connect_timeout=60, read_timeout=60, max_connections=128)
Start = Callable[..., Server]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "trusted")


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext | None:
    """Each test once without and once with."""
    return authority.server_context("127.0.0.1") if request.param == "tls" else None


@contextmanager
def opened(settings: HttpSettings = SETTINGS) -> Iterator[Transport]:
    transport = Transport(settings)
    try:
        yield transport
    finally:
        drive(transport.close())


class Transport(BlockingTransport):
    """Tells of its connections."""

    def __init__(self, settings: HttpSettings) -> None:
        super().__init__(settings)
        self.made: list[int] = []

    async def _connect(self, station: Station[BlockingWire]) -> BlockingWire:
        wire = await super()._connect(station)
        self.made.append(wire.fd)
        return wire

    @property
    def connections(self) -> int:
        """How many the pools hold, and lend."""
        assert all(len(s.pool) == s.pool._granted for s in self._stations.values())
        return sum(len(station.pool) for station in self._stations.values())


def always(answer: Callable[[str], bytes], meet: threading.Barrier | None = None) -> Script:
    """Answers by the target, once ``meet`` as many are there."""

    def script(peer: Peer) -> None:
        with suppress(GoneError):
            while True:
                seen, body = peer.request()
                if meet is not None:
                    meet.wait(PATIENCE)
                peer.send(plain(answer(seen.target) + body))

    return script


def asks(transport: Transport, server: Server, target: str, found: dict[str, Any]) -> Job:
    async def job(_: Team) -> None:
        status, found[target] = await fetch(transport, request(server, target=target))
        assert status == 200
        names.add(thread())

    names: set[str] = found.setdefault("names", set())
    return job


TARGETS = [f"/bucket/{number:02}" for number in range(64)]
ANSWERS = {target: target.encode() * 9 for target in TARGETS}


@one_thread
@pytest.mark.parametrize("count", [2, 32])
def test_one_thread_keeps_many_requests_in_flight(
    serve: Start,  # noqa: F811
    tls: ssl.SSLContext | None,
    authority: Authority,
    count: int,
) -> None:
    """Nobody is answered before all have asked."""
    server = serve(spare=always(ANSWERS.__getitem__, threading.Barrier(count)), tls=tls)
    found: dict[str, Any] = {}
    with opened(replace(SETTINGS, ca_file=str(authority.file))) as transport:
        carry(*(asks(transport, server, target, found) for target in TARGETS[:count]))
        assert transport.connections == count
    assert len(found.pop("names")) == 1
    assert found == {target: ANSWERS[target] for target in TARGETS[:count]}


@one_thread
def test_one_thread_has_no_more_than_its_share(serve: Start) -> None:  # noqa: F811
    inside: list[int] = []
    most: list[int] = []
    server = serve(spare=always(ANSWERS.__getitem__, threading.Barrier(32)))
    with opened() as transport:

        async def job(_: Team) -> None:
            inside.append(1)
            most.append(len(inside))
            await fetch(transport, request(server, target=TARGETS[0]))
            inside.pop()

        carry(*[job] * 64)
    assert (len(most), max(most)) == (64, 32)


def test_more_threads_come_where_one_has_all_it_can(serve: Start) -> None:  # noqa: F811
    server = serve(spare=always(ANSWERS.__getitem__, threading.Barrier(40)))
    found: dict[str, Any] = {}
    with opened() as transport:
        carry(*(asks(transport, server, target, found) for target in TARGETS[:40]))
    assert len(found.pop("names")) > 1
    assert len(found) == 40


@one_thread
@pytest.mark.parametrize("few", [1, 2])
def test_fewer_connections_than_jobs(serve: Start, few: int) -> None:  # noqa: F811
    """They wait for those of each other, and of a thread that is not of the team."""
    server = serve(spare=always(ANSWERS.__getitem__))
    found: dict[str, Any] = {}
    with opened(replace(SETTINGS, max_connections=2)) as transport:

        def compete() -> None:
            for _ in range(30):
                others.append(drive(fetch(transport, request(server, target=TARGETS[0]))))

        others: list[tuple[int, bytes]] = []
        other = threading.Thread(target=compete)
        other.start()
        carry(*(asks(transport, server, target, found) for target in TARGETS), few=few)
        other.join()
        assert transport.connections <= 2
    assert others == [(200, ANSWERS[TARGETS[0]])] * 30
    found.pop("names")
    assert found == ANSWERS


@one_thread
def test_time_is_over_for_one_alone(
    serve: Start,  # noqa: F811
    tls: ssl.SSLContext | None,
    authority: Authority,
) -> None:
    """By the read timeout or by its deadline, while another always has something to do."""
    ended: list[str] = []

    def script(peer: Peer) -> None:
        seen, _ = peer.request()
        if seen.target.endswith("silent"):
            peer.gone()
        else:
            peer.send(OK + b"Content-Length: 1000000000000\r\n\r\n")
            peer.flood(b"more and ")

    server = serve(script, script, script, tls=tls)
    settings = replace(SETTINGS, ca_file=str(authority.file))
    with opened(settings) as patient, opened(replace(settings, read_timeout=0.2)) as hasty:

        async def silent(_: Team) -> None:
            with pytest.raises(OperationTimeoutError, match=r"no progress for 0\.2 s"):
                await fetch(hasty, request(server, target="/silent"))
            ended.append("silent")

        async def limited(_: Team) -> None:
            call = fetch(patient, request(server, target="/silent"))
            with pytest.raises(OperationTimeoutError, match="the deadline passed"):
                await Inline().within(0.2, call)
            ended.append("limited")

        async def busy(_: Team) -> None:
            response = await patient.send(request(server))
            while len(ended) < 2:
                assert await response.read(100_000)
            await response.close()

        carry(silent, limited, busy)
        assert patient.connections == hasty.connections == 0


@one_thread
@pytest.mark.parametrize("few", [1, 2])
def test_after_a_failure_no_connection_is_kept_that_is_in_use(
    serve: Start,  # noqa: F811
    few: int,
) -> None:
    """In whichever thread it was."""
    asked = threading.Semaphore(0)
    ended: list[str] = []

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"Content-Length: 100\r\n\r\nbegin")
        asked.release()
        peer.gone()

    server = serve(*[script] * few)
    with opened(replace(SETTINGS, max_connections=2)) as transport:

        async def waits(_: Team) -> None:
            try:
                await fetch(transport, request(server))
            except Stopped:
                ended.append("stopped")
                raise

        async def fails(team: Team) -> None:
            await acquired(team, asked, few)
            raise ValueError("one")

        jobs = [waits, fails] if few == 1 else [waits, waits, waits, fails]
        with pytest.raises(ValueError, match="one"):
            carry(*jobs, few=few)
        assert set(ended) == {"stopped"}
        assert transport.connections == 0


@one_thread
def test_the_library_takes_turns_too(serve: Start) -> None:  # noqa: F811
    """While answers are awaited; their bodies it reads one after the other."""
    server = serve(spare=always(lambda target: target.encode() * 100_000, threading.Barrier(8)))
    settings = replace(SETTINGS, transport="library")
    transport = drive(open_transport("blocking", settings))
    found: list[bytes] = []

    async def job(_: Team) -> None:
        found.append((await fetch(transport, request(server, target="/a")))[1])

    carry(*[job] * 8)
    drive(transport.close())
    assert found == [b"/a" * 100_000] * 8
