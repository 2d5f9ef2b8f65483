"""`LoopThread`: the blocking face over a driver that only knows asyncio."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from storage_core.errors import ClosedError
from storage_core.runtime import BlockingRuntime, Releasable, drive
from storage_core.runtime.tasks import RemoteTask, interrupted_after

if TYPE_CHECKING:
    from storage_core.driver import IO

T = TypeVar("T")
P = ParamSpec("P")


class LoopThread(BlockingRuntime):
    """A background thread with an event loop, made anew in a forked child."""

    io: IO = "asyncio"

    def __init__(self) -> None:
        # By process: a child neither uses nor closes what its parent's thread works with.
        self._loops: dict[int, _Loop] = {}
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            return drive(coroutine)  # refuses, or lets go of what was closed with the driver
        loop = self._loops.get(os.getpid()) or self._made()
        task = loop.start(coroutine)
        try:
            return task.result()
        except BaseException:  # such as KeyboardInterrupt while waiting
            if not task.done:
                task.cancel()
                if isinstance(missed := task.wait(), Releasable):
                    loop.start(missed.close()).wait()
            raise

    def _made(self) -> _Loop:
        loop = self._loops.setdefault(os.getpid(), _Loop())
        weakref.finalize(self, loop.close)  # for a storage that nobody closes
        return loop

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def within(self, seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
        return await interrupted_after(seconds, work)

    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        # Not on the loop: the caller's file or generator may use this very storage.
        return await asyncio.to_thread(function, *args, **kwargs)

    def open(self) -> None:
        self._closed = False

    def close(self) -> None:
        self._closed = True
        loop = self._loops.pop(os.getpid(), None)
        if loop is not None:
            loop.close()


class _Loop:
    """The loop of one process, with its thread; started by the first call."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def start(self, coroutine: Coroutine[Any, Any, T]) -> RemoteTask[T]:
        """Begin to run a coroutine."""
        with self._lock:
            if self._closed:
                coroutine.close()
                raise ClosedError("the storage is closed")
            if self._loop is None:
                self._loop = self._started()
            return RemoteTask(self._loop, coroutine)

    def _started(self) -> asyncio.AbstractEventLoop:
        ready: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(ready,), name="storage-core-loop", daemon=True
        )
        self._thread.start()
        return ready.result()

    @staticmethod
    def _serve(ready: Future[asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner() as runner:  # cancels what is left and closes the loop at its end
            loop = runner.get_loop()
            ready.set_result(loop)
            loop.run_forever()

    def close(self) -> None:
        """Cancel what runs, and wait until the thread is gone; may be called twice."""
        if self._pid != os.getpid():
            return  # the parent's: its thread is not here, but its self-pipe is
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
            # Calls begun before are ahead of this in the loop's queue; none come after it.
            if loop is not None:
                loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
