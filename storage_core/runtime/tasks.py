"""Coroutines on an event loop: from another thread, and for a limited time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from storage_core.errors import ClosedError, OperationTimeoutError
from storage_core.runtime import check_left

T = TypeVar("T")


class RemoteTask(Generic[T]):
    """A coroutine on the loop of another thread."""

    __slots__ = ("_ended", "_loop", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> None:
        self._ended: Future[asyncio.Task[T]] = Future()
        self._loop = loop
        self._task: asyncio.Task[T] | None = None
        loop.call_soon_threadsafe(self._start, coroutine)

    def _start(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._task = self._loop.create_task(coroutine)
        self._task.add_done_callback(self._ended.set_result)

    def cancel(self) -> None:
        """Ask it to end."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()

    @property
    def done(self) -> bool:
        return self._ended.done()

    def result(self) -> T:
        """Wait for its end.

        Raises:
            ClosedError: it was cancelled, which without `cancel` only closing does.
        """
        task = self._ended.result()
        if task.cancelled():
            raise ClosedError("the storage was closed during the call")
        return task.result()

    def wait(self) -> T | None:
        """Wait for its end, whatever that is; its result, if it has one."""
        task = self._ended.result()
        return None if task.cancelled() or task.exception() is not None else task.result()


async def interrupted_after(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """Await for ``seconds`` at most; cancel the work then.

    Raises:
        OperationTimeoutError: it took longer.
    """
    if seconds is None:
        return await work
    check_left(seconds, work)
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except TimeoutError as error:
        if isinstance(error, OperationTimeoutError) or not limit.expired():
            raise  # the driver's own
        raise OperationTimeoutError(f"no answer within {seconds:.3g} s") from error
