"""Sources that fail, bodies sent again, and what a driver may ask of a body."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core import IntegrityError, aio
from storage_core.core.bodies import PIECE, make_body
from storage_core.core.retry import Deadline
from storage_core.errors import OperationTimeoutError, UnavailableError
from storage_core.runtime import Inline, drive
from tests.core.body_kinds import BODIES, DATA, OnlyRead, real_file
from tests.core.conftest import Opener
from tests.core.drivers import CARRIERS, Before, Scripted
from tests.core.running import WAIT

# --- sources that fail ---------------------------------------------------------------


class BrokenError(Exception):
    pass


@pytest.mark.parametrize(
    "raised", [BrokenError("mine"), FileNotFoundError(2, "gone"), UnavailableError("of another storage"),
               TimeoutError("mine"), KeyError("x")]
)  # fmt: skip
@pytest.mark.parametrize("after", [0, 3])
def test_what_a_source_raises_comes_back_as_it_is(opened: Opener, raised: Exception, after: int):
    def pieces() -> Iterator[bytes]:
        for _ in range(after):
            yield b"piece"
        raise raised

    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    bucket.put("a", b"old")
    driver.calls.clear()
    with pytest.raises(type(raised)) as caught:
        bucket.put("a", pieces())
    # asyncio's futures hand on a builtin TimeoutError as one of their own making.
    assert caught.value is raised or type(raised) is TimeoutError
    assert caught.value.args == raised.args
    assert driver.names() == ["put"]  # whatever it looks like, it is no failure of the service
    with bucket.get("a") as reader:
        assert reader.read() == b"old"


class FailingFile(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise ConnectionResetError(104, "the source's own")


def test_a_file_that_fails(opened: Opener):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    driver.calls.clear()
    with pytest.raises(ConnectionResetError, match="the source's own"):
        bucket.put("a", FailingFile(DATA))
    assert driver.names() == ["put"]


def test_a_failing_body_through_the_writer(opened: Opener):
    def pieces() -> Iterator[bytes]:
        yield b"piece"
        raise BrokenError

    driver = Scripted(unsized_put=False)
    bucket = opened(driver).create_bucket("fruit")
    driver.calls.clear()
    with pytest.raises(BrokenError):
        bucket.put("a", pieces())
    assert driver.calls == []


# --- repeats -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bytes", "BytesIO", "file from its position"])
def test_what_can_be_read_again_is_sent_again(
    opened: Opener, tmp_path: Path, kind: str, close: list[Any]
):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    driver.script["put"] = [UnavailableError("first"), UnavailableError("second")]
    close.append(BODIES[kind](tmp_path))
    assert bucket.put("a", close[-1], compute=("sha256",)).checksums["sha256"] == (
        hashlib.sha256(DATA).hexdigest()
    )
    assert driver.names().count("put") == 3
    with bucket.get("a") as reader:
        assert reader.read() == DATA


class HalfRead(Scripted):
    """Reads some of the body before the connection breaks."""

    pieces = 1

    async def put(self, request: Any) -> Any:
        if self.script.get("put"):
            self.calls.append(("put", request))
            left = self.pieces
            if left:
                async for _ in request.body:
                    left -= 1
                    if not left:
                        break
            raise self.script["put"].pop(0)  # type: ignore[misc]
        return await super().put(request)


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_file_half_sent_is_sent_again_from_its_position(
    opened: Opener, tmp_path: Path, pieces: int
):
    driver = HalfRead()
    driver.pieces = pieces
    bucket = opened(driver).create_bucket("fruit")
    driver.script["put"] = [UnavailableError("reset")]
    with real_file(tmp_path, 5) as file:
        result = bucket.put("a", file, compute=("md5",))
    assert result.checksums["md5"] == hashlib.md5(DATA).hexdigest()
    with bucket.get("a") as reader:
        assert reader.read() == DATA


def test_an_iterator_is_not_sent_again_once_it_gave_something(opened: Opener):
    driver = HalfRead()
    bucket = opened(driver).create_bucket("fruit")
    driver.script["put"] = [UnavailableError("reset")]
    with pytest.raises(UnavailableError, match="reset") as caught:
        bucket.put("a", iter([b"a", b"b"]))
    assert caught.value.attempts == 1
    assert driver.names().count("put") == 1
    assert not bucket.exists("a")


class Impatient(Scripted):
    """Gives up waiting for the first piece."""

    async def put(self, request: Any) -> Any:
        self.calls.append(("put", request))
        try:
            async with asyncio.timeout(0.01):
                async for _ in request.body:
                    break
        except TimeoutError:
            raise UnavailableError("waited too long") from None
        return await super().put(request)


@pytest.mark.parametrize("carrier", ["direct"], indirect=True)
def test_an_iterator_that_was_asked_in_vain_is_not_asked_again(opened: Opener):
    """The piece it was about to give is lost, although none was ever seen."""

    async def pieces() -> AsyncIterator[bytes]:
        await asyncio.sleep(0.05)
        yield b"never seen"

    driver = Impatient()
    bucket = opened(driver).create_bucket("fruit")
    with pytest.raises(UnavailableError, match="waited too long"):
        bucket.put("a", pieces())
    assert driver.names().count("put") == 1
    assert not bucket.exists("a")


def test_an_iterator_is_sent_again_while_it_is_untouched(opened: Opener):
    driver = HalfRead()
    driver.pieces = 0
    bucket = opened(driver).create_bucket("fruit")
    driver.script["put"] = [UnavailableError("no connection")]
    assert bucket.put("a", iter([b"a", b"b"])).size == 2


# --- what a driver may ask of a body -------------------------------------------------


def test_digests_are_told_when_all_bytes_were_seen():
    body = make_body(iter([b"ab", b"c"]), Inline(), compute=("md5",))
    assert body.computes("md5")
    assert not body.computes("sha1")
    assert body.digests() == {}
    assert not body.begun

    async def read() -> int:
        return sum([len(piece) async for piece in body])

    assert drive(read()) == 3
    assert body.begun
    assert body.digests() == {"md5": hashlib.md5(b"abc").hexdigest()}
    assert body.digest("md5") == hashlib.md5(b"abc").hexdigest()
    with pytest.raises(KeyError):
        body.digest("sha1")


def test_bytes_in_memory_tell_any_digest_but_have_computed_those_asked_for():
    body = make_body(bytearray(b"abc"), Inline(), compute=("md5",))
    assert body.digest("sha1") == hashlib.sha1(b"abc").hexdigest()
    assert body.digests() == {"md5": hashlib.md5(b"abc").hexdigest()}
    assert not body.computes("sha1")
    with pytest.raises(KeyError):
        body.digest("crc64")


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(-3, 3))
def test_sizes_are_held_to_the_byte(pieces: list[bytes], delta: int):
    whole = b"".join(pieces)
    size = max(0, len(whole) + delta)
    body = make_body(iter(pieces), Inline(), size=size, compute=("crc32c",))

    async def read() -> bytes:
        return b"".join([bytes(piece) async for piece in body])

    if size == len(whole):
        assert drive(read()) == whole
    else:
        with pytest.raises(IntegrityError):
            drive(read())
        assert isinstance(body.take_failure(), IntegrityError)
        assert body.take_failure() is None


def test_files_are_read_in_pieces(tmp_path: Path):
    sizes: list[int] = []

    class Watched(OnlyRead):
        def read(self, size: int) -> bytes:
            sizes.append(size)
            return self._inner.read(size)

    body = make_body(Watched(DATA), Inline())

    async def read() -> list[int]:
        return [len(piece) async for piece in body]

    assert max(drive(read())) <= PIECE
    assert set(sizes) == {PIECE}


def test_the_deadline_counts_while_a_body_is_read():
    deadline = Deadline(1000)

    def pieces() -> Iterator[bytes]:
        yield b"a"
        deadline.at = 0.0  # it passes
        yield b"b"

    body = make_body(pieces(), Inline(), deadline=deadline)

    async def read() -> None:
        async for _ in body:
            pass

    with pytest.raises(OperationTimeoutError, match="while the body was sent"):
        drive(read())


def test_a_slow_body_is_a_timeout_of_the_call(opened: Opener):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")

    def expire(request: Any) -> None:
        request.body._deadline.at = 0.0

    driver.script["put"] = [Before(expire)]
    with pytest.raises(OperationTimeoutError) as caught:
        bucket.put("a", iter([b"a"]), if_absent=True, deadline=1000)
    assert (caught.value.operation, caught.value.key) == ("put", "a")
    assert not bucket.exists("a")


def test_generators_do_not_block_the_loop():
    """A generator that waits for something the loop has to do."""

    async def main(io_kind: str) -> None:
        loop = asyncio.get_running_loop()
        happened = threading.Event()

        def pieces() -> Iterator[bytes]:
            loop.call_soon_threadsafe(happened.set)
            assert happened.wait(WAIT)
            yield b"a"

        async with aio.open_driver(Scripted((io_kind,))) as storage:
            made = await storage.create_bucket("fruit")
            await made.put("a", pieces())

    for carrier in ("direct", "threaded"):
        asyncio.run(main(CARRIERS[carrier][1]), debug=True)
