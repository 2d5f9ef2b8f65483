"""`Team`: several coroutines of one transfer at a time, as threads or as tasks.

The blocking face carries each job in a thread of its own, or many small ones by turns in one
(`ThreadTeam`), the async face in a
task of the caller's loop (`storage_core.runtime.task_team`). What jobs share is guarded by plain
locks that are never held over an ``await``; what they wait for is a `Turn`.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from storage_core.deadline import current
from storage_core.runtime import drive
from storage_core.runtime.strands import AVAILABLE, Stopped, Strands
from storage_core.waiting import Wait

T = TypeVar("T")
P = ParamSpec("P")

GRACE = 5.0
"""Seconds that threads get to notice that they are to stop. Those still waiting for a peer by
then are left to its timeout; they end with the process at the latest."""
_LOOK = 0.1
"""Seconds after which a waiting thread looks whether it is to stop."""
_TICK = 0.02
"""Seconds after which it is seen whether more threads would help."""
_BUSY = 0.4
"""So much of one processor's time is all that threads of Python get; then more do not help."""
_GROWTH = 2
"""So many times as many at most at a time."""
_STRANDS = 32
"""Jobs that one thread carries at most, where it carries them by turns."""
_BY_TURNS = AVAILABLE and hasattr(time, "pthread_getcpuclockid")
"""Whether threads carry jobs by turns, and it is seen how much they compute; else each job has a
thread of its own from the beginning."""


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
    async def together(
        self, works: Sequence[Coroutine[Any, Any, None]], few: int | None = None
    ) -> None:
        """Run all to their ends. If one fails the others are stopped, and when all have ended
        the first failure is raised. After a failure the team is spent.

        Args:
            works: What the jobs do.
            few: So many are enough at first, as any of them does what there is to do; the
                others are begun if they help.
        """

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


class _StrandTurn(Turn):
    def __init__(self) -> None:
        self._wait = Wait()

    async def wait(self) -> None:
        await self._wait.give_way()

    def wake(self) -> None:
        self._wait.wake()


class _Lock(AbstractAsyncContextManager[object]):
    """Handed over in the order of arrival."""

    def __init__(self, team: ThreadTeam) -> None:
        self._team = team
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[Turn] = deque()

    async def __aenter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = self._team.turn()
            self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            with self._guard:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                else:
                    self._hand_over()  # it was this one's already
            raise

    def _hand_over(self) -> None:
        if self._waiting:
            self._waiting.popleft().wake()
        else:
            self._held = False

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._guard:
            self._hand_over()


class _Load:
    """How much of the time the threads of a team compute. Those that seldom wait for their peers
    only take the interpreter's lock from each other, and more of them make all slower."""

    def __init__(self) -> None:
        self._used: dict[int, int] = {}
        self._last = time.monotonic_ns()

    def join(self) -> None:
        """Count the calling thread."""
        self._used[time.pthread_getcpuclockid(threading.get_ident())] = 0

    def missing(self, begun: int) -> int:
        """How many more threads would keep one processor busy, by what ``begun`` of them and
        those beside them did since the last call."""
        spent = 0
        for clock, before in list(self._used.items()):
            with suppress(OSError):  # the thread has ended
                self._used[clock] = now = time.clock_gettime_ns(clock)
                spent += now - before
        since, self._last = self._last, time.monotonic_ns()
        enough = begun * _BUSY * (self._last - since) / max(1, spent)
        return math.ceil(min(enough, begun * _GROWTH)) - begun


