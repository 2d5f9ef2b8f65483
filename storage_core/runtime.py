"""Who carries a coroutine: the only module that knows both faces and both kinds of I/O.

The logic of the library and of its drivers is written once, as coroutines.

=============  =====================  =================================================
face           driver does            carried by
=============  =====================  =================================================
blocking       blocking I/O           `Inline`: one ``send`` in the caller's own thread
blocking       asyncio only           `LoopThread`: one background loop
async          asyncio                `Direct`: the caller's loop
async          blocking I/O only      `Threaded`: a worker thread
=============  =====================  =================================================
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from storage_core.errors import ConfigError, InvalidRequestError, OperationTimeoutError

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future, ThreadPoolExecutor

    from storage_core.driver import IO, Driver

T = TypeVar("T")
P = ParamSpec("P")

WORKERS = 32
"""Threads a storage of the async face uses at most for a driver with blocking I/O."""


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends to its end.

    Raises:
        RuntimeError: it did suspend, so the driver is not as it declares.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError(
        "a coroutine suspended under blocking I/O: the driver must not declare 'blocking'"
        " in supported_io, or must do its I/O by plain calls"
    )


class Runtime(ABC):
    """What coroutines of core need from their surroundings."""

    io: IO

    async def sleep(self, seconds: float) -> None:
        """Wait, ``seconds`` at least."""
        self.checkpoint()
        time.sleep(seconds)  # noqa: ASYNC251 - there is no loop here
        self.checkpoint()

    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what may block, such as reading a caller's file."""
        return function(*args, **kwargs)

    async def pull(self, awaitable: Awaitable[T]) -> T:
        """Await something that belongs to the caller's loop, such as his async iterator."""
        raise InvalidRequestError(
            "the blocking face can not read an async iterator; use storage_core.aio"
        )

    async def within(self, seconds: float | None, awaitable: Awaitable[T]) -> T:
        """Await for ``seconds`` at most, as far as the I/O can be interrupted.

        Raises:
            OperationTimeoutError: it took longer.
        """
        return await awaitable

    def checkpoint(self) -> None:
        """Raise if the call was cancelled in the meantime."""

    def close(self) -> None:
        """Give back threads and loops."""


class BlockingRuntime(Runtime):
    """Carries coroutines for the blocking face."""

    @abstractmethod
    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return the result."""


class AsyncRuntime(Runtime):
    """Carries coroutines for the async face."""

    @abstractmethod
    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return the result."""


class Inline(BlockingRuntime):
    """The caller's thread; no loop, no other thread."""

    io: IO = "blocking"
    run = staticmethod(drive)


class LoopThread(BlockingRuntime):
    """A background thread with an event loop, made anew in a forked child."""

    io: IO = "asyncio"

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def _running(self) -> asyncio.AbstractEventLoop:
        import asyncio

        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                loop = asyncio.new_event_loop()
                threading.Thread(
                    target=loop.run_forever, name="storage-core-loop", daemon=True
                ).start()
                self._loop, self._pid = loop, os.getpid()
            return self._loop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        import asyncio

        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._running())
        try:
            return future.result()
        except BaseException:
            future.cancel()  # a KeyboardInterrupt must not leave the request running
            raise

    async def sleep(self, seconds: float) -> None:
        import asyncio

        await asyncio.sleep(seconds)

    async def within(self, seconds: float | None, awaitable: Awaitable[T]) -> T:
        return await _interrupted_after(seconds, awaitable)

    def close(self) -> None:
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None and self._pid == os.getpid():
            loop.call_soon_threadsafe(loop.stop)
            while loop.is_running():
                time.sleep(0.001)
            loop.close()


class Direct(AsyncRuntime):
    """The caller's own loop."""

    io: IO = "asyncio"

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await coroutine

    async def sleep(self, seconds: float) -> None:
        import asyncio

        await asyncio.sleep(seconds)

    async def within(self, seconds: float | None, awaitable: Awaitable[T]) -> T:
        return await _interrupted_after(seconds, awaitable)

    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        import asyncio

        return await asyncio.to_thread(function, *args, **kwargs)

    async def pull(self, awaitable: Awaitable[T]) -> T:
        return await awaitable


