"""`Bucket.open` on both faces, against `io.BytesIO`."""

from __future__ import annotations

import asyncio
import csv
import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage_conformance.memory import MemoryDriver
from storage_core import aio
from storage_core.core.bodies import make_body
from storage_core.errors import (
    ClosedError,
    InvalidRequestError,
    ObjectChangedError,
    ObjectNotFoundError,
    UnavailableError,
)
from storage_core.requests import PutRequest
from storage_core.runtime import Inline, drive
from tests.core.conftest import Opener, open_on
from tests.core.drivers import Before, Scripted, Streamed

DATA = bytes(range(251)) * 4

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 400)),
        st.tuples(
            st.just("seek"),
            st.integers(-1100, 1100),
            st.sampled_from([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END]),
        ),
        st.tuples(st.just("tell")),
    ),
    max_size=25,
)


def put(driver: Scripted, data: bytes) -> None:
    drive(MemoryDriver.put(driver, PutRequest("fruit", "a", make_body(data, Inline()))))


def overwrite(driver: Scripted, data: bytes) -> Any:
    return Before(lambda _: put(driver, data))


def outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except ValueError:
        return ValueError


@given(STEPS, st.integers(1, 300), st.integers(0, len(DATA)), st.integers(1, 100))
def test_it_is_like_a_file(steps: list[Any], buffer_size: int, size: int, piece: int):
    driver = Streamed()
    driver.piece = piece
    with open_on("inline", driver, None) as storage:
        bucket = storage.create_bucket("fruit")
        bucket.put("a", DATA[:size])
        with bucket.open("a", buffer_size=buffer_size) as file:
            model = io.BytesIO(DATA[:size])
            for name, *arguments in steps:
                if name == "seek":
                    # BytesIO clamps what lands before the start; files refuse it.
                    base = {0: 0, 1: model.tell(), 2: size}[arguments[1]]
                    if base + arguments[0] < 0:
                        assert outcome(file.seek, *arguments) is ValueError
                        continue
                expected = outcome(getattr(model, name), *arguments)
                assert outcome(getattr(file, name), *arguments) == expected


@settings(max_examples=40)
@given(
    STEPS, st.integers(1, 300), st.integers(0, len(DATA)), st.sampled_from(["blocking", "asyncio"])
)
def test_it_is_like_a_file_on_the_async_face(
    steps: list[Any], buffer_size: int, size: int, io_kind: str
):
    async def main() -> None:
        async with aio.open_driver(Streamed((io_kind,))) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", DATA[:size])
            async with await bucket.open("a", buffer_size=buffer_size) as file:
                model = io.BytesIO(DATA[:size])
                for name, *arguments in steps:
                    if name == "seek":
                        base = {0: 0, 1: model.tell(), 2: size}[arguments[1]]
                        if base + arguments[0] < 0:
                            with pytest.raises(InvalidRequestError, match="before the object"):
                                file.seek(*arguments)
                            continue
                    expected = getattr(model, name)(*arguments)
                    found = getattr(file, name)(*arguments)
                    assert (await found if name == "read" else found) == expected

    asyncio.run(main())


def test_a_seek_with_no_meaning(inline: Opener):
    bucket = inline().create_bucket("fruit")
    bucket.put("a", DATA)
    with bucket.open("a") as file, pytest.raises(ValueError, match="whence"):
        file.seek(0, 9)


def test_libraries_read_it(inline: Opener):
    bucket = inline(Streamed()).create_bucket("fruit")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a.csv", "year,kind\n2012,pear\n")
    bucket.put("a.zip", archive.getvalue())
    with bucket.open("a.zip") as file, zipfile.ZipFile(file) as opened:
        text = io.TextIOWrapper(opened.open("a.csv"), encoding="utf-8", newline="")
        assert list(csv.DictReader(text)) == [{"year": "2012", "kind": "pear"}]


def test_it_reads_what_is_needed(inline: Opener):
    driver = Scripted()
    bucket = inline(driver).create_bucket("fruit")
    bucket.put("a", bytes(1_000_000))
    driver.calls.clear()
    with bucket.open("a", buffer_size=1000) as file:
        file.seek(-10, io.SEEK_END)
        assert len(file.read()) == 10
        file.seek(500)
        file.read(5)
        file.read(5)
    assert driver.names() == ["head", "get", "get"]
    assert [request.range for request in driver.requests("get")] == [
        (999_990, 1_000_000), (500, 1500),
    ]  # fmt: skip


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("data", [b"other" * 300, b"short", DATA])
def test_it_stays_on_one_object(inline: Opener, conditional: bool, data: bytes):
    named: dict[str, Any] = {} if conditional else {"conditions": {}}
    driver = Scripted(**named)
    bucket = inline(driver).create_bucket("fruit")
    bucket.put("a", DATA)
    with bucket.open("a", buffer_size=10) as file:
        assert file.read(5) == DATA[:5]
        put(driver, data)
        file.seek(500)
        with pytest.raises(ObjectChangedError, match="open fruit/a: the object was replaced"):
            file.read(5)
    with bucket.open("a", buffer_size=10) as file:
        bucket.delete("a")
        with pytest.raises(ObjectChangedError):
            file.read(5)


def test_a_version_stays_readable(inline: Opener):
    driver = Scripted(versions=True)
    bucket = inline(driver).create_bucket("fruit")
    first = bucket.put("a", DATA).version
    with bucket.open("a", buffer_size=10) as file, bucket.open("a", version=first) as same:
        bucket.put("a", b"other")
        file.seek(500)
        assert file.read(5) == DATA[500:505]
        assert same.read() == DATA


def test_replaced_between_look_and_read(inline: Opener):
    driver = Scripted()
    bucket = inline(driver).create_bucket("fruit")
    bucket.put("a", DATA)
    driver.script["get"] = [overwrite(driver, DATA)]
    with bucket.open("a") as file, pytest.raises(ObjectChangedError):
        file.read()


def test_a_missing_object(opened: Opener):
    bucket = opened().create_bucket("fruit")
    with pytest.raises(ObjectNotFoundError):
        bucket.open("a")


def test_closed(inline: Opener):
    bucket = inline().create_bucket("fruit")
    bucket.put("a", DATA)
    file = bucket.open("a")
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read()

    async def main() -> None:
        async with aio.open_driver(Scripted()) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", DATA)
            file = await bucket.open("a")
            assert file.info.size == len(DATA)
            await file.close()
            await file.close()
            with pytest.raises(ClosedError, match="closed"):
                await file.read()

    asyncio.run(main())


def test_a_failed_read_can_be_made_again(inline: Opener):
    driver = Scripted()
    bucket = inline(driver, retry=None).create_bucket("fruit")
    bucket.put("a", DATA)
    with bucket.open("a", buffer_size=10) as file:
        driver.script["get"] = [UnavailableError("down")] * 5
        with pytest.raises(UnavailableError):
            file.read(5)
        assert file.read(5) == DATA[:5]


def test_a_cancelled_read_can_be_made_again():
    async def main() -> None:
        async with aio.open_driver(Streamed(("blocking",))) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", DATA)
            file = await bucket.open("a", buffer_size=10)
            assert await file.read(5) == DATA[:5]
            for _ in range(20):
                task = asyncio.create_task(file.read(100))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert file.tell() == 5
            assert await file.read() == DATA[5:]

    asyncio.run(main(), debug=True)
