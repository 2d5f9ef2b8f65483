"""Requests as they go out: every byte of target, headers and body as it was given."""

from __future__ import annotations

import os

import pytest

from storage_core.errors import (
    InvalidRequestError,
)
from tests.http.hostile.answers import BIG, DONE, Recorder, plain
from tests.http.hostile.clients import Client, Pieces, fetch, request
from tests.http.hostile.differences import differs


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
