"""Requests with a body: what goes out, and what may come back before all of it has."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from storage_core.errors import (
    IntegrityError,
    InvalidRequestError,
    OperationTimeoutError,
    StorageError,
    UnavailableError,
)
from tests.http.hostile.answers import DONE, plain, then, tolerant
from tests.http.hostile.clients import HASTY, QUICK, Client, Pieces, fetch, request
from tests.http.hostile.differences import differs
from tests.http.hostile.server import GoneError, Peer, Script, Seen

BIG = os.urandom(1 << 20) * 24
"""More than the buffers of two sockets hold."""

EARLY = plain(b"no", status=b"403 Forbidden")


class Recorder:
    """A script that answers requests and keeps what they were."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers or (plain(),)
        self.heads: list[Seen] = []
        self.bodies: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        for answer in self.answers:
            seen = peer.head()
            if seen.get("expect"):
                peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.heads.append(seen)
            chunked = seen.get("transfer-encoding") == "chunked"
            size = int(seen.get("content-length") or 0)
            self.bodies.append(peer.chunks() if chunked else peer.read(size))
            peer.send(answer)
        peer.gone()


# -- what goes out -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/a/../b/./c//d",
        "//a",
        "/%2f%2F%7e~%zz?x=%20+&&=&y",
        "/a;b:c@d!$'()*,=[]|\\^`{}\"<>",
        "/a?b?c=/../d",
    ],
)
def test_targets_go_out_as_they_are(client: Client, serve, target: str):
    """Signatures cover every byte of them: nothing is encoded, decoded or normalised."""
    record = Recorder()
    server = serve(record)
    client.run(lambda transport: fetch(transport, request(server, "GET", target)))
    assert record.heads[0].target == target


def test_an_empty_query_goes_out_or_is_refused(client: Client, serve):
    record = Recorder(*([] if differs("empty-query", client) else [plain()]))
    server = serve(record) if not differs("empty-query", client) else serve()

    async def main(transport):
        if differs("empty-query", client):
            with pytest.raises(InvalidRequestError, match="empty query"):
                await transport.send(request(server, target="/a?"))
        else:
            await fetch(transport, request(server, target="/a?"))
            assert record.heads[0].target == "/a?"

    client.run(main)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "POST", "PATCH", "OPTIONS"])
def test_headers_go_out_as_they_are(client: Client, serve, method: str):
    """In their order and spelling, after Host, and no others (but the length of nothing)."""
    given = {
        "x-AMZ-Date": "20260131T000000Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/y,  SignedHeaders=host;z, Signature=0",
        "x-empty": "",
        "If-None-Match": "*",
        "Range": "bytes=0-",
        "content-TYPE": "text/plain",
    }
    record = Recorder(plain(b""))
    server = serve(record)
    client.run(lambda transport: fetch(transport, request(server, method, headers=given)))
    host = ("Host", f"localhost:{server.port}")
    length = [("Content-Length", "0")] if method in {"PUT", "POST", "PATCH"} else []
    assert record.heads[0].fields == [host, *given.items(), *length]


