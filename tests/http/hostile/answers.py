"""Scripts and answers that many tests use."""

from __future__ import annotations

import os
from contextlib import suppress

from tests.http.hostile.server import GoneError, Peer, Script, Seen

OK = b"HTTP/1.1 200 OK\r\n"
DONE = b"the next answer"
BIG = os.urandom(1 << 20) * 24
"""More than the buffers of two sockets hold."""


def plain(body: bytes = DONE, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """A sound answer with a length."""
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), lines, body)


def chunked(*pieces: bytes) -> bytes:
    """A sound answer in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


def says(data: bytes) -> Script:
    """Answer the first request with these bytes; then wait for the client to leave."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(data)
        peer.gone()

    return script


def says_and_closes(data: bytes) -> Script:
    """Answer the first request with these bytes and close."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(data)

    return script


def then(*answers: bytes) -> Script:
    """Answer one request after the other on one connection."""

    def script(peer: Peer) -> None:
        for answer in answers:
            seen, _ = peer.request()
            peer.send(_head(answer) if seen.method == "HEAD" else answer)
        peer.gone()

    return script


def floods(start: bytes, piece: bytes) -> Script:
    """Begin an answer and never end it."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(start)
        peer.flood(piece)

    return script


def _head(answer: bytes) -> bytes:
    """What HEAD is answered where GET is answered this."""
    return answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def tolerant(script: Script) -> Script:
    """A script during which the client may hang up at any time."""

    def tried(peer: Peer) -> None:
        with suppress(OSError, GoneError):
            script(peer)

    return tried


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
