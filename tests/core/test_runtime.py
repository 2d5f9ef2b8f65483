"""Who carries a coroutine: the right thread, cancellation that leaves nothing behind, forks,
several loops, and closing."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import pickle
import signal
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import storage_core
from storage_conformance.faces import Portal
from storage_core import ClosedError, ConfigError, aio
from storage_core.errors import OperationTimeoutError
from storage_core.runtime import Inline, drive, for_async_face, for_blocking_face, threaded
from storage_core.runtime.direct import Direct
from storage_core.runtime.loop_thread import LoopThread
from storage_core.runtime.threaded import Threaded
from tests.core.conftest import Opener, client_of
from tests.core.drivers import Before, Scripted, Streamed
from tests.core.sockets import Server, SocketDriver, serving

WAIT = 20
"""Seconds a test waits for what must happen; only a failing one waits that long."""


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """A fresh loop in debug mode, which complains of all that is left behind."""

    async def watched() -> Any:
        asyncio.get_running_loop().slow_callback_duration = WAIT
        return await main()

    return asyncio.run(watched(), debug=True)


async def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not happened():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def drain(reader: Any, size: int, begun: threading.Event | None = None) -> None:
    if begun is not None:
        begun.set()
    while reader.read(size):
        pass


def threads() -> set[str]:
    return {one.name for one in threading.enumerate() if one.name.startswith("storage-core")}


# --- drive ------------------------------------------------------------------------------


def test_a_coroutine_that_never_suspends_is_driven():
    async def inner() -> int:
        return 7

    async def outer() -> int:
        return await inner()

    assert drive(outer()) == 7


def test_its_exceptions_pass():
    async def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        drive(broken())


def test_one_that_suspends_is_refused_and_unwound():
    unwound = []

    async def suspending() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            unwound.append(True)

    with pytest.raises(RuntimeError, match="must not declare 'blocking'"):
        drive(suspending())
    assert unwound == [True]


# --- the four carriers --------------------------------------------------------------------


class Placed(Scripted):
    """Notes where its requests run."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.places: list[tuple[int, asyncio.AbstractEventLoop | None]] = []

    async def put(self, request: Any) -> Any:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        self.places.append((threading.get_ident(), loop))
        return await super().put(request)


def test_the_carrier_follows_face_and_driver():
    both, blocking, only_loop = (
        Scripted(io) for io in (("blocking", "asyncio"), ("blocking",), ("asyncio",))
    )
    assert isinstance(for_blocking_face(both), Inline)
    assert isinstance(for_blocking_face(blocking), Inline)
    assert isinstance(for_blocking_face(only_loop), LoopThread)
    assert isinstance(for_async_face(both), Direct)
    assert isinstance(for_async_face(only_loop), Direct)
    assert isinstance(for_async_face(blocking), Threaded)
    for choose in (for_blocking_face, for_async_face):
        with pytest.raises(ConfigError, match="supported_io"):
            choose(Scripted(()))


def test_inline_works_in_the_callers_thread():
    driver = Placed(("blocking",))
    before = threading.active_count()
    with storage_core.open_driver(driver) as storage:
        storage.create_bucket("fruit").put("a", b"x")
        assert threading.active_count() == before
    assert driver.places == [(threading.get_ident(), None)]


def test_one_background_loop_serves_all_threads():
    driver = Placed(("asyncio",))
    with storage_core.open_driver(driver) as storage:
        bucket = storage.create_bucket("fruit")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: bucket.put(f"{n}", b"x"), range(40)))
        assert threads() == {"storage-core-loop"}
        assert len(list(bucket.list())) == 40
    assert len(set(driver.places)) == 1
    assert driver.places[0][0] != threading.get_ident()
    assert driver.places[0][1] is not None
    assert driver.places[0][1].is_closed()
    assert threads() == set()


def test_direct_works_on_the_callers_loop():
    driver = Placed(("asyncio",))

    async def main() -> None:
        async with aio.open_driver(driver) as storage:
            bucket = await storage.create_bucket("fruit")
            await asyncio.gather(*(bucket.put(f"{n}", b"x") for n in range(10)))
        assert set(driver.places) == {(threading.get_ident(), asyncio.get_running_loop())}

    run(main)


