"""A cancelled call ends at once and leaves nothing behind, whoever carries it."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import storage_core
from storage_core import ClosedError, OperationTimeoutError, aio
from storage_core.runtime import threaded
from tests.core.drivers import Before, Scripted, Streamed
from tests.core.running import WAIT, Slow, Watched, drain, run, until
from tests.core.sockets import Server, SocketDriver
from tests.waiting import wait_until

# --- LoopThread ----------------------------------------------------------------------


def waits(thread: int) -> bool:
    """Whether a thread waits for another one."""
    code = sys._current_frames()[thread].f_code
    return (code.co_filename, code.co_name) == (threading.__file__, "wait")


def interrupt_when(happened: threading.Event) -> threading.Thread:
    main = threading.main_thread().ident
    assert main is not None

    def work() -> None:
        assert happened.wait(WAIT)
        wait_until(lambda: waits(main))  # for the answer
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_ctrl_c_during_a_read_ends_the_request(server: Server, no_new_descriptors: None):
    with storage_core.open_driver(SocketDriver(server)) as storage:
        bucket = storage.create_bucket("fruit")
        bucket.put("stall", b"")
        ready = threading.Event()
        interrupter = interrupt_when(ready)
        with bucket.get("stall") as reader, pytest.raises(KeyboardInterrupt):
            drain(reader, server.size, ready)
        interrupter.join()
        assert server.gone.wait(WAIT)
        bucket.put("after", b"x")  # the loop goes on


@pytest.mark.parametrize("stubborn", [False, True])
def test_ctrl_c_waits_until_the_request_has_ended(stubborn: bool):
    driver = Slow(("asyncio",))
    driver.stubborn = stubborn
    with storage_core.open_driver(driver) as storage:
        bucket = storage.create_bucket("fruit")
        bucket.put("a", b"x")
        interrupter = interrupt_when(driver.begun)
        with pytest.raises(KeyboardInterrupt):
            bucket.get("a")
        interrupter.join()
        assert driver.cancelled.is_set()
        # A reader that came all the same has nobody to close it but the runtime.
        assert [stream.closed for stream in driver.made] == [True] * stubborn


# --- Direct and Threaded -------------------------------------------------------------


def test_a_cancelled_read_ends_at_once_on_a_loop(server: Server, no_new_descriptors: None):
    async def main() -> None:
        async with aio.open_driver(SocketDriver(server)) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("stall", b"")

            async def read() -> None:
                async with bucket.get("stall") as reader:
                    async for _ in reader:
                        pass

            task = asyncio.create_task(read())
            await until(server.stalled.is_set)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(server.gone.is_set)

    run(main)


def test_a_cancelled_get_in_a_thread_gives_its_reader_back():
    driver = Slow(("blocking",))

    async def main() -> None:
        async with aio.open_driver(driver) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", b"x")
            task = asyncio.create_task(bucket.get("a")._open())
            await until(driver.begun.is_set)
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()  # not before the thread has let go
            driver.go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [stream.closed for stream in driver.made] == [True]

    run(main)


def test_cancelled_twice_the_reader_is_still_given_back():
    driver = Slow(("blocking",))

    async def main() -> None:
        async with aio.open_driver(driver) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", b"x")
            task = asyncio.create_task(bucket.get("a")._open())
            await until(driver.begun.is_set)
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0.01)
            with pytest.raises(asyncio.CancelledError):
                await task
            driver.go_on.set()
            await until(lambda: bool(driver.made and driver.made[0].closed))

    run(main)


def test_a_cancelled_put_stops_at_its_next_piece():
    driver = Scripted(("blocking",))

    async def main() -> None:
        given = []

        def endless() -> Iterator[bytes]:
            while True:
                given.append(1)
                yield b"x"

        async with aio.open_driver(driver) as storage:
            bucket = await storage.create_bucket("fruit")
            task = asyncio.create_task(bucket.put("a", endless()))
            await until(lambda: len(given) > 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            stopped = len(given)
            assert not await bucket.exists("a")
            assert len(given) == stopped

    run(main)


@pytest.mark.parametrize("io", ["blocking", "asyncio"])
def test_a_put_waiting_for_its_body_is_cancelled_at_once(io: str):
    async def main() -> None:
        waiting = asyncio.Event()
        unwound = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"x"
            waiting.set()
            try:
                await asyncio.sleep(WAIT * 100)
            finally:
                await asyncio.sleep(0)
                unwound.set()

        async with aio.open_driver(Scripted((io,))) as storage:
            bucket = await storage.create_bucket("fruit")
            task = asyncio.create_task(bucket.put("a", endless()))
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert unwound.is_set()  # nothing goes on behind
            assert not await bucket.exists("a")

    run(main)


def test_a_call_that_waits_for_a_thread_is_cancelled_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threaded, "WORKERS", 1)
    driver = Slow(("blocking",))

    async def main() -> None:
        async with aio.open_driver(driver) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", b"x")
            busy = asyncio.create_task(bucket.get("a")._open())
            await until(driver.begun.is_set)
            queued = asyncio.create_task(bucket.put("b", b"x"))
            await asyncio.sleep(0.01)
            queued.cancel()
            with pytest.raises(asyncio.CancelledError):
                await queued  # while the only thread is busy
            driver.go_on.set()
            await (await busy).close()
            assert not await bucket.exists("b")

    run(main)


def test_a_wait_between_tries_is_cancelled_at_once():
    driver = Scripted(("blocking",))
    tried = threading.Event()

    async def main() -> None:
        async with aio.open_driver(driver) as storage:
            await storage.create_bucket("fruit")
            error = storage_core.UnavailableError("x", retry_after=WAIT * 100)
            driver.script["head"] = [error]
            driver.script["head_bucket"] = [Before(lambda _: tried.set())]
            task = asyncio.create_task(storage.bucket("fruit").exists("a"))
            await until(lambda: "head" in driver.names())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main)


@pytest.mark.parametrize("io", ["blocking", "asyncio"])
def test_after_a_cancelled_read_nothing_is_read_over_the_gap(io: str):
    """Bytes may have been lost with the read, so that the reader must not go on."""
    go_on = threading.Event()
    reading = threading.Event()

    class Waits(Streamed):
        async def get(self, request: Any) -> Any:
            stream: Any = await super().get(request)
            inner = stream.read

            async def read(size: int) -> bytes:
                if stream.position:
                    reading.set()
                    if self.io == "asyncio":
                        await asyncio.sleep(WAIT * 100)
                    else:
                        assert go_on.wait(WAIT)
                return await inner(size)

            return ReadBy(stream, read)

    async def main() -> None:
        async with aio.open_driver(Waits((io,))) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", bytes(5000))
            async with bucket.get("a", verify=False) as reader:
                assert len(await reader.read(1000)) == 1000
                task = asyncio.create_task(reader.read(1000))
                await until(reading.is_set)
                task.cancel()
                await asyncio.sleep(0)
                go_on.set()
                with pytest.raises(asyncio.CancelledError):
                    await task
                with pytest.raises(ClosedError, match="cancelled"):
                    await reader.read(1000)

    run(main)


class ReadBy(Watched):
    def __init__(self, stream: Any, read: Any) -> None:
        super().__init__(stream)
        self.read = read
        self.checksum = None


@pytest.mark.parametrize("io", ["blocking", "asyncio"])
def test_a_body_that_does_not_come_is_a_timeout(io: str):
    async def main() -> None:
        asked = asyncio.Event()
        unwound = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"x"
            asked.set()
            try:
                await asyncio.sleep(WAIT * 100)
            finally:
                unwound.set()

        async with aio.open_driver(Scripted((io,))) as storage:
            bucket = await storage.create_bucket("fruit")
            for seconds in (0.05, 0.5, 5, 50):
                with pytest.raises(OperationTimeoutError) as caught:
                    await bucket.put("a", endless(), deadline=seconds)
                assert caught.value.operation == "put"
                if asked.is_set():  # else it passed before, on a busy machine
                    break
            assert asked.is_set()
            await until(unwound.is_set)
            assert not await bucket.exists("a")

    run(main)
