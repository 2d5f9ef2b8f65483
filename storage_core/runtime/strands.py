"""`Strands`: several coroutines of blocking I/O by turns in one thread.

Threads of Python take the interpreter's lock from each other at every system call, which costs
short requests more than the requests themselves. Here one thread sends the next request while
the answer to the last is on its way: where a coroutine would wait, it yields a
`storage_core.waiting.Wait`, and whatever is ready goes on.
"""

from __future__ import annotations

import math
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeVar

from storage_core.deadline import current
from storage_core.waiting import SEVERAL, SOON, SUSPENDED, Wait

if sys.platform == "linux":
    from resource import RUSAGE_THREAD, getrusage

T = TypeVar("T")

AVAILABLE = sys.platform == "linux" and hasattr(select, "epoll") and hasattr(os, "eventfd")
"""Whether the system has what this needs; Linux has."""
_LOOK = 0.1
"""Seconds after which is seen what has waited too long, and whether all are to stop."""
_LONG = 0.01
"""Seconds that a call may wait before it is one that blocks."""
_ASIDE = 64
"""Calls that get threads of their own after such a one, before another is tried without."""
_AT_ONCE = 64
"""Descriptors that are asked for at a time."""


class Stopped(BaseException):
    """Unwinds a job whose team has given up."""


class _Strand:
    """One coroutine."""

    __slots__ = ("at", "context", "thrown", "wait", "work")

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self.work = work
        self.context = copy_context()
        self.at: float | None = None
        """Its deadline, while others go on."""
        self.wait: Wait | None = None
        self.thrown: BaseException | None = None


class _Watch:
    """Tells whether what this thread does waits for something outside of the process, and not for
    a processor, or for the interpreter's lock."""

    __slots__ = ("_began", "_computed", "_waits")

    def __init__(self) -> None:
        # A voluntary change of context is one of a thread that could not go on.
        self._waits = getrusage(RUSAGE_THREAD).ru_nvcsw
        self._computed = time.process_time()
        self._began = time.monotonic()

    def has_waited(self) -> bool:
        took = time.monotonic() - self._began
        if took < _LONG or time.process_time() - self._computed > took / 4:
            return False
        return getrusage(RUSAGE_THREAD).ru_nvcsw > self._waits


