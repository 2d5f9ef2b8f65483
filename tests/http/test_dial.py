"""Names with several addresses, and addresses that do not answer."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest

from storage_core.errors import OperationTimeoutError, UnavailableError
from storage_core.http import Origin, Request
from storage_core.http.dial import in_turns, literal
from tests.http.hostile.answers import DONE, plain, then
from tests.http.hostile.clients import KINDS, QUICK, fetch

LEAN = [kind for kind in KINDS if kind.transport == "lean"]
lean = pytest.mark.parametrize("client", LEAN, ids=lambda kind: kind.name, indirect=True)


@pytest.fixture
def deaf():
    """The port of a listener whose queue is full: connections to it are never made."""
    with ExitStack() as stack:
        yield full_listener(stack).getsockname()[1]


def full_listener(stack: ExitStack) -> socket.socket:
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.2", 0))
    listener.listen(0)
    for _ in range(4):
        sock = stack.enter_context(socket.socket())
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
    return listener


def resolving(monkeypatch, *addresses):
    """Let every name have these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    real = socket.getaddrinfo

    def resolve(host, *args, **options):
        return real(host, *args, **options) if host is None else found

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_families_take_turns():
    found = [
        (6, 1, 6, "", "six-1"),
        (6, 1, 6, "", "six-2"),
        (6, 1, 6, "", "six-3"),
        (4, 1, 6, "", "four-1"),
    ]
    assert in_turns(found) == [(6, "six-1"), (4, "four-1"), (6, "six-2"), (6, "six-3")]
    assert in_turns([]) == []


def test_addresses_need_no_resolver():
    assert literal("127.0.0.1", 1) == [(socket.AF_INET, ("127.0.0.1", 1))]
    assert literal("::1", 1) == [(socket.AF_INET6, ("::1", 1))]
    assert literal("localhost", 1) == []
    assert literal("1", 1) == []


@lean
def test_a_name(client, serve):
    server = serve(then(plain()))

    async def main(transport):
        asked = Request("GET", Origin.of(f"http://localhost:{server.port}"), "/")
        assert await fetch(transport, asked) == (200, DONE)

    client.run(main)


asyncio_only = pytest.mark.parametrize(
    "client", LEAN[:2], ids=lambda kind: kind.name, indirect=True
)  # uvloop resolves names without Python's socket module


@asyncio_only
def test_the_next_address_is_tried(client, serve, deaf, nobody, monkeypatch):
    """One refuses, one never answers, the third is good."""
    server = serve(then(plain()))
    good = ("127.0.0.1", server.port)
    resolving(monkeypatch, ("127.0.0.1", nobody), ("127.0.0.2", deaf), good)

    async def main(transport):
        asked = Request("GET", Origin.of("http://many.example.org"), "/")
        assert await fetch(transport, asked) == (200, DONE)

    client.run(main)


@asyncio_only
def test_all_addresses_refuse(client, nobody, monkeypatch):
    resolving(monkeypatch, ("127.0.0.1", nobody), ("127.0.0.1", nobody))

    async def main(transport):
        with pytest.raises(UnavailableError, match=r"many\.example\.org:80.*refused") as seen:
            await fetch(transport, Request("GET", Origin.of("http://many.example.org"), "/"))
        assert seen.value.unsent

    client.run(main)


@lean
def test_nobody_answers(client, deaf):
    async def main(transport):
        asked = Request("PUT", Origin.of(f"http://127.0.0.2:{deaf}"), "/", body=b"x")
        with pytest.raises(OperationTimeoutError, match=r"127\.0\.0\.2") as seen:
            await fetch(transport, asked)
        assert seen.value.unsent

    client.run(main, replace(QUICK, connect_timeout=0.2))


@lean
def test_a_refusal_that_takes_its_time(client):
    """As from another machine: a loopback connection is refused at once otherwise."""
    with ExitStack() as stack:
        listener = full_listener(stack)
        port = listener.getsockname()[1]
        closing = threading.Timer(0.2, listener.close)
        closing.start()

        async def main(transport):
            asked = Request("GET", Origin.of(f"http://127.0.0.2:{port}"), "/")
            with pytest.raises(UnavailableError, match="refused") as seen:
                await fetch(transport, asked)
            assert seen.value.unsent

        client.run(main)
        closing.join()


@lean
@pytest.mark.parametrize("host", ["nobody.invalid", "a..b", "x" * 64])
def test_a_name_that_does_not_exist(client, host):
    async def main(transport):
        with pytest.raises(UnavailableError) as seen:
            await fetch(transport, Request("GET", Origin("http", host, 80, "x"), "/"))
        assert seen.value.unsent

    client.run(main)


@lean
def test_ipv6(client):
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    with listener:
        port = listener.getsockname()[1]

        async def main(transport):
            asked = Request("GET", Origin.of(f"http://[::1]:{port}"), "/")
            with pytest.raises(OperationTimeoutError):
                await fetch(transport, asked)
            peer, _ = listener.accept()
            with peer:
                assert f"Host: [::1]:{port}".encode() in peer.recv(1000)

        client.run(main, replace(QUICK, read_timeout=0.2))
