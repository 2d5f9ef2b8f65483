"""Bodies on their way: what goes out, in which form, and what stops it."""

from __future__ import annotations

import threading
from contextlib import nullcontext, suppress
from dataclasses import replace

import pytest

from storage_core.errors import IntegrityError, UnavailableError
from storage_core.http.upload import HELD
from tests.http.hostile.answers import DONE, plain, then
from tests.http.hostile.clients import KINDS, QUICK, Pieces, fetch, request
from tests.http.hostile.server import GoneError, Peer
from tests.waiting import PATIENCE

LEAN = [kind for kind in KINDS if kind.transport == "lean"]
lean = pytest.mark.parametrize("client", LEAN, ids=lambda kind: kind.name, indirect=True)
AT_ONCE = replace(QUICK, expect_continue=0)


def records(seen, *answers):
    """Keep what came, body included, and answer."""

    def script(peer: Peer) -> None:
        for answer in answers:
            seen.append(peer.request())
            peer.send(answer)
        peer.gone()

    return script


@lean
@pytest.mark.parametrize(
    "sizes",
    [(1,), (5, 0, 7), (HELD,), (HELD + 1,), (HELD - 1, 1), (100_000, 1), (1, 100_000), (300_000,) * 3],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("sized", [True, False])
def test_pieces_arrive_in_order(client, serve, sizes, sized):
    pieces = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    seen: list = []
    server = serve(records(seen, plain(), plain()))

    async def main(transport):
        for kind in (bytes, bytearray):
            body = Pieces(*[kind(piece) for piece in pieces], size=-1 if sized else None)
            assert await fetch(transport, request(server, "PUT", body=body)) == (200, DONE)
            assert body.closed

    client.run(main, AT_ONCE)
    for head, body in seen:
        assert body == b"".join(pieces)
        assert head.get("content-length") == (str(len(body)) if sized else None)


@lean
def test_a_piece_is_done_with_before_the_next_is_asked_for(client, serve):
    """The source may use one buffer for all of them."""
    seen: list = []
    server = serve(records(seen, plain()))
    buffer = bytearray(200_000)

    class Reused:
        size = len(buffer) * 20
        begun = False

        async def __aiter__(self):
            for number in range(20):
                buffer[:] = bytes([number]) * len(buffer)
                yield memoryview(buffer)
            buffer[:] = bytes(len(buffer))

    async def main(transport):
        assert await fetch(transport, request(server, "PUT", body=Reused())) == (200, DONE)

    client.run(main, AT_ONCE)
    assert seen[0][1] == b"".join(bytes([number]) * len(buffer) for number in range(20))


@lean
@pytest.mark.parametrize("size", [10, HELD, 300_000])
@pytest.mark.parametrize("sized", [True, False])
def test_a_body_that_is_wrong_at_its_end_is_not_completed(client, serve, size, sized):
    """A service keeps what arrives as a whole, so the whole must not arrive."""
    received: list[int | None] = []

    def script(peer: Peer) -> None:
        head = peer.head()
        try:
            if sized:
                received.append(len(peer.read(int(head.get("content-length") or 0))))
            else:
                received.append(len(peer.chunks()))
        except GoneError:
            received.append(None)

    server = serve(script, then(plain()))

    async def main(transport):
        error = IntegrityError("a digest differs")
        body = Pieces(b"x" * size, size=-1 if sized else None, error=error)
        with pytest.raises(IntegrityError) as seen:
            await fetch(transport, request(server, "PUT", body=body))
        assert seen.value is error
        assert await fetch(transport, request(server)) == (200, DONE)
        await client.until(lambda: received)

    client.run(main, AT_ONCE)
    assert received == [None]


@lean
@pytest.mark.parametrize("given", [9, 11, 0, 20_000])
def test_a_body_of_another_size(client, serve, given):
    taken = []

    def script(peer: Peer) -> None:
        peer.head()
        taken.append(peer.gone())

    server = serve(script)

    async def main(transport):
        with pytest.raises(IntegrityError, match="10 bytes"):
            await fetch(transport, request(server, "PUT", body=Pieces(b"x" * given, size=10)))
        await client.until(lambda: taken)

    client.run(main, AT_ONCE)
    assert len(taken[0]) < 10


@lean
def test_consent_comes(client, serve):
    seen: list = []

    def script(peer: Peer) -> None:
        head = peer.head()
        assert head.get("expect") == "100-continue"
        assert peer.silent()
        peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        seen.append(peer.read(10))
        peer.send(plain())
        peer.gone()

    server = serve(script)

    async def main(transport):
        asked = request(server, "PUT", body=b"0123456789")
        assert await fetch(transport, asked) == (200, DONE)

    client.run(main, replace(QUICK, expect_continue=10))
    assert seen == [b"0123456789"]


@lean
def test_a_service_that_never_consents_is_asked_once(client, serve, consent_fails):
    seen: list = []
    server = serve(records(seen, plain(), plain()))

    async def main(transport):
        for _ in range(2):
            asked = request(server, "PUT", body=Pieces(b"0123456789"))
            assert await fetch(transport, asked) == (200, DONE)

    client.run(main, replace(QUICK, expect_continue=1))
    assert [head.get("expect") for head, _ in seen] == ["100-continue", None]
    assert [body for _, body in seen] == [b"0123456789"] * 2


@lean
def test_a_refusal_costs_no_transfer(client, serve):
    def refuses(peer: Peer) -> None:
        peer.head()
        peer.send(plain(b"no", status=b"403 Forbidden"))
        assert peer.gone() == b""

    server = serve(refuses, then(plain()))

    async def main(transport):
        body = Pieces(b"0123456789")
        assert await fetch(transport, request(server, "PUT", body=body)) == (403, b"no")
        assert not body.begun
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, replace(QUICK, expect_continue=1))


