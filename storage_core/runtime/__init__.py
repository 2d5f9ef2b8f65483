"""Who carries a coroutine: the only package that knows both faces and both kinds of I/O.

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

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from storage_core.deadline import current, deadline
from storage_core.errors import ConfigError, OperationTimeoutError
from storage_core.waiting import Wait
from storage_core.waiting import drive as drive

if TYPE_CHECKING:
    from storage_core.driver import IO, Driver

T = TypeVar("T")
P = ParamSpec("P")


class Runtime(ABC):
    """What coroutines of core need from their surroundings."""

    io: IO
    async_bodies = False
    """Whether a body may be an async iterable."""

    async def sleep(self, seconds: float) -> None:
        """Wait, ``seconds`` at least."""
        self.checkpoint()
        if current.carrier is not None:
            await Wait(until=time.monotonic() + seconds).give_way()
        else:
            time.sleep(seconds)  # noqa: ASYNC251 - the face blocks
        self.checkpoint()

    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what may block, such as reading a caller's file."""
        if current.carrier is not None:
            return await current.carrier.blocking(partial(function, *args, **kwargs))
        return function(*args, **kwargs)

    async def pull(self, iterator: AsyncIterator[T], seconds: float | None = None) -> T:
        """The next item of a caller's async iterator, from the loop it belongs to.

        Raises:
            StopAsyncIteration: there is none.
            OperationTimeoutError: it did not come within ``seconds``.
        """
        raise NotImplementedError

    async def within(self, seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
        """Await for ``seconds`` at most, as far as the I/O can be interrupted.

        Raises:
            OperationTimeoutError: it took longer, or there was no time left to begin with.
        """
        check_left(seconds, work)
        with deadline(seconds):
            return await work

    def checkpoint(self) -> None:
        """Raise if the call was cancelled in the meantime."""

    def open(self) -> None:
        """Get ready to carry, also after `close`."""

    def close(self) -> None:
        """Give back threads and loops. Calls on their way end with `ClosedError`."""


class BlockingRuntime(Runtime):
    """Carries coroutines for the blocking face."""

    @abstractmethod
    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return the result."""

    async def carry(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """As `run`, for coroutines that use storages of several runtimes."""
        return self.run(coroutine)


class AsyncRuntime(Runtime):
    """Carries coroutines for the async face."""

    async_bodies = True

    @abstractmethod
    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return the result."""

    async def carry(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """As `run`, for coroutines that use storages of several runtimes."""
        return await self.run(coroutine)


class Releasable(ABC):
    """A result that holds resources, which nobody receives when its call is cancelled."""

    __slots__ = ()

    @abstractmethod
    async def close(self) -> None:
        """Let go of them."""


class Inline(BlockingRuntime):
    """The caller's thread; no loop, no other thread."""

    io: IO = "blocking"
    run = staticmethod(drive)

    async def carry(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await coroutine


def check_left(seconds: float | None, work: Coroutine[Any, Any, Any]) -> None:
    """Refuse to begin work for which there is no time.

    Raises:
        OperationTimeoutError: ``seconds`` are used up.
    """
    if seconds is not None and seconds <= 0:
        work.close()
        raise OperationTimeoutError("the deadline passed", unsent=True)


def for_blocking_face(driver: Driver) -> BlockingRuntime:
    """The runtime that carries ``driver`` for the blocking face."""
    if "blocking" in driver.supported_io:
        return Inline()
    if "asyncio" in driver.supported_io:
        from storage_core.runtime.loop_thread import LoopThread

        return LoopThread()
    raise _no_io(driver)


def for_async_face(driver: Driver) -> AsyncRuntime:
    """The runtime that carries ``driver`` for the async face."""
    if "asyncio" in driver.supported_io:
        from storage_core.runtime.direct import Direct

        return Direct()
    if "blocking" in driver.supported_io:
        from storage_core.runtime.threaded import Threaded

        return Threaded()
    raise _no_io(driver)


def _no_io(driver: Driver) -> ConfigError:
    return ConfigError(
        f"driver {driver.name!r} declares no way of I/O: its supported_io must hold"
        " 'blocking', 'asyncio' or both"
    )
