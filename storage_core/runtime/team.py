"""`Team`: several coroutines of one transfer at a time, as threads or as tasks.

The blocking face carries each job in a thread of its own (`ThreadTeam`), the async face in a
task of the caller's loop (`storage_core.runtime.task_team`). What jobs share is guarded by plain
locks that are never held over an ``await``; what they wait for is a `Turn`.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from storage_core.runtime import drive

T = TypeVar("T")
P = ParamSpec("P")

GRACE = 5.0
"""Seconds that threads get to notice that they are to stop. Those still waiting for a peer by
then are left to its timeout; they end with the process at the latest."""
_LOOK = 0.1
"""Seconds after which a waiting thread looks whether it is to stop."""


class Stopped(BaseException):
    """Unwinds a job whose team has given up."""


class Turn(ABC):
    """Something to wait for, once."""

    @abstractmethod
    async def wait(self) -> None:
        """Wait for `wake`."""

    @abstractmethod
    def wake(self) -> None:
        """End the wait; from any thread."""


class Team(ABC):
    """Runs the jobs of a transfer."""

    @abstractmethod
    async def together(self, works: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Run all to their ends. If one fails the others are stopped, and when all have ended
        the first failure is raised. After a failure the team is spent."""

    @abstractmethod
    def nested(self) -> Team:
        """A team for a part of this one's work: its failure stops that part alone."""

    @abstractmethod
    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what may block, such as reading a file."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait; `Stopped` or a cancellation ends it early."""

    @abstractmethod
    def turn(self) -> Turn:
        """Something for one job to wait for."""

    @abstractmethod
    def lock(self) -> AbstractAsyncContextManager[object]:
        """A lock that may be held while awaiting."""

    @abstractmethod
    def checkpoint(self) -> None:
        """Raise `Stopped` if the team has given up; jobs call it between pieces of work."""


class _ThreadTurn(Turn):
    def __init__(self, team: ThreadTeam) -> None:
        self._team = team
        self._woken = threading.Event()

    async def wait(self) -> None:
        while not self._woken.wait(_LOOK):
            self._team.checkpoint()

    def wake(self) -> None:
        self._woken.set()


class _ThreadLock(AbstractAsyncContextManager[object]):
    def __init__(self, team: ThreadTeam) -> None:
        self._team = team
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        while not self._lock.acquire(timeout=_LOOK):
            self._team.checkpoint()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()


class ThreadTeam(Team):
    """Jobs in threads; the caller's own waits, so that Ctrl-C reaches it at once."""

    def __init__(self, parent: ThreadTeam | None = None) -> None:
        self._parent = parent
        self._stop = threading.Event()
        self._guard = threading.Lock()

    async def together(self, works: Sequence[Coroutine[Any, Any, None]]) -> None:
        if not works:
            return
        failures: list[BaseException] = []
        # A plain lock, released by the last: an interrupt may come at any point of a wait, and
        # Thread.join takes a running thread for one that has ended then.
        ended = threading.Lock()
        ended.acquire()
        left = [len(works)]

        def carry(work: Coroutine[Any, Any, None]) -> None:
            try:
                drive(work)
            except Stopped:
                pass
            except BaseException as failure:  # noqa: BLE001 - raised again by the caller
                failures.append(failure)
                self._stop.set()
            finally:
                with self._guard:
                    left[0] -= 1
                    if not left[0]:
                        ended.release()

        begun = 0
        try:
            for number, work in enumerate(works):
                name = f"storage-core-transfer-{number}"
                call = copy_context().run
                threading.Thread(target=call, args=(carry, work), name=name, daemon=True).start()
                begun += 1
            ended.acquire()
        except BaseException:
            self._stop.set()
            until = time.monotonic() + GRACE
            while left[0] > len(works) - begun and (wait := until - time.monotonic()) > 0:
                ended.acquire(timeout=min(wait, _LOOK))
            raise
        if failures:
            try:
                raise failures[0]
            finally:
                failures.clear()  # its traceback leads back here
        self.checkpoint()

    def nested(self) -> ThreadTeam:
        return ThreadTeam(self)

    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.checkpoint()
            self._stop.wait(min(left, _LOOK))
        self.checkpoint()

    def turn(self) -> Turn:
        return _ThreadTurn(self)

    def lock(self) -> AbstractAsyncContextManager[object]:
        return _ThreadLock(self)

    def checkpoint(self) -> None:
        if self._stop.is_set():
            raise Stopped
        if self._parent is not None:
            self._parent.checkpoint()
