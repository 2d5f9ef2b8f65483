"""Closing gives everything back: threads, loops, descriptors and memory."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import storage_core
from storage_conformance.faces import Portal
from storage_core import ClosedError, ConfigError, aio
from tests.core.conftest import Opener, client_of
from tests.core.drivers import Scripted, Streamed
from tests.core.running import WAIT, Slow, run, threads, until


def test_closing_gives_everything_back(opened: Opener):
    before = threads()
    driver = Streamed()
    storage = opened(driver)
    bucket = storage.create_bucket("fruit")
    bucket.put("a", bytes(5000))
    reader = bucket.get("a")
    if hasattr(reader, "_target"):
        reader = reader.__enter__()
    assert driver.opened == 1
    storage.close()
    storage.close()
    assert driver.opened == 0
    assert storage.closed
    assert threads() == before
    reader.close()  # late, but in order
    assert [stream.closed for stream in driver.streams] == [1]
    for call in (
        lambda: bucket.put("b", b""),
        lambda: bucket.exists("a"),
        lambda: bucket.delete("a"),
        lambda: bucket.delete_many(["a"]),
        lambda: bucket.move("a", "b"),
        lambda: bucket.copy("a", "b"),
        lambda: bucket.info(),
        lambda: list(bucket.list()),
        lambda: bucket.presign("a"),
        lambda: bucket.create_upload("a"),
        lambda: storage.create_bucket("other"),
        lambda: storage.delete_bucket("fruit", force=True),
        lambda: storage.bucket_exists("fruit"),
    ):
        driver.calls.clear()
        with pytest.raises(ClosedError):
            call()
        assert driver.calls == []
    assert threads() == before


def test_calls_on_their_way_end_when_a_blocking_storage_closes():
    driver = Slow(("asyncio",))
    storage = storage_core.open_driver(driver)
    bucket = storage.create_bucket("fruit")
    bucket.put("a", b"x")
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(bucket.get, "a")
        assert driver.begun.wait(WAIT)
        storage.close()
        with pytest.raises(ClosedError, match="during the call"):
            busy.result(WAIT)
    assert driver.cancelled.is_set()
    assert threads() == set()


def test_calls_on_their_way_end_when_an_async_storage_closes():
    async def main() -> None:
        waiting = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            waiting.set()
            await asyncio.sleep(WAIT * 100)
            yield b""

        storage = await aio.open_driver(Scripted(("blocking",)))
        bucket = await storage.create_bucket("fruit")
        busy = asyncio.create_task(bucket.put("a", endless()))
        await waiting.wait()
        await storage.close()
        with pytest.raises(ClosedError, match="during the call"):
            await busy
        await until(lambda: threads() == set())

    run(main)


def test_an_async_storage_can_be_opened_again():
    async def main() -> None:
        storage = aio.open_driver(Scripted(("blocking",)))
        for _ in range(2):
            async with storage:
                await storage.create_bucket("fruit", exist_ok=True)
            assert threads() == set()

    run(main)


class NotOpened(Scripted):
    async def open(self, io: Any) -> None:
        raise ConfigError("the settings can not work")


def test_what_can_not_be_opened_leaves_nothing(carrier: str, portal: Portal):
    io = ("asyncio",) if carrier in {"loop_thread", "direct"} else ("blocking",)
    blocking = carrier in {"inline", "loop_thread"}
    wrong = Scripted(io)

    def open_one(driver: Scripted, capabilities: dict[str, Any] | None) -> None:
        if blocking:
            storage_core.open_driver(driver, capabilities=capabilities)
        else:
            portal.call(aio.open_driver(driver, capabilities=capabilities)._open)

    for driver, capabilities in ((NotOpened(io), None), (wrong, {"teleport": True})):
        with pytest.raises(ConfigError):
            open_one(driver, capabilities)
    assert wrong.opened == 0
    assert threads() == set()


def test_a_storage_that_nobody_closes_takes_its_thread_along():
    storage = storage_core.open_driver(Scripted(("asyncio",)))
    storage.create_bucket("fruit")
    assert threads() == {"storage-core-loop"}
    del storage
    assert threads() == set()


def test_storages_are_freed_without_the_collector(opened: Opener, no_new_descriptors: None):
    storage = storage_core.open_driver(Scripted())
    bucket = storage.create_bucket("fruit")
    for size in (10, 10_000):
        bucket.put("a", bytes(size))
        with bucket.get("a") as reader:
            reader.read()
    with bucket.writer("b") as writer:
        writer.write(b"x")
    list(bucket.list())
    storage.close()
    gone = weakref.ref(client_of(storage).driver)
    assert gc.isenabled() is False
    del storage, bucket, reader, writer
    assert gone() is None


def test_asyncio_has_nothing_to_complain_of(caplog: pytest.LogCaptureFixture):
    async def main(io: str) -> None:
        async with aio.open_driver(Streamed((io,))) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", bytes(5000))
            async with bucket.get("a") as reader:
                async for _ in reader:
                    break
            async for _ in bucket.list(page_size=1):
                break
            with pytest.raises(storage_core.ObjectNotFoundError):
                await bucket.head("missing")
            async with bucket.writer("b") as writer:
                await writer.write(b"x")
            file = await bucket.open("a")
            async with file:
                await file.read(5)
            await storage.delete_bucket("fruit", force=True)

    with caplog.at_level(logging.DEBUG):
        run(lambda: main("blocking"))
        run(lambda: main("asyncio"))
    gc.collect()
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []
