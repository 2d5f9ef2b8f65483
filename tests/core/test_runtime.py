"""Who carries a coroutine: the right thread, time limits, forks and several loops."""

from __future__ import annotations

import asyncio
import contextvars
import os
import pickle
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import storage_core
from storage_conformance.faces import Portal
from storage_core import ConfigError, aio
from storage_core.errors import OperationTimeoutError
from storage_core.runtime import Inline, drive, for_async_face, for_blocking_face, threaded
from storage_core.runtime.direct import Direct
from storage_core.runtime.loop_thread import LoopThread
from storage_core.runtime.threaded import Threaded
from tests.core.conftest import Opener
from tests.core.drivers import Scripted, Streamed
from tests.core.running import WAIT, Slow, begun, drain, run, threads
from tests.core.sockets import Server, SocketDriver

# --- drive ---------------------------------------------------------------------------


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


# --- the four carriers ---------------------------------------------------------------


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
    with storage_core.open_driver(driver) as storage:
        storage.create_bucket("fruit").put("a", b"x")
        assert begun() == set()
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


@pytest.mark.parametrize("io", ["blocking", "asyncio"])
def test_an_async_body_may_use_the_very_storage(io: str, monkeypatch: pytest.MonkeyPatch):
    """Also where there is but one worker thread: nothing holds it while the body is awaited."""
    monkeypatch.setattr(threaded, "WORKERS", 1)

    async def main() -> None:
        async with aio.open_driver(Streamed((io,))) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", b"x" * 5000)

            async def pieces() -> AsyncIterator[bytes]:
                async with bucket.get("a") as reader:
                    async for chunk in reader:
                        yield chunk

            assert (await bucket.put("b", pieces())).size == 5000
            async with bucket.get("a") as reader:
                assert (await bucket.put("c", reader)).size == 5000

    run(main)


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


# --- time limits ---------------------------------------------------------------------


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
    with bucket.get("stall", verify=False, deadline=WAIT) as reader:
        core: Any = getattr(reader, "_target", reader)._core
        core._deadline.at = time.monotonic() + 0.3  # now that the connection is there
        with pytest.raises(OperationTimeoutError) as caught:
            drain(reader, server.size)
        assert (caught.value.operation, caught.value.key) == ("get", "stall")
        with pytest.raises(OperationTimeoutError):
            reader.read(1)
    assert server.gone.wait(WAIT)


# --- forks and several loops ---------------------------------------------------------


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