@lean
@pytest.mark.parametrize("how", ["holds", "closes", "resets"])
@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_before_the_end_of_the_body(client, serve, how, streamed):
    """Without waiting for consent: the sending stops, and the answer counts."""

    def refuses(peer: Peer) -> None:
        peer.head()
        peer.read(100_000)
        peer.send(plain(b"no", status=b"507 Full"))
        if how == "holds":
            peer.hold()
        elif how == "closes":
            peer.close()  # a reset, as not all was read
        else:
            peer.reset()

    server = serve(refuses, then(plain()))
    total = 64 << 20

    async def main(transport):
        pieces = Pieces(*[bytes(1 << 18)] * (total >> 18))
        asked = request(server, "PUT", body=pieces if streamed else bytes(total))
        # After a reset the answer may be lost on the way, but never half of it is taken.
        lossy = suppress(UnavailableError) if how == "resets" else nullcontext()
        with lossy:
            assert await fetch(transport, asked) == (507, b"no")
        if streamed:
            assert pieces.closed
            assert pieces.given < total >> 18
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, AT_ONCE)


@lean
def test_a_service_that_goes_away_in_the_middle(client, serve):
    def leaves(peer: Peer) -> None:
        peer.head()
        peer.read(1000)

    server = serve(leaves, then(plain()))

    async def main(transport):
        body = Pieces(*[bytes(1 << 18)] * 200)
        with pytest.raises(UnavailableError) as seen:
            await fetch(transport, request(server, "PUT", body=body))
        assert not seen.value.unsent
        assert body.closed
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, AT_ONCE)


@lean
def test_a_failure_of_the_body_is_its_own(client, serve):
    """Also one that looks like a failure of the connection."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.gone()

    server = serve(script, then(plain()))

    async def main(transport):
        for_the_body = ConnectionResetError("of the source")
        body = Pieces(b"abc", size=1000, error=for_the_body)
        with pytest.raises(ConnectionResetError) as seen:
            await fetch(transport, request(server, "PUT", body=body))
        assert seen.value is for_the_body
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, AT_ONCE)


@lean
def test_an_upload_waits_for_its_reader(client, serve):
    """What the service does not take stays with the source: no buffer grows."""
    go = threading.Event()

    def slow(peer: Peer) -> None:
        head = peer.head()
        assert go.wait(PATIENCE)
        left = int(head.get("content-length") or 0) - len(peer._rest)
        while left:
            left -= len(peer.socket.recv(min(left, 1 << 20)))
        peer.send(plain())
        peer.gone()

    server = serve(slow)
    count = 400
    given_while_stalled = []

    async def before(number: int) -> None:
        if number == count // 2:
            given_while_stalled.append(go.is_set())

    body = Pieces(*[bytes(1 << 18)] * count, before=before)
    timer = threading.Timer(0.5, go.set)
    timer.start()

    async def main(transport):
        assert await fetch(transport, request(server, "PUT", body=body)) == (200, DONE)

    client.run(main, AT_ONCE)
    timer.join()
    assert given_while_stalled == [True]