def test_given_framing_and_host_are_kept(client: Client, serve):
    record = Recorder()
    server = serve(record)
    given = {"content-length": "3", "HOST": "elsewhere.example.org", "X": "y"}
    asked = request(server, "PUT", headers=given, body=b"abc")
    client.run(lambda transport: fetch(transport, asked))
    assert record.bodies == [b"abc"]
    assert record.heads[0].get("host") == "elsewhere.example.org"
    assert record.heads[0].get("content-length") == "3"


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/a\r\nX: y", {}),
        ("/a b", {}),
        ("/ü", {}),
        ("/a\0", {}),
        ("a", {}),
        ("", {}),
        ("http://elsewhere/", {}),
        ("/", {"X": "a\r\nY: b"}),
        ("/", {"X": "a\nY: b"}),
        ("/", {"X": "a\0"}),
        ("/", {"X": "ü"}),
        ("/", {"X y": "a"}),
        ("/", {"X:": "a"}),
        ("/", {"": "a"}),
        ("/", {"X\r\nY": "a"}),
    ],
)
def test_nothing_can_be_smuggled_into_a_head(
    client: Client, serve, target: str, headers: dict[str, str]
):
    """Refused before anything is sent; the message names no value, which may be a secret."""
    server = serve()

    async def main(transport):
        with pytest.raises(InvalidRequestError) as seen:
            await transport.send(request(server, "GET", target, headers))
        assert "Y: b" not in str(seen.value)

    client.run(main)
    assert server.accepted == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"x", bytearray(b"bytes"), memoryview(b"0123456789")[2:8], os.urandom(300_000), BIG],
    ids=["empty", "one", "bytearray", "view", "middle", "big"],
)
def test_bodies_in_memory(client: Client, serve, body):
    record = Recorder()
    server = serve(record)
    client.run(lambda transport: fetch(transport, request(server, "PUT", body=body)))
    assert record.bodies == [bytes(body)]
    assert record.heads[0].get("content-length") == str(len(body))
    assert record.heads[0].get("transfer-encoding") is None


PIECES = {
    "several": (b"a", b"bc" * 5000, b"", b"d" * 300_000, bytearray(b"e"), memoryview(b"fgh")[1:]),
    "one": (b"x",),
    "big": (BIG,),
    "empty-ones": (b"", b"", b"x", b""),
    "none": (),
    "nothing": (b"",),
}


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "chunked"])
@pytest.mark.parametrize("case", PIECES)
def test_bodies_in_pieces(client: Client, serve, case: str, sized: bool):
    """A piece of no bytes is no end, in chunks above all."""
    pieces = Pieces(*PIECES[case], size=-1 if sized else None)
    record = Recorder(plain(), plain())
    server = serve(record)

    async def main(transport):
        assert await fetch(transport, request(server, "PUT", body=pieces)) == (200, DONE)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)
    assert record.bodies[0] == b"".join(PIECES[case])
    fields = record.heads[0]
    if sized:
        assert fields.get("content-length") == str(pieces.size)
        assert fields.get("transfer-encoding") is None
    else:
        assert fields.get("transfer-encoding") == "chunked"
        assert fields.get("content-length") is None
    assert pieces.closed or not pieces.begun


def test_a_piece_may_change_once_the_next_is_asked_for(client: Client, serve):
    """Readers fill one buffer again and again."""

    class Reused(Pieces):
        async def __aiter__(self):
            self.begun = True
            buffer = bytearray(50_000)
            for number in range(200):
                buffer[:] = bytes([number]) * len(buffer)
                yield memoryview(buffer)

    record = Recorder()
    server = serve(record)
    asked = request(server, "PUT", body=Reused(size=200 * 50_000))
    client.run(lambda transport: fetch(transport, asked))
    assert record.bodies == [b"".join(bytes([number]) * 50_000 for number in range(200))]


# -- bodies that fail --------------------------------------------------------------------


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
    client: Client, serve, sized: bool, error: Exception
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
        sent.wait(20)
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
    did not send can not be told from a next request, so there is none on it."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(plain(b"created", status=b"201 Created"))
        peer.gone()

    server = serve(script, then(plain()))

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

    server = serve(script, then(plain()))
    pieces = Pieces(*[BIG[: 1 << 20]] * 64, size=None if body == "chunked" else -1)

    async def main(transport):
        with pytest.raises(OperationTimeoutError) as seen:
            await transport.send(request(server, "PUT", body=BIG if body == "memory" else pieces))
        assert not seen.value.unsent
        assert pieces.closed or body == "memory"
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, replace(HASTY, expect_continue=0))


# -- Expect: 100-continue ----------------------------------------------------------------


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


def test_consent_that_never_comes(client: Client, serve, upload):
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