class Releasable(ABC):
    """A result that holds resources, which nobody receives when its call is cancelled."""

    __slots__ = ()

    @abstractmethod
    def release(self) -> None:
        """Let go at once; never waits."""


class _Cancelled(BaseException):
    """Unwinds a coroutine in a worker thread whose caller is gone."""


class _Carried(threading.local):
    """What the coroutine in this worker thread belongs to."""

    loop: asyncio.AbstractEventLoop | None = None
    cancelled: threading.Event | None = None


class Threaded(AsyncRuntime):
    """Worker threads. A cancelled call is told so at its next piece of body; the caller
    gets his `CancelledError` once the thread has let go, so nothing goes on behind him."""

    io: IO = "blocking"

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0
        self._carried = _Carried()

    def _workers(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pid != os.getpid():
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="storage-core")
            self._pid = os.getpid()
        return self._pool

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        import asyncio

        loop = asyncio.get_running_loop()
        cancelled = threading.Event()
        future = loop.run_in_executor(self._workers(), self._drive, coroutine, loop, cancelled)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.wait([future])
            if future.exception() is None and isinstance(future.result(), Releasable):
                future.result().release()  # type: ignore[attr-defined]
            raise

    def _drive(
        self,
        coroutine: Coroutine[Any, Any, T],
        loop: asyncio.AbstractEventLoop,
        cancelled: threading.Event,
    ) -> T:
        if cancelled.is_set():
            coroutine.close()
            raise RuntimeError("the call was cancelled")
        carried = self._carried
        carried.loop, carried.cancelled = loop, cancelled
        try:
            return drive(coroutine)
        except _Cancelled:
            raise RuntimeError("the call was cancelled") from None
        finally:
            carried.loop = carried.cancelled = None

    async def sleep(self, seconds: float) -> None:
        cancelled = self._carried.cancelled
        if cancelled is None:
            time.sleep(seconds)  # noqa: ASYNC251 - a worker thread
        elif cancelled.wait(seconds):
            raise _Cancelled

    async def pull(self, awaitable: Awaitable[T]) -> T:
        import asyncio

        loop = self._carried.loop
        if loop is None:
            raise RuntimeError("an async iterator was read outside of its call")

        async def adapt() -> T:
            return await awaitable

        future = asyncio.run_coroutine_threadsafe(adapt(), loop)
        while True:
            try:
                return future.result(timeout=0.1)
            except TimeoutError:
                if future.done():
                    raise
                if self._is_cancelled():
                    future.cancel()
                    raise _Cancelled from None

    def _is_cancelled(self) -> bool:
        cancelled = self._carried.cancelled
        return cancelled is not None and cancelled.is_set()

    def checkpoint(self) -> None:
        if self._is_cancelled():
            raise _Cancelled

    def close(self) -> None:
        if self._pool is not None and self._pid == os.getpid():
            self._pool.shutdown()
        self._pool = None


async def _interrupted_after(seconds: float | None, awaitable: Awaitable[T]) -> T:
    import asyncio

    try:
        async with asyncio.timeout(seconds):
            return await awaitable
    except OperationTimeoutError:
        raise
    except TimeoutError as error:
        raise OperationTimeoutError(f"no answer within {seconds:.3g} s") from error


def for_blocking_face(driver: Driver) -> BlockingRuntime:
    """The runtime that carries ``driver`` for the blocking face."""
    if "blocking" in driver.supported_io:
        return Inline()
    if "asyncio" in driver.supported_io:
        return LoopThread()
    raise _no_io(driver)


def for_async_face(driver: Driver) -> AsyncRuntime:
    """The runtime that carries ``driver`` for the async face."""
    if "asyncio" in driver.supported_io:
        return Direct()
    if "blocking" in driver.supported_io:
        return Threaded()
    raise _no_io(driver)


def _no_io(driver: Driver) -> ConfigError:
    return ConfigError(
        f"driver {driver.name!r} declares no way of I/O: its supported_io must hold"
        " 'blocking', 'asyncio' or both"
    )
