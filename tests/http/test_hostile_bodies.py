"""Bodies of answers: their framing, where they end, and where they should have."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading

import pytest

from storage_core.errors import ClosedError, OperationTimeoutError, StorageError, UnavailableError
from tests.http.hostile.answers import DONE, OK, chunked, plain, says_and_closes, then, tolerant
from tests.http.hostile.clients import HASTY, QUICK, Client, fetch, fetch_patiently, request, whole
from tests.http.hostile.differences import accepts, differs
from tests.http.hostile.server import Peer, Script
from tests.waiting import PATIENCE

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

MALFORMED = {
    "size-negative": CHUNKED + b"-5\r\n01234\r\n0\r\n\r\n",
    "size-signed": CHUNKED + b"+5\r\n01234\r\n0\r\n\r\n",
    "size-0x": CHUNKED + b"0x5\r\n01234\r\n0\r\n\r\n",
    "size-underscore": CHUNKED + b"0_5\r\n01234\r\n0\r\n\r\n",
    "size-in-words": CHUNKED + b"five\r\n01234\r\n0\r\n\r\n",
    "size-empty": CHUNKED + b"\r\n01234\r\n0\r\n\r\n",
    "size-space-before": CHUNKED + b" 5\r\n01234\r\n0\r\n\r\n",
    "size-huge": CHUNKED + b"FFFFFFFFFFFFFFFFF\r\n01234\r\n0\r\n\r\n",
    "size-too-small": CHUNKED + b"4\r\n01234\r\n0\r\n\r\n",
    "size-too-large": CHUNKED + b"6\r\n01234\r\n0\r\n\r\n",
    "no-break-after-chunk": CHUNKED + b"5\r\n012340\r\n\r\n",
    "size-cr-only": CHUNKED + b"5\r01234\r0\r\r",
    "extension-with-lf": CHUNKED + b"5;x\ny\r\n01234\r\n0\r\n\r\n",
    "trailer-without-colon": CHUNKED + b"5\r\n01234\r\n0\r\nnonsense\r\n\r\n",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_chunks_are_refused(client: Client, serve, case: str):
    server = serve(says_and_closes(MALFORMED[case]), then(plain()))

    async def main(transport):
        if accepts(case, client):
            meant = b"01234\r" if case == "size-too-large" else b"01234"
            assert await fetch(transport, request(server)) == (200, meant)
        else:
            with pytest.raises(UnavailableError) as seen:
                print(await fetch(transport, request(server)))
            assert not seen.value.unsent
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


SOUND = {
    "extension": CHUNKED + b'5;a=b;c="d;e"\r\n01234\r\n0\r\n\r\n',
    "last-with-extension": CHUNKED + b"5\r\n01234\r\n0;a\r\n\r\n",
    "zeros": CHUNKED + b"0005\r\n01234\r\n000\r\n\r\n",
    "capitals": CHUNKED + b"5\r\n01234\r\n0\r\n\r\n".replace(b"5", b"05"),
    "trailers": CHUNKED + b"5\r\n01234\r\n0\r\nX: a\r\nY: b\r\n\r\n",
    "one-by-one": chunked(b"0", b"1", b"2", b"3", b"4"),
}


@pytest.mark.parametrize("case", SOUND)
def test_chunks_that_must_be_read(client: Client, serve, case: str):
    """And the connection goes on after them."""
    server = serve(then(SOUND[case], plain()))

    async def main(transport):
        response = await transport.send(request(server))
        assert response.length is None
        assert set(response.headers) == {"transfer-encoding"}, "trailers are no headers"
        assert await whole(response) == b"01234"
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


ENDLESS = {
    "extension": (CHUNKED + b"5;", b"x"),
    "size": (CHUNKED, b"0"),
    "trailers": (CHUNKED + b"5\r\n01234\r\n0\r\n", b"X: y\r\n"),
    "trailer": (CHUNKED + b"5\r\n01234\r\n0\r\nX: ", b"x"),
    "extensions": (CHUNKED, b"1;" + b"x" * 8000 + b"\r\n0\r\n"),
}


@pytest.mark.parametrize("case", ENDLESS)
def test_endless_framing_is_cut_off(client: Client, serve, case: str):
    """What comes besides the bytes of the body is limited: here it would never end, and the
    script ends with the connection alone."""
    start, piece = ENDLESS[case]

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(start)
        peer.flood(piece)

    server = serve(tolerant(script), spare=tolerant(then(plain())))
    error = OperationTimeoutError if differs(case, client) else UnavailableError

    async def main(transport):
        limit = 100 if accepts(case, client) else 1 << 24
        with pytest.raises(error) as seen:
            await (await transport.send(request(server))).body(limit)
        assert ("more than the 100 bytes" in str(seen.value)) == accepts(case, client)
        assert await fetch_patiently(transport, request(server)) == (200, DONE)

    client.run(main, HASTY if differs(case, client) else QUICK)


BROKEN_OFF = {
    "in-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "after-status-line": OK,
    "after-fields": OK + b"Content-Length: 5\r\n",
    "before-body": OK + b"Content-Length: 5\r\n\r\n",
    "in-body": OK + b"Content-Length: 5\r\n\r\n0123",
    "before-chunk": CHUNKED,
    "in-size": CHUNKED + b"5",
    "in-chunk": CHUNKED + b"5\r\n0123",
    "after-chunk": CHUNKED + b"5\r\n01234",
    "before-last-chunk": CHUNKED + b"5\r\n01234\r\n",
    "in-last-chunk": CHUNKED + b"5\r\n01234\r\n0\r\n",
    "in-trailers": CHUNKED + b"5\r\n01234\r\n0\r\nX: a\r\n",
    "after-interim": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("case", BROKEN_OFF)
def test_an_answer_that_breaks_off_is_never_taken_for_whole(
    client: Client, serve, case: str, how: str
):
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(BROKEN_OFF[case])
        if how == "reset":
            peer.reset()

    server = serve(script, then(plain()))

    async def main(transport):
        with pytest.raises(UnavailableError) as seen:
            print(await fetch(transport, request(server)))
        assert not seen.value.unsent
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_what_came_before_the_break_is_read(client: Client, serve, framing: str):
    """Core goes on from there with a ranged request, so it must not be lost."""
    body = os.urandom(300_000)
    answer = plain(body + b"more") if framing == "length" else chunked(body, b"more")
    server = serve(says_and_closes(answer[: answer.rindex(b"more")]))

    async def main(transport):
        response = await transport.send(request(server))
        found = b""

        async def rest() -> None:
            nonlocal found
            while piece := await response.read(1000):
                found += piece

        with pytest.raises(UnavailableError):
            await rest()
        assert found == body[: len(found)]
        assert len(found) > 200_000
        with pytest.raises(StorageError):  # and it stays broken
            await response.read(1000)
        await response.close()

    client.run(main)


def test_a_body_up_to_the_end_of_the_connection(client: Client, serve):
    body = os.urandom(200_000)
    server = serve(says_and_closes(OK + b"\r\n" + body), then(plain()))

    async def main(transport):
        response = await transport.send(request(server))
        assert response.length is None
        assert await whole(response) == body
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


def test_a_reset_is_no_end(client: Client, serve):
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK + b"\r\n01234")
        read.wait(PATIENCE)
        peer.reset()

    read = threading.Event()
    server = serve(script)

    async def main(transport):
        response = await transport.send(request(server))
        assert await response.read(100) == b"01234"
        read.set()
        with pytest.raises(UnavailableError):
            await response.read(100)

    client.run(main)


@pytest.mark.parametrize(
    ("method", "status", "fields"),
    [
        ("HEAD", b"200 OK", b"Content-Length: 5\r\n"),
        ("HEAD", b"200 OK", b"Transfer-Encoding: chunked\r\n"),
        ("HEAD", b"404 Not Found", b"Content-Length: 5\r\n"),
        ("HEAD", b"200 OK", b""),
        ("GET", b"204 No Content", b""),
        ("GET", b"304 Not Modified", b"ETag: x\r\n"),
        ("GET", b"304 Not Modified", b"Content-Length: 5\r\n"),
    ],
)
def test_answers_without_a_body(client: Client, serve, method: str, status: bytes, fields: bytes):
    """They have none whatever they announce (RFC 9110 section 6.4.1), and hold nothing: the
    next request goes over the same connection, unless it is not said how that goes on."""
    answer = b"HTTP/1.1 %b\r\n%b\r\n" % (status, fields)
    server = serve(tolerant(then(answer, plain())), spare=then(plain()))

    async def main(transport):
        response = await transport.send(request(server, method))
        assert response.status == int(status[:3])
        assert response.length == 0
        assert response.data == b""
        assert await response.read(10) == b""
        assert await response.body(0) == b""
        await response.close()
        if fields.startswith(b"Content-Length"):
            assert response.headers["content-length"] == "5"
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


@pytest.mark.parametrize("late", [False, True], ids=["at-once", "later"])
@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", OK + b"Content-Length: 9\r\n\r\n"),
        ("HEAD", CHUNKED),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("GET", plain(b"as announced")),
    ],
)
def test_a_body_where_none_may_be(client: Client, serve, method: str, head: bytes, late: bool):
    """It must not be taken for the next answer, even if it looks like one."""
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    came = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        if late:
            peer.split(head + evil, len(head))
        else:
            peer.send(head + evil)
        peer.arrived()
        came.set()
        peer.gone()

    server = serve(script, then(plain()))

    async def main(transport):
        try:
            response = await transport.send(request(server, method))
            assert await response.body(100) == (b"as announced" if b"announced" in head else b"")
        except UnavailableError:
            pass  # as good: it is malformed
        await client.until(came.is_set)
        await client.settle()
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity", "gzip, gzip", "x"])
def test_content_codings_are_left_alone(client: Client, serve, coding: str):
    """They belong to the object. Whether the bytes are of that coding at all is not looked at."""
    for body in (gzip.compress(b"x" * 1000), b"no such coding"):
        server = serve(then(plain(body, b"Content-Encoding: " + coding.encode())))

        async def main(transport, server=server, body=body):
            response = await transport.send(request(server))
            assert response.headers["content-encoding"] == coding
            assert await whole(response) == body

        client.run(main)


def _sends(body: bytes, framing: str) -> Script:
    def script(peer: Peer) -> None:
        peer.request()
        if framing == "length":
            peer.send(plain(body))
        elif framing == "chunks":
            sizes = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000]
            pieces: list[bytes] = []
            start = 0
            while start < len(body):
                size = sizes[len(pieces) % len(sizes)]
                pieces.append(body[start : start + size])
                start += size
            peer.send(chunked(*pieces))
        else:
            peer.send(OK + b"\r\n" + body)
            return
        peer.request()
        peer.send(plain())
        peer.gone()

    return script


@pytest.mark.parametrize("size", [1, 100, 4096, 65536, 1 << 20, 1 << 30])
@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_large_bodies_in_pieces_of_any_size(client: Client, serve, framing: str, size: int):
    body = os.urandom(20_000 if size <= 100 else 3_000_000)
    server = serve(_sends(body, framing), spare=then(plain()))

    async def main(transport):
        response = await transport.send(request(server))
        assert response.length == (len(body) if framing == "length" else None)
        hasher = hashlib.sha256()
        while piece := await response.read(size):
            assert isinstance(piece, bytes)
            assert 0 < len(piece) <= size
            hasher.update(piece)
        assert hasher.digest() == hashlib.sha256(body).digest()
        assert await response.read(size) == b""
        await response.close()
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)
    assert server.accepted == (2 if framing == "end" else 1)


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_a_body_over_the_limit(client: Client, serve, framing: str):
    """`Response.body` takes no more than it is told to, announced or not."""
    # The rest may not be read, so that the script finds itself alone.
    server = serve(tolerant(_sends(b"x" * 200_000, framing)), spare=then(plain()))

    async def main(transport):
        response = await transport.send(request(server))
        with pytest.raises(UnavailableError, match="199999"):
            await response.body(199_999)
        await response.close()
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_a_body_just_within_the_limit(client: Client, serve, framing: str):
    server = serve(_sends(b"x" * 200_000, framing), spare=then(plain()))

    async def main(transport):
        response = await transport.send(request(server))
        assert await response.read(1) == b"x"
        assert await response.body(199_999) == b"x" * 199_999  # what is left
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


@pytest.mark.parametrize("taken", [0, 1, 5000])
@pytest.mark.parametrize("size", [10, 10_000, 10_000_000])
def test_a_response_closed_early(client: Client, serve, size: int, taken: int):
    """Its connection is used again or dropped; in no case does the next answer begin with what
    is left of this."""
    server = serve(tolerant(_sends(b"x" * size, "length")), spare=then(plain()))

    async def main(transport):
        response = await transport.send(request(server))
        got = b""
        while len(got) < min(taken, size):
            got += await response.read(taken)
        await response.close()
        await response.close()
        if response.data is None and len(got) < size:
            with pytest.raises(ClosedError):
                await response.read(1)
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


def test_a_small_body_comes_with_the_head(client: Client, serve):
    """Where it came along, `data` has it, and reading works all the same."""
    server = serve(tolerant(then(*[plain(b"0123456789")] * 3)))

    async def main(transport):
        for number in range(3):
            response = await transport.send(request(server))
            assert response.data in {None, b"0123456789"}
            if client.kind.transport == "lean":
                assert response.data is not None
            if number == 0:
                assert await whole(response, 3) == b"0123456789"
            elif number == 1:
                assert await response.read(4) == b"0123"
                assert await response.body(100) == b"456789"
            elif number == 2:
                with pytest.raises(UnavailableError):
                    await response.body(9)
        await response.close()

    client.run(main)