def test_threaded_works_in_worker_threads():
    driver = Placed(("blocking",))

    async def main() -> None:
        async with aio.open_driver(driver) as storage:
            bucket = await storage.create_bucket("fruit")
            await asyncio.gather(*(bucket.put(f"{n}", b"x") for n in range(50)))
        assert threads() == set()

    run(main)
    assert threading.get_ident() not in {ident for ident, _ in driver.places}
    assert {loop for _, loop in driver.places} == {None}


NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")


def test_context_variables_reach_the_body(opened: Opener):
    seen = []

    def pieces() -> Iterator[bytes]:
        seen.append(NAME.get())
        yield b"x"

    bucket = opened().create_bucket("fruit")
    token = NAME.set("caller")
    try:
        bucket.put("a", pieces())
    finally:
        NAME.reset(token)
    assert seen == ["caller"]


@pytest.mark.parametrize("carrier", ["inline", "loop_thread"], indirect=True)
def test_a_body_may_use_the_very_storage(opened: Opener):
    bucket = opened(Streamed()).create_bucket("fruit")
    bucket.put("a", b"x" * 5000)

    def pieces() -> Iterator[bytes]:
        with bucket.get("a") as reader:
            yield from reader

    assert bucket.put("b", pieces()).size == 5000
    with bucket.get("a") as reader:
        assert bucket.put("c", reader).size == 5000


def test_a_storage_is_pickled_by_what_it_was_made_from(carrier: str, portal: Portal):
    driver = Scripted(("asyncio",) if carrier in {"loop_thread", "direct"} else ("blocking",))
    if carrier in {"inline", "loop_thread"}:
        with (
            storage_core.open_driver(driver, profile="p") as storage,
            pickle.loads(pickle.dumps(storage)) as twin,
        ):
            assert (twin.profile, twin.closed) == ("p", False)
            assert twin.driver is not storage.driver
            twin.create_bucket("fruit")
            bucket = pickle.loads(pickle.dumps(twin.bucket("fruit")))
            assert bucket.name == "fruit"
            bucket.storage.close()
        return

    async def main() -> None:
        async with aio.open_driver(driver, profile="p") as storage:
            twin = pickle.loads(pickle.dumps(storage))
            assert twin.closed
            async with twin:
                await twin.create_bucket("fruit")

    run(main)


# --- time limits --------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", [Inline(), Threaded(), Direct(), LoopThread()], ids=type)
def test_no_time_left_is_no_try(runtime: Any):
    async def work() -> None:
        raise AssertionError("begun")

    async def main() -> None:
        for seconds in (0, -1.0):
            with pytest.raises(OperationTimeoutError, match="deadline passed"):
                await runtime.within(seconds, work())

    run(main)


@pytest.mark.parametrize("runtime", [Direct(), LoopThread()], ids=type)
def test_work_is_cancelled_when_its_time_is_up(runtime: Any):
    async def main() -> None:
        ended = []

        async def work() -> None:
            try:
                await asyncio.sleep(WAIT * 100)
            finally:
                ended.append(True)

        with pytest.raises(OperationTimeoutError, match=r"within 0\.01 s"):
            await runtime.within(0.01, work())
        assert ended == [True]

    run(main)


@pytest.mark.parametrize("seconds", [None, 1000.0])
@pytest.mark.parametrize("runtime", [Inline(), Threaded(), Direct(), LoopThread()], ids=type)
def test_a_timeout_of_the_drivers_own_is_left_to_it(runtime: Any, seconds: float | None):
    async def work() -> None:
        raise TimeoutError("the socket's")

    async def main() -> None:
        with pytest.raises(TimeoutError, match="the socket's") as caught:
            await runtime.within(seconds, work())
        assert type(caught.value) is TimeoutError

    run(main)


@pytest.mark.parametrize("carrier", ["loop_thread", "direct"], indirect=True)
def test_a_deadline_interrupts_a_stalled_read(opened: Opener, server: Server, carrier: str):
    bucket = opened(SocketDriver(server)).create_bucket("fruit")
    bucket.put("stall", bytes(server.size))
    with bucket.get("stall", verify=False, deadline=0.3) as reader:
        with pytest.raises(OperationTimeoutError) as caught:
            drain(reader, server.size)
        assert (caught.value.operation, caught.value.key) == ("get", "stall")
        with pytest.raises(OperationTimeoutError):
            reader.read(1)
    assert server.gone.wait(WAIT)


