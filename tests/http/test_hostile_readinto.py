"""Bodies read into a caller's buffer, on every transport."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest

from storage_core.errors import OperationTimeoutError, StorageError, UnavailableError
from storage_core.http.interface import Response
from tests.http.certificates import Authority
from tests.http.hostile.answers import DONE, OK, chunked, plain, says_and_closes, then, tolerant
from tests.http.hostile.clients import HASTY, QUICK, Client, fetch, patiently, request
from tests.http.hostile.server import Peer
from tests.waiting import PATIENCE

BODY = os.urandom(700_000)


async def filled(response: Response, size: int) -> bytes:
    """The body, by one buffer that is used again and again."""
    buffer = memoryview(bytearray(size))
    found = b""
    while count := await response.readinto(buffer):
        found += buffer[:count]
    assert await response.readinto(buffer) == 0, "the end stays the end"
    return found


async def taken(response: Response, size: int, found: bytearray) -> None:
    """Read on until that fails; ``found`` is what came before."""
    buffer = memoryview(bytearray(size))
    while count := await response.readinto(buffer):
        found += buffer[:count]


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "trusted")


BODIES = {
    plain(BODY): BODY,
    chunked(BODY[:1], BODY[1:300_000], BODY[300_000:]): BODY,
    plain(b"0123456789"): b"0123456789",
    plain(b""): b"",
}


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [1 << 20, 9_973])
def test_whole_bodies(client: Client, serve, authority: Authority, size: int, secure: bool):
    """However they are framed; the connection goes on afterwards."""
    tls = authority.server_context("localhost", "127.0.0.1") if secure else None
    server = serve(then(*BODIES, plain()), tls=tls)

    async def main(transport):
        for body in BODIES.values():
            assert await filled(await transport.send(request(server)), size) == body
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, replace(QUICK, ca_file=str(authority.file)))


def test_a_buffer_is_filled_from_many_pieces(client: Client, serve):
    """The kernel may give less at its own choice, and libraries give what they have."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.split(OK + b"Content-Length: 700000\r\n\r\n" + BODY, 60, 100_000, 200_001, 500_000)
        peer.gone()

    server = serve(script)

    async def main(transport):
        response = await transport.send(request(server))
        buffer = memoryview(bytearray(300_000))
        found = b""
        while count := await response.readinto(buffer):
            found += buffer[:count]
            if client.kind.name in {"lean-asyncio", "lean-uvloop"} and len(found) > count:
                assert count == min(300_000, len(BODY) - len(found) + count)
        assert found == BODY

    client.run(main)


def test_a_body_up_to_the_end_of_the_connection(client: Client, serve):
    server = serve(says_and_closes(OK + b"Connection: close\r\n\r\n" + BODY))

    async def main(transport):
        assert await filled(await transport.send(request(server)), 100_000) == BODY

    client.run(main)


def test_a_body_that_breaks_off(client: Client, serve):
    """What came before is given, the end is an error and not taken for one."""
    server = serve(says_and_closes(plain(BODY)[:-1]))

    async def main(transport):
        response = await transport.send(request(server))
        found = bytearray()
        with pytest.raises(UnavailableError):
            await taken(response, 200_000, found)
        assert BODY.startswith(found)
        with pytest.raises(StorageError):
            await taken(response, 200_000, found)

    client.run(main)


def test_a_body_that_stalls(client: Client, serve):
    leave = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(plain(BODY)[:300_000])
        leave.wait(PATIENCE)

    server = serve(spare=tolerant(script))

    async def main(transport):
        response = await patiently(lambda: transport.send(request(server)))
        with pytest.raises(OperationTimeoutError):
            await taken(response, 1 << 20, bytearray())
        leave.set()

    client.run(main, HASTY)
