"""`Threaded`: the async face over a driver that blocks."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from storage_core.errors import ClosedError
from storage_core.runtime import AsyncRuntime, Releasable, drive
from storage_core.runtime.tasks import RemoteTask

if TYPE_CHECKING:
    from storage_core.driver import IO

T = TypeVar("T")

WORKERS = 32
"""Threads a storage of the async face uses at most for a driver with blocking I/O."""


class _Cancelled(BaseException):
    """Unwinds a coroutine in a worker thread whose caller is gone."""


class _Call:
    """A coroutine in a worker thread: the loop it works for, and whether it is wanted."""

    __slots__ = ("_pulling", "cancelled", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.cancelled = threading.Event()
        self._pulling: RemoteTask[Any] | None = None

    def cancel(self) -> None:
        self.cancelled.set()
        if (pulling := self._pulling) is not None:
            pulling.cancel()

    def pull(self, iterator: AsyncIterator[T]) -> T:
        self._pulling = task = RemoteTask(self.loop, _item(iterator))
        try:
            if self.cancelled.is_set():
                task.cancel()
            return task.result()
        except ClosedError:
            if self.cancelled.is_set():
                raise _Cancelled from None
            raise
        finally:
            self._pulling = None


async def _item(iterator: AsyncIterator[T]) -> T:
    return await anext(iterator)


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
        call = _Call(asyncio.get_running_loop())
        work = self._workers().submit(copy_context().run, self._drive, coroutine, call)
        future = asyncio.wrap_future(work)
        self._calls.add(call)
        try:
            return await asyncio.shield(future)
        except _Cancelled:
            raise ClosedError("the storage was closed during the call") from None
        except asyncio.CancelledError:
            if work.cancel() or work.cancelled():
                coroutine.close()  # no thread had begun with it
                if self._closed and not _caller_is_cancelled():
                    raise ClosedError("the storage was closed during the call") from None
                raise
            call.cancel()
            future.add_done_callback(_let_go)
            await asyncio.wait([future])
            raise
        finally:
            self._calls.discard(call)

    def _drive(self, coroutine: Coroutine[Any, Any, T], call: _Call) -> T:
        self._carried.call = call
        try:
            self.checkpoint()
            return drive(coroutine)
        finally:
            self._carried.call = None
            coroutine.close()

    async def sleep(self, seconds: float) -> None:
        call = self._carried.call
        if call is None:
            time.sleep(seconds)  # noqa: ASYNC251 - carried by a worker thread
        elif call.cancelled.wait(seconds):
            raise _Cancelled

    async def pull(self, iterator: AsyncIterator[T]) -> T:
        call = self._carried.call
        if call is None:
            raise RuntimeError("an async iterator was read outside of its call")
        return call.pull(iterator)

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


def _caller_is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _let_go(future: asyncio.Future[Any]) -> None:
    """Release a result that came too late."""
    if not future.cancelled() and future.exception() is None:
        result = future.result()
        if isinstance(result, Releasable):
            drive(result.close())
