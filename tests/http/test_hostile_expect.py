"""``Expect: 100-continue``: large bodies wait for the service's consent (RFC 9110 section 10.1.1)."""

from __future__ import annotations

import time

import pytest

from storage_core.errors import (
    UnavailableError,
)
from tests.http.hostile.answers import BIG, DONE, Recorder, plain, then, tolerant
from tests.http.hostile.clients import Client, Pieces, fetch, request
from tests.http.hostile.server import Peer, Seen


def _asks(peer: Peer) -> Seen:
    """A head that asks for consent, and nothing of the body comes without it."""
    seen = peer.head()
    assert seen.get("expect") == "100-continue"
    time.sleep(0.02)
    assert peer.silent(), "the body came without consent"
    return seen


@pytest.fixture(params=["memory", "pieces", "chunked"])
def upload(request: pytest.FixtureRequest):
    """A body that asks for consent, and what it holds."""
    data = BIG[: 2 << 20]
    if request.param == "memory":
        return data, data
    pieces = [data[: 1 << 20], data[1 << 20 :]]
    return Pieces(*pieces, size=None if request.param == "chunked" else -1), data


def _body(peer: Peer, seen: Seen) -> bytes:
    if seen.get("transfer-encoding"):
        return peer.chunks()
    return peer.read(int(seen.get("content-length") or 0))


@pytest.mark.parametrize(
    "consent",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 100\r\nX: y\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_consent(client: Client, serve, upload, consent: bytes):
    body, data = upload
    received = []

    def script(peer: Peer) -> None:
        seen = _asks(peer)
        peer.split(consent, 5)
        received.append(_body(peer, seen))
        peer.send(b"HTTP/1.1 102 Processing\r\n\r\n" + plain())
        peer.request()
        peer.send(plain())
        peer.gone()

    server = serve(script)

    async def main(transport):
        assert await fetch(transport, request(server, "PUT", body=body)) == (200, DONE)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)
    assert received == [data]


def test_consent_that_never_comes(client: Client, serve, upload, consent_fails: None):
    """The body is sent all the same after a while (RFC 9110 section 10.1.1), and this service
    is not asked again."""
    body, data = upload
    received = []

    def script(peer: Peer) -> None:
        seen = peer.head()
        assert seen.get("expect")
        received.append(_body(peer, seen))
        peer.send(plain())
        seen = peer.head()
        assert not seen.get("expect")
        received.append(_body(peer, seen))
        peer.send(plain())
        peer.gone()

    server = serve(script)

    async def main(transport):
        assert await fetch(transport, request(server, "PUT", body=body)) == (200, DONE)
        assert await fetch(transport, request(server, "PUT", body=data)) == (200, DONE)

    client.run(main)
    assert received == [data, data]


@pytest.mark.parametrize("status", [b"200 OK", b"403 Forbidden", b"307 Temporary Redirect"])
def test_a_final_answer_instead_of_consent(client: Client, serve, upload, status: bytes):
    """Nothing of the body is read, so it can be sent again elsewhere. What was announced does
    not come, so the connection is not used again."""
    body, _ = upload
    received = []

    def script(peer: Peer) -> None:
        _asks(peer)
        peer.send(plain(b"x", status=status))
        received.append(peer.gone())

    server = serve(script, then(plain()))

    async def main(transport):
        found, text = await fetch(transport, request(server, "PUT", body=body))
        assert (found, text) == (int(status[:3]), b"x")
        if isinstance(body, Pieces):
            assert not body.begun
        await client.until(lambda: received)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)
    assert received == [b""]


def test_a_service_that_does_not_know_expect(client: Client, serve, upload):
    """417: sent again without asking (RFC 9110 section 15.5.18), on a new connection."""
    body, data = upload
    record = Recorder(plain(), plain())

    def script(peer: Peer) -> None:
        _asks(peer)
        peer.send(plain(b"what?", status=b"417 Expectation Failed"))
        assert peer.gone() == b""

    server = serve(script, record)

    async def main(transport):
        assert await fetch(transport, request(server, "PUT", body=body)) == (200, DONE)
        assert await fetch(transport, request(server, "PUT", body=data)) == (200, DONE)

    client.run(main)
    assert record.bodies == [data, data]
    assert [seen.get("expect") for seen in record.heads] == [None, None]


def test_the_connection_breaks_instead_of_consent(client: Client, serve, upload):
    body, _ = upload

    def script(peer: Peer) -> None:
        _asks(peer)

    server = serve(script, then(plain()))

    async def main(transport):
        with pytest.raises(UnavailableError) as seen:
            await fetch(transport, request(server, "PUT", body=body))
        assert not seen.value.unsent
        if isinstance(body, Pieces):
            assert not body.begun
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


def test_small_bodies_do_not_ask(client: Client, serve):
    record = Recorder(plain(), plain())
    server = serve(record)

    async def main(transport):
        await fetch(transport, request(server, "PUT", body=b"x" * ((1 << 20) - 1)))
        await fetch(transport, request(server, "PUT", body=Pieces(b"x" * 1000)))

    client.run(main)
    assert [seen.get("expect") for seen in record.heads] == [None, None]


def test_an_expectation_of_the_callers(client: Client, serve):
    """It goes out as given, and 417 is an answer like any other."""

    def script(peer: Peer) -> None:
        assert peer.head().get("expect") == "100-continue"
        peer.send(plain(b"what?", status=b"417 Expectation Failed"))
        peer.gone()

    server = serve(tolerant(script))

    async def main(transport):
        asked = request(server, "PUT", headers={"Expect": "100-continue"}, body=b"abc")
        assert await fetch(transport, asked) == (417, b"what?")

    client.run(main)
