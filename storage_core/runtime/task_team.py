"""`TaskTeam`: the jobs of a transfer as tasks of the caller's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from storage_core.runtime.team import Team, Turn

T = TypeVar("T")
P = ParamSpec("P")


class _TaskTurn(Turn):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    async def wait(self) -> None:
        await self._woken.wait()

    def wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)


class TaskTeam(Team):
    """Jobs in tasks of the running loop; a cancellation of the caller reaches all of them."""

    async def together(
        self, works: Sequence[Coroutine[Any, Any, None]], few: int | None = None
    ) -> None:
        # A task more costs the others nothing, so ``few`` changes nothing.
        if not works:
            return
        tasks = [asyncio.ensure_future(work) for work in works]
        left = len(tasks)
        over = asyncio.get_running_loop().create_future()

        def ended(task: asyncio.Future[None]) -> None:
            nonlocal left
            left -= 1
            bad = task.cancelled() or task.exception() is not None
            if (bad or not left) and not over.done():
                over.set_result(None)

        for task in tasks:
            task.add_done_callback(ended)
        try:
            await over
        finally:
            await _cancelled(tasks)
        for task in tasks:
            if not task.cancelled() and (failure := task.exception()) is not None:
                try:
                    raise failure
                finally:
                    del failure, task, tasks  # its traceback leads back here
        if any(task.cancelled() for task in tasks):
            # One alone, as by what an iterator of the caller's waits for: its work is not done,
            # which must not look as if it were.
            raise asyncio.CancelledError("a job of the transfer was cancelled")

    def nested(self) -> TaskTeam:
        return TaskTeam()

    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        call = partial(copy_context().run, function, *args, **kwargs)
        work = asyncio.get_running_loop().run_in_executor(None, call)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await _ended(work)  # nothing goes on behind the caller's back
            raise

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def turn(self) -> Turn:
        return _TaskTurn()

    def lock(self) -> AbstractAsyncContextManager[object]:
        return asyncio.Lock()

    def checkpoint(self) -> None:
        """A cancelled task raises at its next ``await``; there is nothing to look at."""


async def _cancelled(tasks: Sequence[asyncio.Future[None]]) -> None:
    """Cancel what is left of tasks and wait for their ends, whatever befalls the caller."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    again: asyncio.CancelledError | None = None
    while any(not task.done() for task in left):
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as error:
            again = error
    if again is not None:
        raise again


async def _ended(work: asyncio.Future[Any]) -> None:
    """Wait for the end of what can not be cancelled, however often that is tried."""
    while not work.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([work])
    work.exception()
