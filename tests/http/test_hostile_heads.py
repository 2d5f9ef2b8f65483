"""Heads of answers: malformed, contradictory, oversized, split at every byte."""

from __future__ import annotations

from contextlib import suppress

import pytest

from storage_core.errors import OperationTimeoutError, UnavailableError
from tests.http.hostile.answers import (
    DONE,
    OK,
    chunked,
    floods,
    plain,
    says_and_closes,
    then,
    tolerant,
)
from tests.http.hostile.clients import HASTY, QUICK, Client, fetch, fetch_patiently, request, whole
from tests.http.hostile.differences import accepts, differs
from tests.http.hostile.server import Peer

BODY = b"01234"
LIMIT = 1 << 20

MALFORMED = {
    # -- the status line (RFC 9112 section 4)
    "no-http": b"ICY 200 OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "http-0.9": BODY,
    "http-2": b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version-without-dot": b"HTTP/11 200 OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "version-long": b"HTTP/1.10 200 OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "lower-case-http": b"http/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "no-status": b"HTTP/1.1\r\nContent-Length: 5\r\n\r\n" + BODY,
    "short-status": b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "long-status": b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "signed-status": b"HTTP/1.1 +20 OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "negative-status": b"HTTP/1.1 -20 OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "status-in-words": b"HTTP/1.1 two OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "status-0": b"HTTP/1.1 000 OK\r\nContent-Length: 5\r\n\r\n" + BODY,
    "nul-in-reason": b"HTTP/1.1 200 O\0K\r\nContent-Length: 5\r\n\r\n" + BODY,
    "a-request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls-alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "noise": bytes(range(256)) * 4 + b"\r\n\r\n",
    # -- header fields (section 5)
    "no-colon": OK + b"Content-Length: 5\r\nnonsense\r\n\r\n" + BODY,
    "no-name": OK + b"Content-Length: 5\r\n: x\r\n\r\n" + BODY,
    "space-before-colon": OK + b"Content-Length : 5\r\n\r\n" + BODY,
    "space-in-name": OK + b"Content-Length: 5\r\nX Y: z\r\n\r\n" + BODY,
    "nul-in-value": OK + b"Content-Length: 5\r\nX: a\0b\r\n\r\n" + BODY,
    "nul-in-name": OK + b"Content-Length: 5\r\nX\0: a\r\n\r\n" + BODY,
    "cr-in-value": OK + b"X: a\rb\r\nContent-Length: 5\r\n\r\n" + BODY,
    "space-before-first": OK + b" X: a\r\nContent-Length: 5\r\n\r\n" + BODY,
    # -- lengths (section 6.3)
    "length-negative": OK + b"Content-Length: -5\r\n\r\n" + BODY,
    "length-signed": OK + b"Content-Length: +5\r\n\r\n" + BODY,
    "length-hex": OK + b"Content-Length: 0x5\r\n\r\n" + BODY,
    "length-underscore": OK + b"Content-Length: 0_5\r\n\r\n" + BODY,
    "length-in-words": OK + b"Content-Length: five\r\n\r\n" + BODY,
    "length-fraction": OK + b"Content-Length: 5.0\r\n\r\n" + BODY,
    "length-empty": OK + b"Content-Length:\r\n\r\n" + BODY,
    "length-other-digits": OK + "Content-Length: \u0665\r\n\r\n".encode() + BODY,
    "length-huge": OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n" + BODY,
    "lengths-contradict": OK + b"Content-Length: 5\r\nContent-Length: 4\r\n\r\n" + BODY,
    "lengths-contradict-listed": OK + b"Content-Length: 5, 4\r\n\r\n" + BODY,
    "lengths-contradict-later": OK + b"Content-Length: 4\r\nX: y\r\nContent-Length: 5\r\n\r\n" + BODY,
    # -- transfer codings (section 6.1)
    "coding-unknown": OK + b"Transfer-Encoding: rot13\r\n\r\n" + BODY,
    "coding-below-chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
    "coding-chunked-twice": OK
    + b"Transfer-Encoding: chunked, chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
    "coding-nearly-chunked": OK + b"Transfer-Encoding: xchunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
    "coding-identity-length": OK
    + b"Transfer-Encoding: identity\r\nContent-Length: 4\r\n\r\n"
    + BODY,
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_head_is_refused(client: Client, serve, case: str):
    """It is the service's failure, the request may have been carried out, and the
    connection is not used again."""
    server = serve(says_and_closes(MALFORMED[case]), then(plain()))

    async def main(transport):
        if accepts(case, client):
            assert await fetch(transport, request(server)) == (200, BODY)
        else:
            with pytest.raises(UnavailableError) as seen:
                print(await fetch(transport, request(server)))
            assert not seen.value.unsent
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


# RFC 9110 and 9112 let a recipient refuse these or read them in the one way given here.
TOLERABLE = {
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 5\n\n01234",
    "folded": OK + b"X: a\r\n b\r\nContent-Length: 5\r\n\r\n01234",
    "length-twice": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n01234",
    "length-listed": OK + b"Content-Length: 5, 5\r\n\r\n01234",
    "length-zeros": OK + b"Content-Length: 00005\r\n\r\n01234",
    "coding-and-length": OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
    "length-and-coding": OK
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
    "coding-twice": OK
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
    "leading-line": b"\r\n" + OK + b"Content-Length: 5\r\n\r\n01234",
    "control-in-value": OK + b"X: a\x01b\r\nContent-Length: 5\r\n\r\n01234",
    "many-spaces": b"HTTP/1.1  200  OK\r\nContent-Length:    5   \r\n\r\n01234",
}


@pytest.mark.parametrize("case", TOLERABLE)
def test_what_may_be_refused_is_refused_or_read_in_one_way(client: Client, serve, case: str):
    """And whichever it is, a next request is not answered by what was left over."""
    server = serve(says_and_closes(TOLERABLE[case]), then(plain()))

    async def main(transport):
        try:
            assert await fetch(transport, request(server)) == (200, b"01234")
        except UnavailableError as error:
            assert not error.unsent  # noqa: PT017 - both ways are right
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


def test_contradictory_framing_ends_the_connection(client: Client, serve):
    """RFC 9112 section 6.1: length and coding together may be an attack on what lies between;
    if it is read at all, its connection is not used again."""
    server = serve(_answers_once(TOLERABLE["length-and-coding"]), then(plain()))

    async def main(transport):
        with suppress(UnavailableError):
            assert await fetch(transport, request(server)) == (200, b"01234")
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


def _answers_once(data: bytes):
    """Answers one request; another on the same connection is an error."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(data)
        assert peer.gone() == b"", "the connection was used again"

    return script


SOUND = {
    "no-reason": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n01234",
    "empty-reason": b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n01234",
    "latin-reason": b"HTTP/1.1 200 \xfc\r\nContent-Length: 5\r\n\r\n01234",
    "http-1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n01234",
    "empty-value": OK + b"X:\r\nContent-Length: 5\r\n\r\n01234",
    "no-space": OK + b"Content-Length:5\r\n\r\n01234",
    "tab-around": OK + b"Content-Length:\t5\t\r\n\r\n01234",
    "names-in-capitals": OK + b"CONTENT-LENGTH: 5\r\n\r\n01234",
    "latin-value": OK + b"X: \xfc\xff\r\nContent-Length: 5\r\n\r\n01234",
    "coding-in-capitals": OK + b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\n01234\r\n0\r\n\r\n",
    "interim": b"HTTP/1.1 102 Processing\r\nX: a\r\n\r\n" * 3 + plain(b"01234"),
    "early-hints": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + plain(b"01234"),
    "unasked-continue": b"HTTP/1.1 100 Continue\r\n\r\n" + plain(b"01234"),
    "to-the-end": OK + b"\r\n01234",
    "close": OK + b"Connection: close\r\nContent-Length: 5\r\n\r\n01234",
    "100-fields": plain(b"01234", *[b"X-%d: %s" % (n, b"v" * 100) for n in range(95)]),
    "long-field": plain(b"01234", b"X: " + b"v" * 8000),
}


@pytest.mark.parametrize("case", SOUND)
def test_what_must_be_read(client: Client, serve, case: str):
    server = serve(says_and_closes(SOUND[case]), then(plain()))

    async def main(transport):
        assert await fetch(transport, request(server)) == (200, b"01234")
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


def test_headers_as_they_came(client: Client, serve):
    """Names in lower case, values without the space around, repeated ones joined in order,
    bytes outside of ASCII as Latin-1; nothing of an interim answer."""
    data = b"HTTP/1.1 103 Early\r\nX-Early: 1\r\n\r\n" + plain(
        b"x", b'ETag: "a,b"', b"X-Meta-Name:  a  b ", b"x-twice: 1", b"X-Twice: 2", b"X-L: \xfc"
    )
    server = serve(then(data))

    async def main(transport):
        response = await transport.send(request(server))
        headers = response.headers
        assert headers["etag"] == '"a,b"'
        assert headers["x-meta-name"] == "a  b"
        assert headers["x-twice"] == "1, 2"
        assert (
            headers["x-l"].encode(
                "latin-1" if headers["x-l"] == "ü" else "utf-8", "surrogateescape"
            )
            == b"\xfc"
        )
        assert headers["content-length"] == "1"
        assert "x-early" not in headers
        assert set(headers) == {"etag", "x-meta-name", "x-twice", "x-l", "content-length"}
        assert response.length == 1
        await response.close()

    client.run(main)


@pytest.mark.parametrize(
    "status", [201, 202, 206, 301, 302, 307, 308, 400, 401, 403, 404, 500, 503, 599]
)
def test_every_status_is_an_answer(client: Client, serve, status: int):
    """Redirects are not followed, passwords not asked for, failures not raised."""
    fields = (
        b"Location: http://127.0.0.1:1/elsewhere",
        b"WWW-Authenticate: Basic",
        b"Set-Cookie: a=b",
    )
    server = serve(then(plain(b"x", *fields, status=b"%d Status" % status), plain()))

    async def main(transport):
        response = await transport.send(request(server))
        assert (response.status, await response.body(9)) == (status, b"x")
        assert response.headers["location"] == "http://127.0.0.1:1/elsewhere"
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main)


def test_no_cookies_are_kept(client: Client, serve):
    seen = []

    def script(peer: Peer) -> None:
        for _ in range(2):
            seen.append(peer.head())
            peer.send(plain(DONE, b"Set-Cookie: a=b"))
        peer.gone()

    server = serve(script)

    async def main(transport):
        for _ in range(2):
            await fetch(transport, request(server))

    client.run(main)
    assert seen[0] == seen[1]
    assert seen[1].get("cookie") is None


ENDLESS = {
    "status-line": (b"HTTP/1.1 200 ", b"x"),
    "header-line": (OK + b"X: ", b"x"),
    "header-name": (OK, b"x"),
    "header-fields": (OK, b"X: y\r\n"),
    "folded-line": (OK + b"X: y\r\n", b" y\r\n"),
    "empty-lines": (b"", b"\r\n"),
    "continues": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim-answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "interim-heads": (b"HTTP/1.1 103 Early Hints\r\n", b"Link: </x>\r\n"),
    "nothing-of-http": (b"", b"x"),
}


@pytest.mark.parametrize("case", ENDLESS)
def test_an_endless_head_is_cut_off(client: Client, serve, case: str):
    """The script ends with the connection alone, so the client has to close it."""
    server = serve(tolerant(floods(*ENDLESS[case])), spare=tolerant(then(plain())))

    async def main(transport):
        timed = differs(case, client)
        with pytest.raises(OperationTimeoutError if timed else UnavailableError) as seen:
            await transport.send(request(server))
        assert not seen.value.unsent
        assert await fetch_patiently(transport, request(server)) == (200, DONE)

    client.run(main, HASTY if differs(case, client) else QUICK)


SPLIT = {
    "length": plain(b"01234", b"X-A: b", status=b"206 Partial Content"),
    "chunks": OK
    + b"Transfer-Encoding: chunked\r\nX-A: b\r\n\r\n3;x=y\r\n012\r\n2\r\n34\r\n0\r\nTrailer: x\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + plain(b"01234", b"X-A: b"),
}


@pytest.mark.parametrize("case", SPLIT)
def test_split_at_every_byte(client: Client, serve, case: str):
    """Wherever the network cuts an answer, it is the same; all of them on one connection."""
    data = SPLIT[case]
    places = range(1, len(data))

    def script(peer: Peer) -> None:
        for place in places:
            peer.request()
            peer.split(data, place)
        peer.request()
        peer.split(data, *places)
        peer.gone()

    server = serve(script)

    async def main(transport):
        for _ in range(len(data)):
            response = await transport.send(request(server))
            assert response.headers["x-a"] == "b"
            assert "trailer" not in response.headers
            assert await whole(response) == b"01234"

    client.run(main)


def test_two_answers_in_a_row_split_anywhere(client: Client, serve):
    """Chunks with a length that is longer in digits than in bytes, at any cut."""
    data = chunked(b"0", b"1" * 17, b"2" * 300)

    def script(peer: Peer) -> None:
        for step in (1, 2, 3, 5, 7, 11, 64):
            peer.request()
            peer.split(data, *range(step, len(data), step))
        peer.gone()

    server = serve(script)

    async def main(transport):
        for _ in range(7):
            response = await transport.send(request(server))
            assert await whole(response, 13) == b"0" + b"1" * 17 + b"2" * 300

    client.run(main)
