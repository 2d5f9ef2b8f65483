"""Reads without a wait: the async face takes what is in memory on the loop, all else in a thread,
and nobody can tell from the answers which it was."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

import storage_core
from storage_core import ObjectNotFoundError, aio
from storage_core.errors import InvalidRangeError, NotModifiedError, PreconditionFailedError
from storage_core.layers.prefix import PrefixLayer
from storage_core.model import NO_CONDITIONS
from storage_core.requests import GetRequest, HeadRequest
from storage_core.runtime.threaded import Threaded
from storage_local import cached
from tests.local.conftest import driver_of, make_driver, open_files
from tests.waiting import PATIENCE

T = TypeVar("T")

SMALL = b"small"
LARGE = os.urandom(100_000) * 3


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The coroutines that were carried by a worker thread."""
    seen: list[str] = []
    real = Threaded.run

    async def counted(self: Threaded, coroutine: Coroutine[Any, Any, T]) -> T:
        seen.append(getattr(coroutine, "__name__", ""))
        return await real(self, coroutine)

    monkeypatch.setattr(Threaded, "run", counted)
    return seen


@pytest.fixture
def filled(bucket: storage_core.Bucket) -> storage_core.Bucket:
    bucket.put("small", SMALL, metadata={"colour": "red"})
    bucket.put("large", LARGE, content_type="image/png")
    return bucket


def on_a_loop(place: Path, use: Callable[[aio.AsyncBucket], Awaitable[None]]) -> None:
    """Use the bucket through the async face, once it has been looked at."""

    async def main() -> None:
        async with aio.open_driver(make_driver(place)) as storage:
            bucket = storage.bucket("fruit")
            await bucket.exists("small")
            await use(bucket)

    asyncio.run(main())