# --- cancellation: LoopThread -------------------------------------------------------------


def interrupt_when(happened: threading.Event) -> threading.Thread:
    main = threading.main_thread().ident
    assert main is not None

    def work() -> None:
        assert happened.wait(WAIT)
        time.sleep(0.02)  # until the main thread waits for an answer
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


class Slow(Scripted):
    """A get that waits, and an open reader behind it."""

    def __init__(self, io: tuple[str, ...]) -> None:
        super().__init__(io)
        self.begun = threading.Event()
        self.cancelled = threading.Event()
        self.go_on = threading.Event()
        self.stubborn = False
        self.made: list[Any] = []

    async def get(self, request: Any) -> Any:
        self.begun.set()
        if self.io == "blocking":
            assert self.go_on.wait(WAIT)
        else:
            try:
                await until(self.go_on.is_set)
            except asyncio.CancelledError:
                self.cancelled.set()
                if not self.stubborn:
                    raise
        stream = await super().get(request)
        self.made.append(Watched(stream))
        return self.made[-1]


class Watched:
    """A stream that tells whether it was closed."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.closed = False
        self.data = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    async def close(self) -> None:
        self.closed = True


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


# --- cancellation: Direct and Threaded ----------------------------------------------------


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

    class Waits(Streamed):
        async def get(self, request: Any) -> Any:
            stream: Any = await super().get(request)
            inner = stream.read

            async def read(size: int) -> bytes:
                if stream.position:
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
                await asyncio.sleep(0.02)
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


# --- forks and several loops --------------------------------------------------------------


def in_child(work: Callable[[], None]) -> None:
    """Run it in a forked child, which must end well."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(WAIT)
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize("io", ["blocking", "asyncio"])
def test_a_blocking_storage_works_in_parent_and_child(io: str):
    with storage_core.open_driver(Scripted((io,))) as storage:
        bucket = storage.create_bucket("fruit")
        bucket.put("a", b"x")

        def work() -> None:
            bucket.put("b", b"y")
            with bucket.get("a") as reader:
                assert reader.read() == b"x"
            storage.close()

        in_child(work)
        bucket.put("c", b"z")  # the child took nothing away
        in_child(work)
        assert [item.key for item in bucket.list()] == ["a", "c"]


def test_a_fork_while_the_loop_is_busy():
    driver = Slow(("asyncio",))
    with storage_core.open_driver(driver) as storage:
        bucket = storage.create_bucket("fruit")
        bucket.put("a", b"x")
        with ThreadPoolExecutor(1) as pool:
            busy = pool.submit(bucket.get, "a")
            assert driver.begun.wait(WAIT)

            def work() -> None:
                bucket.put("b", b"y")
                storage.close()

            in_child(work)
            driver.go_on.set()
            busy.result(WAIT).close()


def test_an_async_storage_works_in_a_child_with_its_own_loop():
    storage: Any = aio.open_driver(Scripted(("blocking",)))

    async def use(key: str) -> None:
        bucket = storage.bucket("fruit")
        await bucket.put(key, b"x")
        assert await bucket.exists(key)

    async def begin() -> None:
        await storage
        await storage.create_bucket("fruit")
        await use("a")

    run(begin)
    in_child(lambda: asyncio.run(use("b")))
    run(lambda: use("c"))
    run(storage.close)
    assert threads() == set()


@pytest.mark.parametrize("io", ["blocking", "asyncio"])
def test_one_async_storage_on_several_loops(io: str):
    storage: Any = aio.open_driver(Scripted((io,)))

    async def begin() -> None:
        await storage
        await storage.create_bucket("fruit")

    async def use(n: int) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"x" * n

        await storage.bucket("fruit").put(f"{n}", pieces())

    run(begin)
    for n in range(3):
        asyncio.run(use(n), debug=True)
    if io == "blocking":  # these may even run at once
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: asyncio.run(use(n)), range(3, 9)))
    run(storage.close)


# --- closing ------------------------------------------------------------------------------


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