class _Threads:
    """Threads that carry works.

    Args:
        works: All of them.
        stop: Set by one that fails.
        checkpoint: Raises `Stopped` when all are to end.
        load: Of the team.
    """

    def __init__(
        self,
        works: Iterable[Coroutine[Any, Any, None]],
        stop: threading.Event,
        checkpoint: Callable[[], None],
        load: _Load | None,
    ) -> None:
        self.waiting = deque(works)
        self.begun = self.left = self.unbegun = 0
        self.failures: list[BaseException] = []
        self.by_turns = False
        self._nested = current.nested
        self._load = load
        # A plain lock, released by the last: an interrupt may come at any point of a wait, and
        # Thread.join takes a running thread for one that has ended then.
        self.ended = threading.Lock()
        self.ended.acquire()
        self.over = Wait()
        self._stop, self._checkpoint = stop, checkpoint
        self._guard = threading.Lock()

    def begin(self, count: int) -> None:
        """Carry so many more, unless all others have ended: there is nothing to do then."""
        with self._guard:
            if self.begun and not self.left:
                return
            self.unbegun = min(count, len(self.waiting))
            self.left += self.unbegun
        while self.unbegun:
            if (work := self.take()) is None:
                with self._guard:
                    self.left -= self.unbegun
                    self.unbegun = 0
                return
            call, name = copy_context().run, f"storage-core-transfer-{self.begun}"
            threading.Thread(target=call, args=(self._carry, work), name=name, daemon=True).start()
            self.begun += 1
            self.unbegun -= 1

    def take(self) -> Coroutine[Any, Any, None] | None:
        """One that nobody carries; None if there is none."""
        try:
            return self.waiting.popleft()
        except IndexError:  # another thread has taken the last one
            return None

    def _strands(self) -> Strands | None:
        try:
            return Strands(self.take, _STRANDS, self._checkpoint, self._stop.set)
        except OSError:  # such as too many open files: one job at a time, then
            return None

    def _carry(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            current.nested = self._nested
            if self._load is not None:
                self._load.join()
            strands = self._strands() if self.by_turns else None
            if strands is None:
                drive(work)
            else:
                strands.add(work)
                strands.run()
        except Stopped:
            self._stop.set()  # whoever stopped it, its work is not done
        except BaseException as failure:  # noqa: BLE001 - raised again by the caller
            self.failures.append(failure)
            self._stop.set()
        finally:
            with self._guard:
                self.left -= 1
                if not self.left:
                    self.ended.release()
                    self.over.wake()
            work.close()  # where it could not be begun


class ThreadTeam(Team):
    """Jobs in threads; the caller's own waits, so that Ctrl-C reaches it at once."""

    def __init__(self, parent: ThreadTeam | None = None) -> None:
        self._parent = parent
        self._stop = threading.Event()
        self._load = _Load() if _BY_TURNS else None

    async def together(
        self, works: Sequence[Coroutine[Any, Any, None]], few: int | None = None
    ) -> None:
        if not works:
            return
        threads = _Threads(works, self._stop, self.checkpoint, self._load)
        inside = current.carrier is not None
        load = None if few is None or few >= len(works) or inside else self._load
        threads.by_turns = load is not None
        try:
            if load is not None:
                load.missing(0)  # the time before is not theirs
            threads.begin(len(works) if few is None or load is None else few)
            if inside:  # the caller's thread has others too, which these may wait for
                await threads.over.give_way()
            while load is not None and threads.waiting and not threads.ended.acquire(timeout=_TICK):
                if (more := load.missing(threads.begun)) > 0:
                    threads.begin(more)
            if threads.left:
                threads.ended.acquire()
        except BaseException:
            self._stop.set()
            until = time.monotonic() + GRACE
            while threads.left > threads.unbegun and (wait := until - time.monotonic()) > 0:
                threads.ended.acquire(timeout=min(wait, _LOOK))
            raise
        finally:
            while (work := threads.take()) is not None:
                work.close()
        if threads.failures:
            try:
                raise threads.failures[0]
            finally:
                threads.failures.clear()  # its traceback leads back here
        self.checkpoint()

    def nested(self) -> ThreadTeam:
        return ThreadTeam(self)

    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if current.carrier is not None:
            return await current.carrier.blocking(partial(function, *args, **kwargs))
        return function(*args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        if current.carrier is not None:
            await Wait(until=until).give_way()
        while (left := until - time.monotonic()) > 0:
            self.checkpoint()
            self._stop.wait(min(left, _LOOK))
        self.checkpoint()

    def turn(self) -> Turn:
        return _StrandTurn() if current.carrier is not None else _ThreadTurn(self)

    def lock(self) -> AbstractAsyncContextManager[object]:
        return _Lock(self)

    def checkpoint(self) -> None:
        if self._stop.is_set():
            raise Stopped
        if self._parent is not None:
            self._parent.checkpoint()