async def stays_on_the_loop(trips: list[str], read: Callable[[], Awaitable[None]]) -> None:
    """Read without a trip; if there was one, once more: a machine short of memory had put away
    what was to be read, and the trip has fetched it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            trips.clear()
            await read()
            if not trips:
                return


async def _get(bucket: aio.AsyncBucket, key: str, **how: Any) -> bytes:
    async with bucket.get(key, **how) as reader:
        file = reader.file
        if file is not None:
            return os.pread(file.fd, file.length, file.offset)
        return await reader.read()


def can_look_up(place: Path) -> bool:
    """Whether the kernel and the file system know reads that do not wait."""
    folder = os.open(place, os.O_RDONLY)
    try:
        (place / "probe").write_bytes(b"x")
        return bool(cached._NOWAIT) and cached.possible("probe", folder)
    finally:
        (place / "probe").unlink()
        os.close(folder)


def test_what_is_in_memory_needs_no_thread(
    filled: storage_core.Bucket, place: Path, trips: list[str]
):
    if not can_look_up(place):
        pytest.skip(f"no reads without a wait: openat2 or preadv2 is not there, or not on {place}")

    async def use(bucket: aio.AsyncBucket) -> None:
        async def read() -> None:
            assert await _get(bucket, "small") == SMALL
            assert await _get(bucket, "small", range=(1, 3)) == SMALL[1:3]
            assert await _get(bucket, "large") == LARGE
            assert await _get(bucket, "large", range=(-1000, None)) == LARGE[-1000:]
            etag = (await bucket.head("large")).etag
            assert await _get(bucket, "large", if_match=etag) == LARGE

        await stays_on_the_loop(trips, read)

    on_a_loop(place, use)


def test_the_answers_are_the_same(filled: storage_core.Bucket, place: Path):
    async def use(bucket: aio.AsyncBucket) -> None:
        for key in ("small", "large"):
            async with bucket.get(key) as reader:
                with filled.get(key) as other:
                    assert reader.info == other.info
                    assert await reader.read() == other.read()
            assert await bucket.head(key) == filled.head(key)

    on_a_loop(place, use)


def test_failures_come_from_the_long_way(filled: storage_core.Bucket, place: Path):
    async def use(bucket: aio.AsyncBucket) -> None:
        for failure, key, how in (
            (ObjectNotFoundError, "missing", {}),
            (InvalidRangeError, "large", {"range": (len(LARGE), None)}),
            (PreconditionFailedError, "large", {"if_match": "another"}),
            (NotModifiedError, "small", {"if_none_match": filled.head("small").etag}),
        ):
            with pytest.raises(failure) as caught:
                await _get(bucket, key, **how)
            assert (caught.value.bucket, caught.value.key) == ("fruit", key)
        with pytest.raises(ObjectNotFoundError):
            await bucket.head("missing")

    on_a_loop(place, use)


def test_a_change_is_seen_at_once(filled: storage_core.Bucket, place: Path):
    async def use(bucket: aio.AsyncBucket) -> None:
        assert await _get(bucket, "small") == SMALL
        filled.put("small", b"new")
        assert await _get(bucket, "small") == b"new"
        filled.put("small", LARGE)
        assert await _get(bucket, "small") == LARGE
        filled.delete("small")
        with pytest.raises(ObjectNotFoundError):
            await _get(bucket, "small")

    on_a_loop(place, use)


def test_a_bucket_made_anew_is_not_taken_for_the_old_one(filled: storage_core.Bucket, place: Path):
    async def use(bucket: aio.AsyncBucket) -> None:
        assert await _get(bucket, "small") == SMALL
        filled.storage.delete_bucket("fruit", force=True)
        filled.storage.create_bucket("fruit").put("other", b"other")
        assert await _get(bucket, "other") == b"other"
        with pytest.raises(ObjectNotFoundError):
            await _get(bucket, "small")

    on_a_loop(place, use)


@pytest.mark.parametrize("lacking", ["openat2", "preadv2", "the flag", "the function"])
def test_systems_that_can_not(
    filled: storage_core.Bucket,
    place: Path,
    trips: list[str],
    monkeypatch: pytest.MonkeyPatch,
    lacking: str,
):
    def refuse(*_: Any) -> int:
        raise OSError("not supported") if lacking == "preadv2" else NotImplementedError

    if lacking == "openat2":
        monkeypatch.setattr(cached, "_openat2", lambda: lambda *_: -1)
    elif lacking == "the flag":
        monkeypatch.setattr(cached, "_NOWAIT", 0)
    else:
        monkeypatch.setattr(os, "preadv", refuse)

    async def use(bucket: aio.AsyncBucket) -> None:
        trips.clear()
        assert await _get(bucket, "small") == SMALL
        assert await _get(bucket, "large") == LARGE
        assert (await bucket.head("small")).size == len(SMALL)
        assert trips == ["get", "get", "head"]

    on_a_loop(place, use)


def test_a_deadline_that_has_passed(filled: storage_core.Bucket, place: Path):
    async def use(bucket: aio.AsyncBucket) -> None:
        with pytest.raises(storage_core.OperationTimeoutError):
            await bucket.head("small", deadline=1e-9)
        with pytest.raises(storage_core.OperationTimeoutError):
            await _get(bucket, "small", deadline=1e-9)

    on_a_loop(place, use)


def test_what_was_never_opened_is_for_a_thread(filled: storage_core.Bucket, place: Path):
    driver = make_driver(place)
    driver._opened()
    request = GetRequest("fruit", "small", None, None, NO_CONDITIONS)
    assert driver.get_now(request) is None
    assert driver.head_now(HeadRequest("fruit", "small", None, NO_CONDITIONS)) is None
    known = driver_of(filled.storage)
    assert known.get_now(request._replace(version="0" * 32)) is None
    assert known.get_now(request._replace(bucket="missing")) is None


def test_no_symbolic_link_is_followed(filled: storage_core.Bucket, fruit: Path, tmp_path: Path):
    driver = driver_of(filled.storage)
    request = GetRequest("fruit", "large", None, None, NO_CONDITIONS)
    (shard,) = (fruit / "data").iterdir()
    shutil.move(shard, tmp_path / "elsewhere")
    shard.symlink_to(tmp_path / "elsewhere")
    assert driver.get_now(request) is None


def test_a_file_that_was_replaced_is_closed_by_a_thread(
    filled: storage_core.Bucket, place: Path, trips: list[str]
):
    async def use(bucket: aio.AsyncBucket) -> None:
        before = open_files(place)
        reader = await bucket.get("large")
        filled.put("large", b"new")
        trips.clear()
        assert await reader.read() == LARGE
        await reader.close()
        assert trips.count("close") == 1
        assert open_files(place) == before

    on_a_loop(place, use)


def test_nothing_stays_open(filled: storage_core.Bucket, place: Path):
    async def use(bucket: aio.AsyncBucket) -> None:
        await _get(bucket, "large")
        before = open_files(place)
        for _ in range(50):
            await _get(bucket, "small")
            await _get(bucket, "large", range=(5, 10))
            await bucket.head("large")
            with pytest.raises(InvalidRangeError):
                await _get(bucket, "large", range=(len(LARGE), None))
        assert open_files(place) == before

    on_a_loop(place, use)


def test_through_the_prefix_layer(filled: storage_core.Bucket, place: Path, trips: list[str]):
    filled.put("pre/large", LARGE)
    filled.put("pre/small", SMALL)
    driver = PrefixLayer(make_driver(place), "pre/")

    async def main() -> None:
        async with aio.open_driver(driver) as storage:
            bucket = storage.bucket("fruit")
            for key, data in (("small", SMALL), ("large", LARGE)):
                assert (await bucket.head(key)).key == key
                async with bucket.get(key) as reader:
                    assert reader.info.key == key
                    assert await reader.read() == data
            before = open_files(place)

            async def read() -> None:
                assert await _get(bucket, "large", range=(7, 70_000)) == LARGE[7:70_000]
                assert (await bucket.head("large")).key == "large"

            if can_look_up(place):
                await stays_on_the_loop(trips, read)
            else:
                await read()
            assert open_files(place) == before
            with pytest.raises(ObjectNotFoundError) as caught:
                await bucket.head("missing")
            assert caught.value.key == "missing"

    asyncio.run(main())
