"""Connections that are made by turns in one thread: what one waits for holds up no other."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from storage_core.errors import ClosedError
from storage_core.http import HttpSettings, Origin, Request
from storage_core.runtime.strands import Stopped
from storage_core.runtime.team import Team
from tests.http.certificates import Authority
from tests.http.conftest import nobody, serve  # noqa: F401 - fixtures are found by their names
from tests.http.hostile.answers import plain
from tests.http.hostile.clients import fetch, request
from tests.http.hostile.server import GoneError, Peer, Script, Server
from tests.http.test_dial import deaf, resolving  # noqa: F401 - a fixture, and what is none
from tests.transfer.strands import (  # noqa: F401 - fixtures are found by their names
    acquired,
    alone,
    by_turns,
    carry,
    nothing_left,
    thread,
)
from tests.transfer.test_strands_wires import SETTINGS, Start, opened
from tests.waiting import PATIENCE, wait_until

pytestmark = [by_turns, pytest.mark.timeout(120), pytest.mark.usefixtures("alone")]

NAME = "data.example.org"
PATIENT = replace(SETTINGS, connect_timeout=2 * PATIENCE)


class World(NamedTuple):
    """Whom the clients of this module trust, and who they find."""

    settings: HttpSettings
    tls: ssl.SSLContext
    stranger: ssl.SSLContext
    another: ssl.SSLContext
    """Somebody else they trust."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    place = tmp_path_factory.mktemp("dial")
    authority, stranger = Authority(place, "trusted"), Authority(place, "stranger")
    return World(
        replace(PATIENT, ca_file=str(authority.file)),
        authority.server_context(NAME, "127.0.0.1"),
        stranger.server_context(NAME, "127.0.0.1"),
        authority.server_context("other.example.org"),
    )


def descriptors() -> int:
    """How many sockets and epoll instances this process has."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            count += os.readlink(f"/proc/self/fd/{name}").startswith(("socket:", "anon_inode:"))
    return count


@contextmanager
def none_leaked() -> Iterator[None]:
    """Not even one that only an error's traceback keeps."""
    before = descriptors()
    yield
    wait_until(lambda: descriptors() <= before)


# --- the service ----------------------------------------------------------------------


def answers(peer: Peer) -> None:
    """Every request."""
    with suppress(GoneError):
        while True:
            seen, _ = peer.request()
            peer.send(plain(seen.target.encode()))


def begins(peer: Peer) -> None:
    """Wait until the client begins the handshake."""
    if not peer.socket.recv(1, socket.MSG_PEEK):
        raise GoneError


def secured(peer: Peer, tls: ssl.SSLContext, script: Script = answers) -> None:
    with suppress(OSError), tls.wrap_socket(peer.socket, server_side=True) as sock:
        script(Peer(sock, peer._stop))


def meets(where: str, meet: threading.Barrier, tls: ssl.SSLContext) -> Script:
    """Nobody gets further before all of them are there."""

    def script(peer: Peer) -> None:
        if where == "tunnel":
            peer.head()
            meet.wait(PATIENCE)
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        if where == "handshake":
            begins(peer)
            meet.wait(PATIENCE)
        secured(peer, tls)

    return script


# --- several at a time ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "count"), [("handshake", 2), ("handshake", 32), ("tunnel", 8), ("lookup", 8)]
)
def test_one_thread_makes_many_connections_at_a_time(
    serve: Start,  # noqa: F811
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    count: int,
) -> None:
    """No handshake, tunnel or look-up of a name ends before all have begun."""
    meet = threading.Barrier(count)
    server = serve(spare=meets(where, meet, world.tls))
    origin = Origin("https", NAME, server.port, f"{NAME}:{server.port}")
    settings = world.settings
    if where == "tunnel":
        settings = replace(settings, proxy=f"http://127.0.0.1:{server.port}")

    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        if where == "lookup":
            meet.wait(PATIENCE)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    found: list[bytes] = []
    names: set[str] = set()
    with none_leaked(), opened(settings) as transport:

        async def job(_: Team) -> None:
            asked = Request("GET", origin, f"/{len(names)}")
            found.append((await fetch(transport, asked))[1])
            names.add(thread())

        carry(*[job] * count)
        assert transport.connections == count
    assert found == [b"/0"] * count
    assert len(names) == 1