class Strands:
    """Coroutines that one thread carries by turns.

    Others are only begun when none of those there are could go on, so that there are as many as
    it takes to keep the thread busy.

    Args:
        take: The next one; None if there is none.
        most: So many at a time.
        checkpoint: Raises `Stopped` when all are to end.
        failed: Called at the first failure, before the others have ended.
    """

    def __init__(
        self,
        take: Callable[[], Coroutine[Any, Any, None] | None],
        most: int,
        checkpoint: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self._take, self._most, self._checkpoint, self._failed = take, most, checkpoint, failed
        self._ready: deque[tuple[_Strand, bool]] = deque()
        self._parked: set[_Strand] = set()
        self._watched: dict[int, Wait] = {}
        self._known: set[int] = set()
        self._woken: deque[Wait] = deque()
        self._look_at = time.monotonic() + _LOOK
        self._taking = True
        self._asleep = self._near = False
        self._failure: BaseException | None = None
        self._to_aside = 0
        # The garbage collector may wake somebody while this very thread holds it.
        self._guard = threading.RLock()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            self._epoll = select.epoll()
            self._epoll.register(self._bell, select.EPOLLIN)
        except BaseException:
            os.close(self._bell)
            raise

    def add(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin one, before `run`."""
        self._ready.append((_Strand(work), True))

    def run(self) -> None:
        """Carry them to their ends. The first failure is raised when all have ended."""
        current.carrier = self
        try:
            while self._ready or self._events(0) or self._begun() or self._parked:
                if self._ready:
                    self._go_on(*self._ready.popleft())
                else:
                    self._sleep()
        finally:
            current.carrier = current.at = None
            self._epoll.close()
            with self._guard:
                os.close(self._bell)
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback leads back here

    def notice(self, wait: Wait) -> None:
        """As `storage_core.waiting.Carrier`."""
        self._woken.append(wait)
        with self._guard:  # once it is closed, its number may be another's
            if self._asleep:
                os.eventfd_write(self._bell, 1)

    async def blocking(self, call: Callable[[], T]) -> T:
        """As `storage_core.waiting.Carrier`: here, as long as that takes no time. After one that
        waited for long, such as for a disk, the next ones get threads of their own."""
        if not self._to_aside:
            watch = _Watch()
            try:
                return call()
            finally:
                if watch.has_waited():
                    self._to_aside = _ASIDE
        self._to_aside -= 1
        return await self.aside(call)

    async def aside(self, call: Callable[[], T]) -> T:
        """As `storage_core.waiting.Carrier`."""
        done: Future[T] = Future()

        def work() -> None:
            try:
                done.set_result(call())
            except BaseException as failure:  # noqa: BLE001 - raised by the one who waits
                done.set_exception(failure)

        over = Wait()
        done.add_done_callback(lambda _: over.wake())
        # No pool, as the interpreter would wait for its threads at the end.
        run, name = copy_context().run, "storage-core-transfer-aside"
        threading.Thread(target=run, args=(work,), name=name, daemon=True).start()
        try:
            await over.give_way()
        except BaseException:
            if not done.done():  # nothing goes on behind the caller's back
                ended = Wait()
                done.add_done_callback(lambda _: ended.wake())
                await ended.give_way()
            raise
        return done.result()

    def _begun(self) -> bool:
        """Begin one more, if that is to be."""
        if not self._taking or len(self._parked) >= self._most:
            return False
        work = self._take()
        if work is None:
            self._taking = False
            return False
        self.add(work)
        return True

    def _go_on(self, strand: _Strand, value: bool) -> None:
        current.at = strand.at
        try:
            if strand.thrown is None:
                wait = strand.context.run(strand.work.send, None if strand.wait is None else value)
            else:
                thrown, strand.thrown = strand.thrown, None
                wait = strand.context.run(strand.work.throw, thrown)
        except StopIteration:
            self._taking = False  # there was nothing left to do
            return
        except BaseException as failure:  # noqa: BLE001 - raised at the end
            self._fail(failure)
            return
        strand.at = current.at
        if isinstance(wait, Wait):
            self._park(strand, wait)
        else:
            self._fail(RuntimeError(SUSPENDED))
            strand.thrown = Stopped()  # as the others: what it cleans up may wait
            self._ready.append((strand, False))

    def _park(self, strand: _Strand, wait: Wait) -> None:
        strand.wait = wait
        wait.holder, wait.carrier = strand, self
        self._parked.add(strand)
        fd = wait.fd
        if fd < 0:
            if wait.woken:  # not at once, as others are to have their turns
                self._woken.append(wait)
            return
        self._watched[fd] = wait
        try:
            self._watch(fd, wait.events | select.EPOLLONESHOT)
        except OSError as error:  # such as too many of them
            strand.thrown = error
            self._over(wait, False)

    def _watch(self, fd: int, events: int) -> None:
        if fd in self._known:
            try:
                self._epoll.modify(fd, events)
                return
            except FileNotFoundError:  # another connection's by now
                pass
        self._epoll.register(fd, events)
        self._known.add(fd)

    def _over(self, wait: Wait, value: bool) -> None:
        """A wait has ended, if it has not before."""
        strand: _Strand = wait.holder
        if strand.wait is wait and strand in self._parked:
            self._parked.discard(strand)
            if self._watched.get(wait.fd) is wait:
                del self._watched[wait.fd]
            self._ready.append((strand, value))

    def _events(self, seconds: float) -> bool:
        """What has come meanwhile is ready to go on; whether anything is."""
        for fd, _ in self._epoll.poll(seconds, _AT_ONCE):
            if fd == self._bell:
                os.eventfd_read(fd)
            elif (wait := self._watched.pop(fd, None)) is not None:
                self._over(wait, True)
        while self._woken:
            self._over(self._woken.popleft(), True)
        if time.monotonic() >= self._look_at:
            self._look()
        return bool(self._ready)

    def _sleep(self) -> None:
        began = time.monotonic()
        if self._near:
            # As for one wire alone (`storage_core.http.blocking`).
            while time.monotonic() - began < SOON:
                if self._events(0):
                    return
        soonest = min((s.wait.until for s in self._parked if s.wait), default=math.inf)
        self._asleep = True
        try:
            wait = 0.0 if self._woken else min(soonest, self._look_at) - time.monotonic()
            came = self._events(max(0.0, wait))
            self._near = SEVERAL and came and time.monotonic() - began < SOON
        finally:
            self._asleep = False
        if soonest <= time.monotonic():
            self._look()

    def _look(self) -> None:
        """See what has waited too long, and whether all are to stop."""
        now = time.monotonic()
        self._look_at = now + _LOOK
        for strand in tuple(self._parked):
            if strand.wait is not None and strand.wait.until <= now:
                self._over(strand.wait, False)
        if self._failure is None:
            try:
                self._checkpoint()
            except BaseException as stopped:  # noqa: BLE001 - raised at the end
                self._fail(stopped)

    def _fail(self, failure: BaseException) -> None:
        """All others are to end, too."""
        if self._failure is not None:
            return
        self._failure, self._taking = failure, False
        self._failed()
        for strand in (*self._parked, *(strand for strand, _ in self._ready)):
            strand.thrown = Stopped()
        for strand in tuple(self._parked):
            if strand.wait is not None:
                self._over(strand.wait, False)
