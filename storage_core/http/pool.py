"""Connections to one origin: how many there are, which lie idle, who waits for one."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from storage_core.errors import ClosedError, OperationTimeoutError, StorageError


class Poolable(Protocol):
    """What a pool asks of a connection."""

    idle_since: float

    def readable(self) -> bool:
        """Whether something came, which on an idle connection is its end."""
        ...

    def close(self) -> None:
        """Close it; may be called twice."""
        ...

    def interrupt(self) -> None:
        """Let whoever uses it fail."""
        ...

    def abandon(self) -> None:
        """Let go of it in a forked child: nothing may reach the peer."""
        ...


W = TypeVar("W", bound=Poolable)


class Waiter(ABC, Generic[W]):
    """Somebody who waits for a connection, or for leave to make one (None)."""

    gift: W | StorageError | None = None

    @abstractmethod
    def wake(self) -> None:
        """`gift` is there."""

    @abstractmethod
    async def wait(self, seconds: float) -> bool:
        """Wait for `wake`; false if it did not come in time."""


class Pool(ABC, Generic[W]):
    """Connections to one origin.

    The one used last is taken first, so that those not needed grow old and expire.

    Args:
        name: Of the origin, for messages.
        limit: Connections at a time.
        idle_timeout: Seconds a connection may lie idle; 0 keeps none.
        patience: Seconds to wait for a connection at most.
    """

    def __init__(self, name: str, limit: int, idle_timeout: float, patience: float) -> None:
        self.name = name
        self._limit = limit
        self._idle_timeout = idle_timeout
        self._patience = patience
        # The garbage collector may run a forgotten response's end, which comes here, wherever
        # something is allocated, so also while this very thread holds the lock.
        self._lock = threading.RLock()
        self._idle: deque[W] = deque()
        self._waiting: deque[Waiter[W]] = deque()
        self._all: set[W] = set()
        self._granted = 0
        """Connections there are, or that somebody may make."""
        self._closed = False

    @abstractmethod
    def _waiter(self) -> Waiter[W]:
        """Made in the task or thread that is to wait."""

    def _time_left(self, most: float) -> float:
        """Seconds that may pass, with regard to the caller's deadline."""
        return most

    def _must_not_wait(self) -> bool:
        """Whether those who have the connections wait for the caller: he gets one more."""
        return False

    # --- taking -----------------------------------------------------------------------

    def pop(self) -> W | None:
        """An idle connection that is good, None without any."""
        idle = self._idle
        while idle:
            try:
                wire = idle.pop()
            except IndexError:  # another thread has taken it
                break
            if time.monotonic() - wire.idle_since < self._idle_timeout and not wire.readable():
                return wire
            self.discard(wire)
        return None

    async def acquire(self) -> W | None:
        """An idle connection, or None: the caller is to make one and to `add` it, or to
        `discard` None if that fails. Waits while all are in use.

        Raises:
            OperationTimeoutError: none came free in time.
            ClosedError: the pool is closed.
        """
        while True:
            wire = self.pop()
            if wire is not None:
                return wire
            waiter = self._waiter()
            with self._lock:
                if self._closed:
                    raise _closed()
                if self._idle:
                    continue
                if self._granted < self._limit or self._must_not_wait():
                    self._granted += 1
                    return None
                self._waiting.append(waiter)
            self._match()
            return await self._served(waiter)

    async def _served(self, waiter: Waiter[W]) -> W | None:
        try:
            in_time = await waiter.wait(self._time_left(self._patience))
        except BaseException:
            if not self._withdraw(waiter) and not isinstance(waiter.gift, StorageError):
                if waiter.gift is None:
                    self.discard(None)
                else:
                    self.release(waiter.gift)
            raise
        if not in_time and self._withdraw(waiter):
            raise OperationTimeoutError(
                f"{self.name}: all {self._limit} connections are in use; raise"
                " http.max_connections, or close readers that are done",
                unsent=True,
            )
        if isinstance(waiter.gift, StorageError):
            raise waiter.gift
        return waiter.gift

    def _withdraw(self, waiter: Waiter[W]) -> bool:
        """False if it was served meanwhile."""
        with self._lock:
            try:
                self._waiting.remove(waiter)
            except ValueError:
                return False
            return True

    def add(self, wire: W) -> None:
        """Count a connection that was made with the leave of `acquire`."""
        with self._lock:
            if not self._closed:
                self._all.add(wire)
                return
        wire.close()
        raise _closed()

    # --- giving back ------------------------------------------------------------------

    def release(self, wire: W) -> None:
        """Give back a connection that is ready for another request: to who waits longest, or to
        the idle ones."""
        if not self._idle_timeout:
            self.discard(wire)
            return
        if self._granted > self._limit and self._shed(wire):
            return
        wire.idle_since = now = time.monotonic()
        if self._waiting and self._handed_over(wire):
            return
        # Without the lock, which hardly any needs: whoever begins to wait, or closes the pool,
        # does so first and looks for idle ones then; here it is the other way round.
        idle = self._idle
        idle.append(wire)
        if self._waiting:
            self._match()
        if self._closed:
            self.lost(wire)
        if len(idle) > 1:
            self._expire(now)

    def _shed(self, wire: W) -> bool:
        """Close a connection if there is still one more than there may be."""
        with self._lock:
            if self._granted <= self._limit or wire not in self._all:
                return False
            self._all.discard(wire)
            self._granted -= 1
        wire.close()
        return True

    def _expire(self, now: float) -> None:
        """Drop idle connections that are too old, if the oldest is."""
        try:
            if now - self._idle[0].idle_since < self._idle_timeout:
                return
        except IndexError:  # another thread has taken the last one
            return
        self.expire()

    def _handed_over(self, wire: W) -> bool:
        with self._lock:
            if not self._waiting:
                return False
            waiter = self._waiting.popleft()
            waiter.gift = wire
            waiter.wake()
            return True

    def _match(self) -> None:
        """Idle connections to those who wait."""
        with self._lock:
            while self._waiting and (wire := self._taken()) is not None:
                self._handed_over(wire)

    def _taken(self) -> W | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def discard(self, wire: W | None) -> None:
        """Close a connection; None gives back the leave to make one."""
        if wire is not None:
            wire.close()
        with self._lock:
            if wire is not None:
                if wire not in self._all:
                    return
                self._all.discard(wire)
            if self._waiting and self._granted <= self._limit:
                waiter = self._waiting.popleft()
                waiter.wake()  # with None: he may make one
            else:
                self._granted -= 1

    def renew(self, wire: W) -> None:
        """Close a connection; the caller has leave to make another one in its place."""
        wire.close()
        with self._lock:
            self._all.discard(wire)

    def forsake(self, wire: W) -> None:
        """Discard a connection whose user is gone; any thread may call it."""
        self.discard(wire)

    def lost(self, wire: W) -> None:
        """The peer closed a connection, or said something on it; if it is idle, drop it."""
        with self._lock:
            try:
                self._idle.remove(wire)
            except ValueError:
                return
        self.discard(wire)

    def expire(self) -> None:
        """Drop idle connections that are too old."""
        idle = self._idle
        while idle:
            try:
                wire = idle[0]
            except IndexError:  # taken by another thread
                return
            if time.monotonic() - wire.idle_since < self._idle_timeout:
                return
            self.lost(wire)

    # --- the end ----------------------------------------------------------------------

    def close(self) -> None:
        """Close all connections; whoever uses or waits for one gets an error."""
        with self._lock:
            self._closed = True
            idle = []
            while (wire := self._taken()) is not None:
                idle.append(wire)
            waiting, self._waiting = self._waiting, deque()
            busy = self._all.difference(idle)
            for waiter in waiting:
                waiter.gift = _closed()
                waiter.wake()
        for wire in idle:
            self.discard(wire)
        for wire in busy:
            wire.interrupt()

    def abandon(self) -> None:
        """Forget all, in a forked child: the connections are the parent's."""
        self._lock = threading.RLock()  # another thread of the parent's may have held it
        for wire in self:
            wire.abandon()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def idle(self) -> int:
        """Connections nobody uses."""
        return len(self._idle)

    def __iter__(self) -> Iterator[W]:
        return iter(tuple(self._all))


def _closed() -> ClosedError:
    return ClosedError("the storage was closed", unsent=True)