def test_those_that_are_being_made_count(serve: Start, world: World) -> None:  # noqa: F811
    """Of two connections at most, none is made before both have begun; there is no third."""
    server = serve(spare=meets("handshake", threading.Barrier(2), world.tls))
    server.scheme = "https"
    found: list[int] = []
    with opened(replace(world.settings, max_connections=2)) as transport:

        async def job(_: Team) -> None:
            found.append((await fetch(transport, request(server)))[0])

        carry(*[job] * 12)
    assert found == [200] * 12
    assert server.accepted == 2


def test_the_next_address_is_tried(
    serve: Start,  # noqa: F811
    deaf: int,  # noqa: F811
    nobody: int,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One refuses, one never answers, the third is good: while another job goes on."""
    server = serve(answers, answers)
    good = ("127.0.0.1", server.port)
    resolving(monkeypatch, ("127.0.0.1", nobody), ("127.0.0.2", deaf), good)
    ended: list[str] = []
    with none_leaked(), opened() as transport:

        async def many(_: Team) -> None:
            asked = Request("GET", Origin.of("http://many.example.org"), "/")
            assert (await fetch(transport, asked))[0] == 200
            ended.append("many")

        async def one(_: Team) -> None:
            while not ended:
                assert (await fetch(transport, request(server)))[0] == 200

        carry(many, one)
    assert ended == ["many"]


# --- stopped --------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["connect", "tunnel", "handshake", "lookup"])
def test_one_that_is_stopped_closes_what_it_began(
    serve: Start,  # noqa: F811
    world: World,
    deaf: int,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    """While it waits for somebody who says nothing, another makes a connection and fails."""
    reached, left, over = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    ended: list[str] = []

    def silent(peer: Peer) -> None:
        begins(peer)
        reached.release()
        peer.gone()
        left.release()

    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        reached.release()
        assert over.wait(PATIENCE)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", deaf))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    server, good = serve(spare=silent), serve(answers)
    settings, place = world.settings, f"https://127.0.0.1:{server.port}"
    if where == "tunnel":
        settings = replace(settings, proxy=f"http://127.0.0.1:{server.port}")
    if where == "connect":
        place = f"http://127.0.0.2:{deaf}"
    if where == "lookup":
        place = "http://many.example.org"
    before = descriptors()
    with opened(settings) as transport, opened() as other:

        async def waits(_: Team) -> None:
            try:
                await fetch(transport, Request("GET", Origin.of(place), "/"))
            except Stopped:
                ended.append("stopped")
                raise

        async def fails(team: Team) -> None:
            if where != "connect":
                await acquired(team, reached, 1)
            assert (await fetch(other, request(good)))[0] == 200
            over.set()
            raise ValueError("one")

        with pytest.raises(ValueError, match="one") as seen:
            carry(waits, fails)
        assert ended == ["stopped"]
        assert transport.connections == 0
        assert not transport.made
    if where in {"tunnel", "handshake"}:
        assert left.acquire(timeout=PATIENCE), "its connection is closed"
    wait_until(lambda: descriptors() <= before)
    assert seen.value.__traceback__ is not None


def test_a_transport_that_is_closed_meanwhile(serve: Start, world: World) -> None:  # noqa: F811
    begun, over = threading.Semaphore(0), threading.Event()

    def held(peer: Peer) -> None:
        begins(peer)
        begun.release()
        assert over.wait(PATIENCE)
        secured(peer, world.tls, lambda peer: heard.append(peer.gone()))

    heard: list[bytes] = []
    ended: list[str] = []
    with none_leaked(), Server(held) as server, opened(world.settings) as transport:
        server.scheme = "https"

        async def dials(_: Team) -> None:
            with pytest.raises(ClosedError, match="the storage was closed"):
                await fetch(transport, request(server))
            ended.append("dials")

        async def closes(team: Team) -> None:
            await acquired(team, begun, 1)
            await transport.close()
            over.set()

        carry(dials, closes)
    assert ended == ["dials"]
    assert heard == [b""], "closed, and nothing was sent"
