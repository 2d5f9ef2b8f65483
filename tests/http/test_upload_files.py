"""Files that the kernel sends, as far as a transport lets it, and what stops them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from storage_core.checksum import digest
from storage_core.errors import IntegrityError, UnavailableError
from storage_core.http.reread import Reread
from storage_core.model import Buffer
from storage_core.streams import Body, FileSlice
from tests.http.certificates import Authority
from tests.http.hostile.answers import DONE, plain, then
from tests.http.hostile.clients import KINDS, QUICK, fetch, request
from tests.http.hostile.server import GoneError, Peer

AT_ONCE = replace(QUICK, expect_continue=0)
DATA = os.urandom(300_007)
LEAN = [kind for kind in KINDS if kind.transport == "lean"]


class Stretch(Body):
    """A stretch of a file, told in slices of ``step`` bytes; ``error`` comes after the last."""

    def __init__(
        self, fd: int, size: int, step: int = 100_000, error: Exception | None = None
    ) -> None:
        super().__init__(size, None, (), {})
        self._fd = fd
        self._step = step
        self._error = error
        self.sliced = False

    @property
    def file(self) -> FileSlice | None:
        return FileSlice(self._fd, 5, self.size or 0)

    async def slices(self) -> AsyncIterator[FileSlice]:
        self.sliced = True
        for start in range(0, self.size or 0, self._step):
            yield FileSlice(self._fd, 5 + start, min(self._step, (self.size or 0) - start))
        if self._error is not None:
            raise self._error

    async def _pieces(self) -> AsyncIterator[Buffer]:
        async for fd, start, length in self.slices():
            yield os.pread(fd, length, start)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"12345" + DATA)
    return tmp_path / "file"


@pytest.fixture
def fd(path: Path) -> Iterator[int]:
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


def moved(body: Body, data: bytes = DATA) -> Reread:
    return Reread(body, {"crc32c": digest("crc32c", data).hex()}, moved=True)


@pytest.mark.parametrize("step", [1, 4096, 100_000, 1 << 20])
def test_a_file_arrives_and_its_connection_is_used_again(client, serve, fd, step):
    """A kept connection waits for answers as before."""
    seen: list[bytes] = []
    size = 1000 if step == 1 else len(DATA)

    def script(peer: Peer) -> None:
        for _ in range(2):
            seen.append(peer.request()[1])
            peer.send(plain())
            peer.request()
            peer.send(plain())
        peer.gone()

    server = serve(script)

    async def main(transport):
        for _ in range(2):
            body = moved(Stretch(fd, size, step), DATA[:size])
            assert await fetch(transport, request(server, "PUT", body=body)) == (200, DONE)
            assert body.begun
            assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, AT_ONCE)
    assert seen == [DATA[:size]] * 2


def test_over_tls_the_bytes_are_read(client, serve, fd, tmp_path):
    authority = Authority(tmp_path, "trusted")
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.request()[1])
        peer.send(plain())
        peer.gone()

    server = serve(script, tls=authority.server_context("localhost", "127.0.0.1"))

    async def main(transport):
        asked = request(server, "PUT", body=moved(Stretch(fd, len(DATA))))
        assert await fetch(transport, asked) == (200, DONE)

    client.run(main, replace(AT_ONCE, ca_file=str(authority.file)))
    assert seen == [DATA]


@pytest.mark.parametrize("step", [50_000, 1 << 20])
@pytest.mark.parametrize("how", ["fails at its end", "is cut", "has changed"])
def test_a_file_that_is_wrong_is_not_completed(client, serve, fd, path, step, how):
    received: list[bool] = []

    def script(peer: Peer) -> None:
        head = peer.head()
        try:
            peer.read(int(head.get("content-length") or 0))
        except GoneError:
            received.append(False)
        else:
            received.append(True)

    server = serve(script, then(plain()))
    stretch = Stretch(fd, len(DATA), step)
    if how == "fails at its end":
        stretch = Stretch(fd, len(DATA), step, IntegrityError("it changed"))
    elif how == "is cut":
        os.truncate(path, 100_000)
    body = moved(stretch)
    if how == "has changed":  # and what changed is not the service's to find out
        path.write_bytes(b"12345" + DATA[::-1])
        body = Reread(stretch, {"crc32c": digest("crc32c", DATA).hex()})

    async def main(transport):
        with pytest.raises(IntegrityError):
            await fetch(transport, request(server, "PUT", body=body))
        assert await fetch(transport, request(server)) == (200, DONE)
        await client.until(lambda: received)

    client.run(main, AT_ONCE)
    assert received == [False]


@pytest.mark.parametrize("client", LEAN, ids=lambda kind: kind.name, indirect=True)
@pytest.mark.parametrize("how", ["holds", "closes", "resets"])
def test_an_answer_before_the_end_of_a_file(client, serve, fd, path, how):
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
    os.truncate(path, 5 + total)

    async def main(transport):
        asked = request(server, "PUT", body=moved(Stretch(fd, total, 1 << 20)))
        with suppress(UnavailableError) if how == "resets" else nullcontext():
            assert await fetch(transport, asked) == (507, b"no")
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, AT_ONCE)


def test_a_service_that_goes_away_in_the_middle_of_a_file(client, serve, fd, path):
    def leaves(peer: Peer) -> None:
        peer.head()
        peer.read(1000)

    server = serve(leaves, then(plain()))
    os.truncate(path, 5 + (64 << 20))

    async def main(transport):
        asked = request(server, "PUT", body=moved(Stretch(fd, 64 << 20, 1 << 20)))
        with pytest.raises(UnavailableError) as seen:
            await fetch(transport, asked)
        assert not seen.value.unsent
        assert await fetch(transport, request(server)) == (200, DONE)

    client.run(main, AT_ONCE)
