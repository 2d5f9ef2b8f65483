"""Reading: verified, taken up again, never mixed from two objects, and for ever failed once it
failed."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_conformance.memory import MemoryDriver
from storage_core import Bucket, RetryPolicy
from storage_core.core.bodies import make_body
from storage_core.errors import (
    ClosedError,
    IntegrityError,
    ObjectChangedError,
    OperationTimeoutError,
    PermissionDeniedError,
    StorageError,
    UnavailableError,
)
from storage_core.requests import PutRequest
from storage_core.runtime import Inline, drive
from tests.core.conftest import Opener, open_on
from tests.core.drivers import Scripted, Streamed

DATA = bytes(range(251)) * 40  # 10,040 bytes, with a period that fits no piece


def made(opened: Opener, driver: Any = None, **options: Any) -> tuple[Any, Bucket]:
    driver = driver or Streamed()
    bucket = opened(driver, **options).create_bucket("fruit")
    bucket.put("a", DATA)
    driver.calls.clear()
    return driver, bucket


def down() -> UnavailableError:
    return UnavailableError("connection reset")


def drain(reader: Any, size: int) -> None:
    while reader.read(size):
        pass


class Flipped(Streamed):
    """One bit of what is stored is flipped."""

    at = 5000
    in_memory = False

    async def get(self, request: Any) -> Any:
        stream: Any = await (Scripted.get if self.in_memory else Streamed.get)(self, request)
        inner = stream if self.in_memory else stream._inner
        assert inner.data is not None
        data = bytearray(inner.data)
        if 0 <= self.at - inner.start < len(data):
            data[self.at - inner.start] ^= 1
        inner.data = bytes(data)
        return stream


# --- verification -------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("at", [0, 5000, len(DATA) - 1])
def test_a_flipped_bit_is_seen(opened: Opener, in_memory: bool, at: int):
    driver = Flipped()
    driver.in_memory, driver.at = in_memory, at
    _, bucket = made(opened, driver)
    for size in (-1, len(DATA), 4000):
        with bucket.get("a") as reader:
            with pytest.raises(IntegrityError, match="crc32c") as caught:
                drain(reader, size)
            assert (caught.value.operation, caught.value.bucket, caught.value.key) == (
                "get", "fruit", "a",
            )  # fmt: skip
            for again in (-1, 10, 0):
                with pytest.raises(IntegrityError):  # it does not become good by asking again
                    reader.read(again)
    with pytest.raises(IntegrityError), bucket.get("a") as reader:
        for _ in reader:
            pass


def test_unverified_reads_give_what_is_there(opened: Opener):
    _, bucket = made(opened, Flipped())
    with bucket.get("a", verify=False) as reader:
        assert reader.read() != DATA
    with bucket.get("a", range=(5000, 5001)) as reader:
        assert reader.read() != DATA[5000:5001]


def test_a_read_that_stops_early_is_not_judged(opened: Opener):
    _, bucket = made(opened, Flipped())
    with bucket.get("a") as reader:
        assert b"".join(reader.read(1000) for _ in range(5)) == DATA[:5000]


# --- broken connections -------------------------------------------------------------------


def test_what_broke_off_is_taken_up_where_it_stopped(opened: Opener):
    driver, bucket = made(opened)
    info = bucket.head("a")
    driver.breaks = [(3000, down()), (2500, None), (0, down())]
    with bucket.get("a") as reader:
        assert reader.read() == DATA
        assert reader.info == info
    first, *again = driver.requests("get")
    assert first.range is None
    assert [request.range for request in again] == [(3000, 10040), (5500, 10040), (5500, 10040)]
    assert {request.conditions.if_match for request in again} == {info.etag}
    assert [stream.closed for stream in driver.streams] == [1, 1, 1, 1]


def test_a_range_is_taken_up_within_the_range(opened: Opener):
    driver, bucket = made(opened)
    driver.breaks = [(1500, down())]
    with bucket.get("a", range=(100, 4100)) as reader:
        assert (reader.start, reader.length) == (100, 4000)
        assert reader.read() == DATA[100:4100]
    driver.breaks = [(1500, down())]
    with bucket.get("a", range=(-4000, None)) as reader:
        assert reader.read() == DATA[-4000:]
    assert driver.requests("get")[-1].range == (10040 - 2500, 10040)


class MemoryRest(Streamed):
    """What is asked for again comes from memory, as short answers may."""

    async def get(self, request: Any) -> Any:
        if request.range is not None:
            return await Scripted.get(self, request)
        return await super().get(request)


def test_the_rest_may_come_from_memory(opened: Opener):
    driver, bucket = made(opened, MemoryRest())
    driver.breaks = [(3000, down())]
    with bucket.get("a") as reader:
        assert reader.read(2000) == DATA[:1000]
        assert reader.read(5000) == DATA[1000:2000]
        assert reader.read() == DATA[2000:]
        assert reader.read() == b""


def test_verification_goes_on_across_streams(opened: Opener):
    driver, bucket = made(opened, Flipped())
    driver.breaks = [(3000, down())]
    with pytest.raises(IntegrityError), bucket.get("a") as reader:
        reader.read()


def test_progress_wins_new_tries(inline: Opener):
    driver, bucket = made(inline, retry=RetryPolicy(attempts=3))
    driver.breaks = [(1000, down()) for _ in range(9)]
    with bucket.get("a") as reader:
        assert reader.read() == DATA


def test_without_progress_it_ends(inline: Opener):
    driver, bucket = made(inline, retry=RetryPolicy(attempts=3))
    driver.breaks = [(1000, down())] + [(0, down()) for _ in range(9)]
    with bucket.get("a") as reader:
        assert reader.read(1000) == DATA[:1000]
        with pytest.raises(UnavailableError, match="connection reset") as caught:
            reader.read()
        assert caught.value.attempts == 3
        with pytest.raises(UnavailableError, match="connection reset"):
            reader.read()
    assert len(driver.requests("get")) == 3


def test_a_body_that_stays_short_is_an_integrity_error(inline: Opener):
    driver, bucket = made(inline, retry=RetryPolicy(attempts=2))
    driver.breaks = [(1000, None), (0, None)]
    with (
        pytest.raises(IntegrityError, match="ended after 1000 of 10040"),
        bucket.get("a") as reader,
    ):
        reader.read()


def test_a_failure_that_lasts_is_not_repeated(opened: Opener):
    driver, bucket = made(opened)
    driver.breaks = [(1000, PermissionDeniedError("revoked"))]
    with bucket.get("a") as reader:
        with pytest.raises(PermissionDeniedError, match="get fruit/a: revoked"):
            reader.read()
        with pytest.raises(PermissionDeniedError):
            reader.read()
    assert len(driver.requests("get")) == 1


def test_a_bug_of_the_driver_passes_and_ends_the_reader(opened: Opener):
    driver, bucket = made(opened)
    driver.breaks = [(1000, ZeroDivisionError("bug"))]
    with bucket.get("a") as reader:
        with pytest.raises(ZeroDivisionError):
            reader.read()
        with pytest.raises(ClosedError, match="earlier read failed"):
            reader.read()


# --- replaced objects ---------------------------------------------------------------------


def replace(driver: Scripted, data: bytes) -> None:
    body = make_body(data, Inline())
    drive(MemoryDriver.put(driver, PutRequest("fruit", "a", body)))


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("data", [DATA, b"short", bytes(20_000)])
def test_never_two_objects_in_one_read(opened: Opener, conditional: bool, data: bytes):
    """Also where the service knows no conditions, and where the bytes are the same."""
    named: dict[str, Any] = {} if conditional else {"conditions": {}}
    driver, bucket = made(opened, Streamed(**named))
    driver.breaks = [(3000, down())]
    with bucket.get("a") as reader:
        assert reader.read(1000) == DATA[:1000]
        replace(driver, data)
        with pytest.raises(ObjectChangedError, match="while it was being read"):
            reader.read()
        with pytest.raises(ObjectChangedError):
            reader.read()
    assert all(stream.closed for stream in driver.streams)


def test_a_deleted_object_is_a_changed_one(opened: Opener):
    driver, bucket = made(opened)
    driver.breaks = [(3000, down())]
    with bucket.get("a") as reader:
        bucket.delete("a")
        with pytest.raises(ObjectChangedError):
            reader.read()


def test_a_version_can_be_read_on_after_it_was_replaced(opened: Opener):
    driver, bucket = made(opened, Streamed(versions=True))
    driver.breaks = [(3000, down())]
    with bucket.get("a") as reader:
        replace(driver, b"other")
        assert reader.read() == DATA


class IgnoresRanges(Streamed):
    async def get(self, request: Any) -> Any:
        return await super().get(request._replace(range=None))


def test_a_service_that_ignores_the_range_does_not_give_bytes_twice(opened: Opener):
    driver, bucket = made(opened, IgnoresRanges())
    driver.breaks = [(3000, down())]
    with bucket.get("a") as reader, pytest.raises(ObjectChangedError):
        reader.read()
    assert all(stream.closed for stream in driver.streams)


# --- deadlines ----------------------------------------------------------------------------


def test_the_deadline_counts_while_reading(opened: Opener):
    _, bucket = made(opened)
    with bucket.get("a", deadline=1000) as reader:
        assert reader.read(10) == DATA[:10]
        core: Any = getattr(reader, "_target", reader)._core
        core._deadline.at = 0.0
        for _ in range(2):
            with pytest.raises(OperationTimeoutError, match="deadline passed") as caught:
                reader.read(10)
            assert caught.value.key == "a"


# --- sizes --------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False])
@given(
    sizes=st.lists(st.integers(-1, 400), max_size=30),
    start=st.integers(0, 900),
    length=st.integers(1, 1200),
    piece=st.integers(1, 300),
)
def test_reads_of_any_sizes(streamed: bool, sizes: list[int], start: int, length: int, piece: int):
    driver = Streamed() if streamed else Scripted()
    if isinstance(driver, Streamed):
        driver.piece = piece
    with open_on("inline", driver, None) as storage:
        bucket = storage.create_bucket("fruit")
        data = DATA[:1000]
        bucket.put("a", data)
        with bucket.get("a", range=(start, start + length)) as reader:
            wanted = data[start : start + length]
            assert (reader.start, reader.length) == (start, len(wanted))
            got = b""
            for size in sizes:
                found = reader.read(size)
                assert len(found) <= size or size < 0
                assert found or not size or len(got) == len(wanted)
                got += found
                assert reader.position == len(got)
            got += reader.read()
            assert got == wanted
            assert reader.read() == reader.read(5) == b""


@pytest.mark.parametrize("driver", [Streamed, Scripted])
def test_readinto_and_iteration(opened: Opener, driver: Any):
    _, bucket = made(opened, driver())
    with bucket.get("a") as reader:
        buffer = bytearray(700)
        assert reader.readinto(buffer) == 700
        assert bytes(buffer) == DATA[:700]
        rest = memoryview(bytearray(len(DATA)))
        taken = 0
        while count := reader.readinto(rest[taken:]):
            taken += count
        assert bytes(rest[:taken]) == DATA[700:]
    with bucket.get("a") as reader:
        assert b"".join(reader) == DATA


def test_readinto_verifies_and_goes_on_as_read_does(opened: Opener):
    driver, bucket = made(opened)
    driver.breaks = [(3000, down()), (1000, None)]
    buffer = bytearray(len(DATA))
    with bucket.get("a") as reader:
        assert filled(reader, buffer) == len(DATA)
        assert reader.readinto(buffer) == 0
    assert bytes(buffer) == DATA
    assert len(driver.requests("get")) == 3


def test_readinto_gives_no_end_to_false_bytes(opened: Opener):
    _, bucket = made(opened, Flipped())
    buffer = bytearray(len(DATA))
    with bucket.get("a") as reader:
        for _ in range(2):  # nor later
            with pytest.raises(IntegrityError, match="crc32c"):
                filled(reader, buffer)
    with bucket.get("a", verify=False) as reader:
        assert filled(reader, buffer) == len(DATA)


def filled(reader: Any, buffer: bytearray) -> int:
    """Bytes that came until the end, or until there was no more room."""
    taken = 0
    while count := reader.readinto(memoryview(buffer)[taken:]):
        taken += count
    return taken


def test_an_empty_object(opened: Opener):
    _, bucket = made(opened)
    bucket.put("empty", b"")
    with bucket.get("empty") as reader:
        assert (reader.length, reader.read(), reader.read(5), list(reader)) == (0, b"", b"", [])


@pytest.mark.parametrize("driver", [Streamed, Scripted])
def test_a_closed_reader(opened: Opener, driver: Any):
    scripted, bucket = made(opened, driver())
    reader = bucket.get("a").__enter__()
    reader.close()
    reader.close()
    with pytest.raises(ClosedError, match="reader is closed"):
        reader.read()
    with pytest.raises(ValueError, match="reader is closed"):
        next(iter(reader))
    assert [stream.closed for stream in getattr(scripted, "streams", [])] in ([], [1])


def test_a_reader_is_closed_when_its_block_fails(opened: Opener):
    driver, bucket = made(opened)
    with pytest.raises(KeyError), bucket.get("a"):
        raise KeyError
    assert driver.streams[-1].closed == 1


def test_a_text_can_be_read_through_it(inline: Opener):
    _, bucket = made(inline)
    bucket.put("text", "é\nb".encode())
    with bucket.get("text") as reader:
        assert io.BytesIO(reader.read()).readlines() == ["é\n".encode(), b"b"]


def test_repr_says_where_it_stands(inline: Opener):
    _, bucket = made(inline)
    with bucket.get("a") as reader:
        reader.read(10)
        assert repr(reader) == "<Reader 'a' at 10 of 10040>"


def test_only_documented_errors_come_from_a_shaky_service(inline: Opener):
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 4000),
                st.sampled_from([None, UnavailableError, PermissionDeniedError, IntegrityError]),
            ),
            max_size=8,
        )
    )
    def holds(breaks: list[tuple[int, Any]]) -> None:
        driver.breaks = [(at, cls and cls("x")) for at, cls in breaks]
        got = b""
        try:
            with bucket.get("a") as reader:
                for piece in reader:
                    got += piece
        except StorageError:
            assert DATA.startswith(got)
        else:
            assert got == DATA

    driver, bucket = made(inline, retry=RetryPolicy(budget=1e9))
    holds()


class Interrupting(Streamed):
    """A key is pressed while the second piece is on its way."""

    async def get(self, request: Any) -> Any:
        stream: Any = Interrupted(await super().get(request))
        return stream


class Interrupted:
    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.checksum = stream.checksum

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def read(self, size: int) -> bytes:
        if self._stream.position:
            raise KeyboardInterrupt
        found: bytes = await self._stream.read(size)
        return found


def test_after_an_interrupt_nothing_is_read_over_the_gap(inline: Opener):
    _, bucket = made(inline, Interrupting())
    with bucket.get("a") as reader:
        assert reader.read(1000) == DATA[:1000]
        with pytest.raises(KeyboardInterrupt):
            reader.read(1000)
        for size in (1000, -1):
            with pytest.raises(ClosedError):
                reader.read(size)
    assert reader.closed
