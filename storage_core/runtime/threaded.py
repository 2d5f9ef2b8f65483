"""`Threaded`: the async face over a driver that blocks."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from storage_core.deadline import current
from storage_core.errors import ClosedError
from storage_core.runtime import AsyncRuntime, Releasable, drive
from storage_core.runtime.tasks import interrupted_after
from storage_core.waiting import SUSPENDED

if TYPE_CHECKING:
    from storage_core.driver import IO

T = TypeVar("T")

WORKERS = 32
"""Threads a storage of the async face uses at most for a driver with blocking I/O."""


class _Cancelled(BaseException):
    """Unwinds a coroutine in a worker thread whose caller is gone."""


class _Pull(Generic[T]):
    """Awaited by a coroutine in a worker thread, it takes the coroutine back to the caller's
    loop, where the next item of his iterator is waited for; no thread waits meanwhile."""

    def __init__(self, iterator: AsyncIterator[T], seconds: float | None) -> None:
        self.iterator = iterator
        self.seconds = seconds

    def __await__(self) -> Generator[_Pull[T], T, T]:
        return (yield self)


class _Done(NamedTuple):
    """The result of a coroutine."""

    value: Any


class _Call:
    """A coroutine on its way, by turns in a worker thread and in its caller's task."""

    __slots__ = ("_loop", "_task", "cancelled", "deadline", "pulling")

    def __init__(self) -> None:
        self.deadline: float | None = None
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self.cancelled = threading.Event()
        self.pulling = False

    def cancel(self) -> None:
        self.cancelled.set()
        if self.pulling and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)


class _Carried(threading.local):
    """What this worker thread is busy with."""

    call: _Call | None = None


class Threaded(AsyncRuntime):
    """Worker threads. A cancelled call is told so at its next piece of body; the caller
    gets his `CancelledError` once the thread has let go, so nothing goes on behind him."""

    io: IO = "blocking"

    def __init__(self) -> None:
        # By process, as a forked child has none of its parent's threads.
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._calls: set[_Call] = set()
        self._carried = _Carried()
        self._closed = False

    def _workers(self) -> ThreadPoolExecutor:
        pid = os.getpid()
        pool = self._pools.get(pid)
        if pool is None:
            made = ThreadPoolExecutor(WORKERS, thread_name_prefix="storage-core")
            pool = self._pools.setdefault(pid, made)
        return pool

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            return drive(coroutine)  # refuses, or lets go of what was closed with the driver
        call = _Call()
        self._calls.add(call)
        step: Callable[[], object] = lambda: coroutine.send(None)  # noqa: E731
        try:
            while True:
                outcome = await self._in_thread(step, call)
                if isinstance(outcome, _Done):
                    return outcome.value  # type: ignore[no-any-return]
                if not isinstance(outcome, _Pull):
                    raise RuntimeError(SUSPENDED)  # noqa: TRY004 - the driver's fault
                step = await self._pulled(coroutine, outcome, call)
        except _Cancelled:
            raise _closed_error() from None
        finally:
            self._calls.discard(call)
            if not inspect.iscoroutine(coroutine) or not coroutine.cr_running:
                coroutine.close()  # else its thread, told to stop, ends it

    async def _in_thread(self, step: Callable[[], object], call: _Call) -> object:
        """Carry the coroutine to its end, or to the next item it wants."""
        if self._closed:
            return self._drive(step, call)  # what is left to do is to clean up
        work = self._workers().submit(copy_context().run, self._drive, step, call)
        future = asyncio.wrap_future(work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if work.cancel() or work.cancelled():  # no thread had begun with it
                if self._closed and not _caller_is_cancelled():
                    raise _closed_error() from None
                raise
            call.cancelled.set()
            future.add_done_callback(_let_go)
            await asyncio.wait([future])
            raise

    def _drive(self, step: Callable[[], object], call: _Call) -> object:
        self._carried.call = call
        current.at = call.deadline  # goes along from thread to thread
        try:
            return step()
        except StopIteration as stop:
            return _Done(stop.value)
        finally:
            self._carried.call = None
            call.deadline, current.at = current.at, None

    async def _pulled(
        self, coroutine: Coroutine[Any, Any, T], pull: _Pull[Any], call: _Call
    ) -> Callable[[], object]:
        """The step that hands the coroutine its item, or what came instead of it: the end,
        the iterator's own failure, the deadline, or the caller's cancellation."""
        call.pulling = True
        try:
            item = await interrupted_after(pull.seconds, _item(pull.iterator))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and task.cancelling() == 1:
                task.uncancel()  # it was `close` that asked
            else:
                call.cancelled.set()
                with contextlib.suppress(_Cancelled):  # the coroutine cleans up first
                    await self._in_thread(lambda: coroutine.throw(_Cancelled()), _Call())
                raise
            return lambda: coroutine.throw(_Cancelled())
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is the caller's
            error = failure  # the name `failure` ends with this block
            return lambda: coroutine.throw(error)
        finally:
            call.pulling = False
        return lambda: coroutine.send(item)

    async def sleep(self, seconds: float) -> None:
        call = self._carried.call
        if call is None:
            time.sleep(seconds)  # noqa: ASYNC251 - carried by a worker thread
        elif call.cancelled.wait(seconds):
            raise _Cancelled

    async def pull(self, iterator: AsyncIterator[T], seconds: float | None = None) -> T:
        if self._carried.call is None:
            raise RuntimeError("an async iterator was read outside of its call")
        item: T = await _Pull(iterator, seconds)
        return item

    def checkpoint(self) -> None:
        call = self._carried.call
        if call is not None and call.cancelled.is_set():
            raise _Cancelled

    def open(self) -> None:
        self._closed = False

    def close(self) -> None:
        self._closed = True
        for call in tuple(self._calls):
            call.cancel()
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            # Busy threads may need this loop to get on, so it must not wait for them.
            pool.shutdown(wait=not self._calls, cancel_futures=True)


async def _item(iterator: AsyncIterator[T]) -> T:
    return await anext(iterator)


def _closed_error() -> ClosedError:
    return ClosedError("the storage was closed during the call")


def _caller_is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _let_go(future: asyncio.Future[Any]) -> None:
    """Release a result that came too late."""
    if not future.cancelled() and future.exception() is None:
        outcome = future.result()
        if isinstance(outcome, _Done) and isinstance(outcome.value, Releasable):
            drive(outcome.value.close())
