"""No connection: by turns it is told as it is where a thread makes one alone."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeAlias

import pytest

from storage_core.errors import (
    ConfigError,
    OperationTimeoutError,
    StorageError,
    UnavailableError,
)
from storage_core.http import HttpSettings, Origin, Request
from storage_core.runtime import Inline, drive
from storage_core.runtime.team import Team
from tests.http.conftest import nobody  # noqa: F401 - found by its name
from tests.http.hostile.answers import plain, tolerant
from tests.http.hostile.clients import fetch
from tests.http.hostile.server import Peer, Script, Server
from tests.http.test_dial import deaf, resolving  # noqa: F401 - a fixture, and what is none
from tests.transfer.strands import alone, by_turns, carry, nothing_left  # noqa: F401 - fixtures
from tests.transfer.test_strands_dial import (  # noqa: F401 - a fixture, and what is none
    NAME,
    World,
    begins,
    none_leaked,
    secured,
    world,
)
from tests.transfer.test_strands_wires import Transport

pytestmark = [by_turns, pytest.mark.timeout(120), pytest.mark.usefixtures("alone")]

Play: TypeAlias = Callable[[Peer, World, threading.Event], None]
"""What the other side does, and with which certificates; it tells when it says no more."""


def resets(peer: Peer, _: World, __: threading.Event) -> None:
    begins(peer)
    peer.reset()


def ends(peer: Peer, _: World, __: threading.Event) -> None:
    begins(peer)
    peer.socket.shutdown(socket.SHUT_WR)
    peer.gone()


def speaks_no_tls(peer: Peer, _: World, __: threading.Event) -> None:
    begins(peer)
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    peer.gone()


def is_a_stranger(peer: Peer, world: World, __: threading.Event) -> None:  # noqa: F811
    secured(peer, world.stranger)


def is_another(peer: Peer, world: World, __: threading.Event) -> None:  # noqa: F811
    secured(peer, world.another)


def is_silent(peer: Peer, _: World, reached: threading.Event) -> None:
    begins(peer)
    reached.set()
    peer.gone()


def refuses(status: bytes) -> Play:
    def play(peer: Peer, _: World, __: threading.Event) -> None:
        peer.head()
        peer.send(plain(b"no", status=status))
        peer.gone()

    return play


def opens(then: Play) -> Play:
    def play(peer: Peer, world: World, reached: threading.Event) -> None:  # noqa: F811
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        then(peer, world, reached)

    return play


class Case(NamedTuple):
    """A failure.

    Attributes:
        error: What is raised.
        text: Part of what it says.
        play: What the service, or the proxy, does; None where there is no other side.
        proxy: Whether there is one; without ``play`` nobody listens where it should be.
        addresses: Of the service's name, where it is none that plays.
        passes: The time that does.
    """

    error: type[StorageError]
    text: str
    play: Play | None = None
    proxy: bool = False
    addresses: Sequence[str] = ()
    passes: Literal["", "timeout", "deadline"] = ""


TIMEOUT, DEADLINE = "no connection within the timeout", "the deadline passed"
CASES = {
    "refused": Case(UnavailableError, "refused", addresses=["nobody"]),
    "refused everywhere": Case(UnavailableError, "refused", addresses=["nobody", "nobody"]),
    "no such name": Case(UnavailableError, "no connection: Unknown"),
    "reset": Case(UnavailableError, "no connection: Connection reset", resets),
    "ended": Case(UnavailableError, "TLS failed: .*EOF", ends),
    "no TLS": Case(UnavailableError, "TLS failed: ", speaks_no_tls),
    "a stranger": Case(ConfigError, "is not trusted", is_a_stranger),
    "another": Case(ConfigError, "is not trusted.*mismatch", is_another),
    "no proxy": Case(UnavailableError, "proxy .*refused", proxy=True),
    "proxy, 407": Case(ConfigError, "user name", refuses(b"407 Login"), proxy=True),
    "proxy, 403": Case(ConfigError, "403", refuses(b"403 Forbidden"), proxy=True),
    "proxy, 502": Case(UnavailableError, "502", refuses(b"502 Bad Gateway"), proxy=True),
    "proxy, reset": Case(UnavailableError, "proxy .*reset", resets, proxy=True),
    "proxy, ended": Case(UnavailableError, "proxy .*the proxy closed", ends, proxy=True),
    "tunnel, reset": Case(UnavailableError, f"^{NAME}.*reset", opens(resets), proxy=True),
    "tunnel, a stranger": Case(ConfigError, f"{NAME}.*not", opens(is_a_stranger), proxy=True),
    "deaf, timeout": Case(OperationTimeoutError, TIMEOUT, addresses=["deaf"], passes="timeout"),
    "deaf, deadline": Case(OperationTimeoutError, DEADLINE, addresses=["deaf"], passes="deadline"),
    "silent, timeout": Case(OperationTimeoutError, TIMEOUT, is_silent, passes="timeout"),
    "silent, deadline": Case(OperationTimeoutError, DEADLINE, is_silent, passes="deadline"),
    "proxy, timeout": Case(
        OperationTimeoutError, "proxy .*no progress", is_silent, proxy=True, passes="timeout"
    ),
    "proxy, deadline": Case(
        OperationTimeoutError, f"proxy .*{DEADLINE}", is_silent, proxy=True, passes="deadline"
    ),
    "tunnel, timeout": Case(
        OperationTimeoutError,
        f"^{NAME}.*{TIMEOUT}",
        opens(is_silent),
        proxy=True,
        passes="timeout",
    ),
    "tunnel, deadline": Case(
        OperationTimeoutError,
        f"^{NAME}.*{DEADLINE}",
        opens(is_silent),
        proxy=True,
        passes="deadline",
    ),
}


async def failure(settings: HttpSettings, asked: Request, seconds: float | None) -> StorageError:
    """What a request ends with before it is sent."""
    transport = Transport(settings)
    try:
        with pytest.raises(StorageError) as seen:
            await Inline().within(seconds, fetch(transport, asked))
        assert not transport.made
        assert transport.connections == 0
        return seen.value
    finally:
        await transport.close()


def by_itself(settings: HttpSettings, asked: Request, seconds: float | None) -> StorageError:
    return drive(failure(settings, asked, seconds))


def in_turns(settings: HttpSettings, asked: Request, seconds: float | None) -> StorageError:
    found: list[StorageError] = []

    async def job(_: Team) -> None:
        found.append(await failure(settings, asked, seconds))

    carry(job)
    return found[0]


def playing(play: Play, world: World, reached: threading.Event) -> Script:  # noqa: F811
    return tolerant(lambda peer: play(peer, world, reached))


class Told(NamedTuple):
    kind: type[StorageError]
    text: str
    unsent: bool


def told(
    way: Callable[[HttpSettings, Request, float | None], StorageError],
    case: Case,
    world: World,  # noqa: F811
    nobody: int,  # noqa: F811
) -> Told:
    """What is raised, without ports and moments. On a busy machine the time may pass before
    anything is reached, and more of it is given then."""
    seconds = 0.2
    while True:
        reached = threading.Event()
        settings, port = world.settings, nobody
        with none_leaked(), ExitStack() as stack:
            if case.play is not None:
                port = stack.enter_context(Server(spare=playing(case.play, world, reached))).port
            origin = Origin.of(f"https://127.0.0.1:{port}")
            if case.proxy:
                settings = replace(settings, proxy=f"http://127.0.0.1:{port}")
            if case.proxy or case.play is None:
                origin = Origin.of(f"https://{NAME}")
            if case.passes == "timeout":
                settings = replace(settings, connect_timeout=seconds)
            error = way(
                settings,
                Request("GET", origin, "/"),
                seconds if case.passes == "deadline" else None,
            )
        if not case.passes or case.play is None or reached.is_set():
            break
        seconds *= 4
    text = re.sub(r"\d+(\.\d+)? s\b", "N s", str(error).replace(f":{port}", ":PORT"))
    return Told(type(error), text, error.unsent)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_told_as_by_a_thread_alone(
    world: World,  # noqa: F811
    nobody: int,  # noqa: F811
    deaf: int,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    case: Case,
) -> None:
    places = {"nobody": ("127.0.0.1", nobody), "deaf": ("127.0.0.2", deaf)}
    if case.addresses:
        resolving(monkeypatch, *(places[name] for name in case.addresses))
    else:

        def unknown(*_: Any, **__: Any) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Unknown")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    alone = told(by_itself, case, world, nobody)  # noqa: F811
    assert alone.kind is case.error
    assert re.search(case.text, alone.text)
    assert alone.unsent
    assert told(in_turns, case, world, nobody) == alone
