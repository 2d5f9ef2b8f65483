"""Writing bit by bit: one put, a session or a spool, and nothing visible before the commit."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core import Attributes, Bucket, RetryPolicy, aio
from storage_core.core import writer as writer_module
from storage_core.errors import (
    ClosedError,
    IntegrityError,
    InvalidMetadataError,
    InvalidRequestError,
    PermissionDeniedError,
    PreconditionFailedError,
    QuotaExceededError,
    UnavailableError,
    UnsupportedError,
)
from tests.core.conftest import Opener, open_on
from tests.core.drivers import Scripted

PART = 1000


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "PART", PART)


def made(opened: Opener, driver: Scripted | None = None, **options: Any) -> tuple[Scripted, Bucket]:
    driver = driver or Scripted()
    bucket = opened(driver, **options).create_bucket("fruit")
    driver.calls.clear()
    return driver, bucket


def content(bucket: Bucket, key: str = "a") -> bytes:
    with bucket.get(key) as reader:
        return reader.read()


def data(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def write_and_raise(bucket: Bucket, size: int, error: BaseException) -> None:
    with bucket.writer("a") as writer:
        writer.write(data(size))
        raise error


def write_all(bucket: Bucket, key: str, size: int, **options: Any) -> None:
    with bucket.writer(key, **options) as writer:
        writer.write(data(size))


@pytest.mark.parametrize(
    ("size", "requests"),
    [
        (0, ["put"]),
        (PART - 1, ["put"]),
        (PART, ["create_upload", "put_part", "complete_upload"]),
        (PART + 1, ["create_upload", "put_part", "put_part", "complete_upload"]),
        (3 * PART, ["create_upload", *["put_part"] * 3, "complete_upload"]),
    ],
)
@pytest.mark.parametrize("step", [1, 333, PART, 5000])
def test_one_put_or_a_session(opened: Opener, size: int, requests: list[str], step: int):
    if step == 1 and size > PART:
        step = 7
    driver, bucket = made(opened)
    expected = data(size)
    with bucket.writer("a", content_type="text/csv", compute=("sha256",)) as writer:
        for at in range(0, size, step):
            writer.write(expected[at : at + step])
        assert writer.size == size
        assert not bucket.exists("a")
        assert writer.result is None
    assert [name for name in driver.names() if name != "head"] == requests
    assert writer.result is not None
    assert writer.result.size == size
    assert writer.result.checksums["sha256"] == hashlib.sha256(expected).hexdigest()
    assert content(bucket) == expected
    assert bucket.head("a").content_type == "text/csv"
    assert bucket.head("a").checksums["sha256"] == hashlib.sha256(expected).hexdigest()
    assert list(bucket.list_uploads()) == []


def test_no_part_is_larger_than_it_may_be(inline: Opener):
    driver, bucket = made(inline, Scripted(max_part_size=400))
    with bucket.writer("a") as writer:
        writer.write(data(10 * PART))  # in one piece
    sizes = [len(request.body.data) for request in driver.requests("put_part")]
    assert sizes == [400] * 25


def test_parts_grow_so_that_they_suffice(inline: Opener):
    driver, bucket = made(inline, Scripted(max_parts=10, max_part_size=10**6))
    with bucket.writer("a") as writer:
        writer.write(data(60 * PART))
    sizes = [len(request.body.data) for request in driver.requests("put_part")]
    assert len(sizes) <= 10
    assert sizes[:-1] == sorted(sizes[:-1])
    assert content(bucket) == data(60 * PART)


def test_a_known_size_is_cut_into_parts_that_suffice(inline: Opener):
    driver, bucket = made(inline, Scripted(max_parts=3, max_put_size=10_000, max_part_size=10**6))
    bucket.put("a", data(60 * PART))
    sizes = [len(request.body.data) for request in driver.requests("put_part")]
    assert sizes == [10_000, 20_000, 30_000]
    assert content(bucket) == data(60 * PART)


def test_ten_thousand_parts_reach_the_largest_object():
    # What `_part_size` says, without writing five terabytes.
    part, total = 8 * 1024**2, 0
    for number in range(10_000):
        total += min(part * 2 ** (number * 10 // 10_000), 5 * 1024**3)
    assert total >= 5 * 1024**4


@given(st.lists(st.binary(max_size=700), max_size=12), st.integers(1, 900))
def test_any_pieces_add_up(pieces: list[bytes], part: int):
    driver = Scripted(max_part_size=part)
    with open_on("inline", driver, None) as storage:
        bucket = storage.create_bucket("fruit")
        with bucket.writer("a") as writer:
            for piece in pieces:
                assert writer.write(piece) == len(piece)
        assert content(bucket) == b"".join(pieces)
        assert writer.result is not None
        assert writer.result.size == len(b"".join(pieces))


@pytest.mark.parametrize("size", [5, 5 * PART])
def test_without_sessions_it_waits_in_a_file(opened: Opener, size: int):
    driver, bucket = made(opened, Scripted(multipart=False))
    with bucket.writer("a") as writer:
        for at in range(0, size, 700):
            writer.write(data(size)[at : at + 700])
        assert driver.calls == []
    assert driver.names() == ["put"]
    assert content(bucket) == data(size)


def test_the_spool_is_closed_whatever_happens(inline: Opener, no_new_descriptors: None):
    _, bucket = made(inline, Scripted(multipart=False))
    writer = bucket.writer("a")
    writer.write(data(5 * PART))
    writer.abort()
    with bucket.writer("a") as writer:
        writer.write(data(5 * PART))
    with pytest.raises(KeyError):
        write_and_raise(bucket, 5 * PART, KeyError())


def test_a_full_disk_under_the_spool(inline: Opener, monkeypatch: pytest.MonkeyPatch):
    def full() -> Any:
        return open("/dev/full", "wb", buffering=0)

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    _, bucket = made(inline, Scripted(multipart=False))
    writer = bucket.writer("a")
    with pytest.raises(QuotaExceededError, match="write fruit/a: no room to collect") as caught:
        writer.write(data(5 * PART))
    assert isinstance(caught.value.__cause__, OSError)
    writer.abort()


# --- ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 5 * PART])
def test_abort_leaves_nothing(opened: Opener, size: int):
    _driver, bucket = made(opened)
    bucket.put("a", b"old")
    writer = bucket.writer("a")
    writer.write(data(size))
    writer.abort()
    writer.abort()  # so that `except: writer.abort()` is always right
    for call in (lambda: writer.write(b"x"), writer.commit):
        with pytest.raises(ClosedError, match="was aborted already"):
            call()
    assert content(bucket) == b"old"
    assert list(bucket.list_uploads()) == []
    assert "aborted" in repr(writer)


@pytest.mark.parametrize("size", [5, 5 * PART])
@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_an_exception_aborts(inline: Opener, size: int, error: type[BaseException]):
    _, bucket = made(inline)
    with pytest.raises(error):
        write_and_raise(bucket, size, error())
    assert not bucket.exists("a")
    assert list(bucket.list_uploads()) == []


def test_a_second_commit(opened: Opener):
    _, bucket = made(opened)
    writer = bucket.writer("a")
    writer.write(b"x")
    assert writer.commit() == writer.result
    for call in (writer.commit, writer.abort, lambda: writer.write(b"y")):
        with pytest.raises(ClosedError, match="was committed already"):
            call()
    assert content(bucket) == b"x"
    with bucket.writer("b") as writer:
        writer.commit()  # by hand inside the block
    assert bucket.exists("b")


def test_a_failed_commit_aborts(opened: Opener):
    _driver, bucket = made(opened)
    bucket.put("a", b"old")
    for size in (5, 5 * PART):
        writer = bucket.writer("a", if_absent=True)
        writer.write(data(size))
        with pytest.raises(PreconditionFailedError):
            writer.commit()
        writer.abort()
        with pytest.raises(ClosedError):
            writer.commit()
    assert content(bucket) == b"old"
    assert list(bucket.list_uploads()) == []


def test_a_gap_is_never_published(inline: Opener):
    """A write that failed may have lost bytes; nothing may be built on it."""
    driver, bucket = made(inline, retry=RetryPolicy(attempts=1))
    writer = bucket.writer("a")
    writer.write(data(PART))
    driver.script["put_part"] = [UnavailableError("down")]
    with pytest.raises(UnavailableError):
        writer.write(data(PART))
    for call in (lambda: writer.write(b"more"), writer.commit):
        with pytest.raises(ClosedError, match="earlier write failed"):
            call()
    writer.abort()
    assert not bucket.exists("a")
    assert list(bucket.list_uploads()) == []


@pytest.mark.parametrize("io", ["blocking", "asyncio"])
def test_a_cancelled_write_is_a_gap(io: str):
    async def main() -> None:
        async with aio.open_driver(Scripted((io,))) as storage:
            bucket = await storage.create_bucket("fruit")
            writer = bucket.writer("a")
            task = asyncio.create_task(writer.write(data(10 * PART)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(ClosedError, match="earlier write failed"):
                await writer.commit()
            await writer.abort()
            assert [one async for one in bucket.list_uploads()] == []

    asyncio.run(main(), debug=True)


def test_a_refused_piece_is_a_gap_only_if_bytes_were_taken(inline: Opener):
    _, bucket = made(inline)
    with bucket.writer("a") as writer:
        writer.write(b"x")
        for wrong in ("text", None, 5, ["x"]):
            with pytest.raises(InvalidRequestError, match=type(wrong).__name__):
                writer.write(wrong)  # type: ignore[arg-type]
        writer.write(memoryview(b"yy").cast("H"))
    assert content(bucket) == b"xyy"


def test_an_abort_that_fails_does_not_hide_why(opened: Opener):
    driver, bucket = made(opened, retry=RetryPolicy(attempts=1))
    driver.script["abort_upload"] = [UnavailableError("down"), UnavailableError("down")]
    with pytest.raises(KeyError) as caught:
        write_and_raise(bucket, PART, KeyError("mine"))
    assert "could not be aborted either" in caught.value.__notes__[0]
    driver.script["complete_upload"] = [PermissionDeniedError("no")]
    with pytest.raises(PermissionDeniedError) as denied, bucket.writer("a") as writer:
        writer.write(data(PART))
    assert "could not be aborted either" in denied.value.__notes__[0]


# --- attributes, conditions, digests ------------------------------------------------------


@pytest.mark.parametrize("size", [5, 5 * PART])
def test_attributes_can_change_until_commit(opened: Opener, size: int):
    _, bucket = made(opened)
    with bucket.writer("a", content_type="text/plain", metadata={"A": "1"}) as writer:
        writer.write(data(size))
        writer.attributes = replace(writer.attributes, content_type="text/csv", metadata={"B": "2"})
    info = bucket.head("a")
    assert (info.content_type, dict(info.metadata)) == ("text/csv", {"b": "2"})


@pytest.mark.parametrize("size", [5, 5 * PART])
def test_attributes_are_checked_at_both_ends(opened: Opener, size: int):
    driver, bucket = made(opened)
    with pytest.raises(InvalidMetadataError):
        bucket.writer("a", metadata={"ä": "1"})
    with pytest.raises(InvalidRequestError, match="not in the future"):
        bucket.writer("a", expires_at=datetime.now(UTC) - timedelta(1))
    assert driver.calls == []
    writer = bucket.writer("a")
    writer.write(data(size))
    writer.attributes = Attributes(content_type="\n")
    with pytest.raises(InvalidMetadataError):
        writer.commit()
    assert list(bucket.list_uploads()) == []
    assert not bucket.exists("a")


@pytest.mark.parametrize("size", [5, 5 * PART])
def test_conditions_are_held_at_commit(opened: Opener, size: int):
    _, bucket = made(opened)
    with bucket.writer("a", if_absent=True) as writer:
        writer.write(data(size))
    with bucket.writer("a", if_match=bucket.head("a").etag) as writer:
        writer.write(data(size + 1))
    assert len(content(bucket)) == size + 1
    with pytest.raises(PreconditionFailedError), bucket.writer("a", if_match="other") as writer:
        writer.write(b"x" * size)
    assert len(content(bucket)) == size + 1


def test_a_session_that_could_not_be_completed_is_not_begun(inline: Opener):
    driver, bucket = made(inline, Scripted(conditions={"put": frozenset(("if_absent",))}))
    with bucket.writer("a", if_absent=True) as writer:
        writer.write(b"small")
    driver.calls.clear()
    with pytest.raises(UnsupportedError, match="if_absent on complete"):
        write_all(bucket, "b", PART, if_absent=True)
    assert driver.calls == []


@pytest.mark.parametrize("multipart", [True, False])
@pytest.mark.parametrize("size", [5, 5 * PART])
def test_declared_digests(opened: Opener, size: int, multipart: bool):
    _, bucket = made(opened, Scripted(multipart=multipart))
    good = {"md5": hashlib.md5(data(size)).hexdigest()}
    with bucket.writer("a", checksums=good) as writer:
        writer.write(data(size))
    assert writer.result is not None
    assert writer.result.checksums["md5"] == good["md5"]
    bucket.delete("a")
    with pytest.raises(IntegrityError, match="was declared") as caught:
        write_all(bucket, "a", size, checksums={"md5": "00" * 16})
    assert caught.value.key == "a"
    assert not bucket.exists("a")
    if multipart:
        assert list(bucket.list_uploads()) == []


# --- put, where one request does not do ----------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, PART, 3 * PART + 1])
def test_put_of_unknown_length_where_one_request_needs_it(opened: Opener, size: int):
    driver, bucket = made(opened, Scripted(unsized_put=False))
    result = bucket.put(
        "a",
        iter([data(size)]),
        compute=("sha256",),
        checksums={"md5": hashlib.md5(data(size)).hexdigest()},
    )
    assert result.checksums["sha256"] == hashlib.sha256(data(size)).hexdigest()
    assert result.checksums["md5"] == hashlib.md5(data(size)).hexdigest()
    assert content(bucket) == data(size)
    assert all(
        request.body.size is not None
        for name, request in driver.calls
        if name in {"put", "put_part"}
    )


def test_put_above_the_largest_one(opened: Opener):
    driver, bucket = made(opened, Scripted(max_put_size=900))
    assert bucket.put("a", data(3000), if_absent=True).size == 3000
    assert driver.names()[:2] == ["create_upload", "put_part"]
    assert content(bucket) == data(3000)
    bucket.put("b", data(900))
    assert driver.names()[-1] == "put"
    with pytest.raises(PreconditionFailedError):
        bucket.put("a", data(3000), if_absent=True)


@pytest.mark.parametrize("multipart", [True, False])
def test_what_fits_in_no_way_is_refused_before_any_request(opened: Opener, multipart: bool):
    driver = Scripted(max_put_size=900, max_object_size=5000, multipart=multipart)
    driver, bucket = made(opened, driver)
    most = 5000 if multipart else 900
    with pytest.raises(QuotaExceededError, match=f"at most {most}"):
        bucket.put("a", data(most + 1))
    assert driver.calls == []


def test_an_unsized_body_that_grows_too_large_for_a_put(inline: Opener):
    driver, bucket = made(inline, Scripted(max_put_size=900, multipart=False, unsized_put=False))
    with pytest.raises(QuotaExceededError, match="at most 900"):
        bucket.put("a", iter([data(2000)]))
    assert driver.calls == []


@pytest.mark.parametrize("minimum", [0, 5000])
def test_sizes_between_the_limits_find_a_way(inline: Opener, minimum: int):
    driver = Scripted(max_put_size=900, min_part_size=minimum)
    _, bucket = made(inline, driver)
    for size in (899, 900, 901, 4999, 5000, 5001, 12_000):
        with bucket.writer("a") as writer:
            writer.write(data(size))
        assert content(bucket) == data(size)
