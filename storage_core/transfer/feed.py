"""`Feed`: items made ahead of their use."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from storage_core.runtime.team import Team, Turn

T = TypeVar("T")


class Feed(Generic[T]):
    """An iterator whose items are fetched by a job of their own, some ahead.

    Args:
        team: `fill` is to run beside the one who takes the items.
        items: What it gives.
        depth: Items made ahead at most.
    """

    def __init__(self, team: Team, items: AsyncIterator[T], depth: int = 2) -> None:
        self._team = team
        self._items = items
        self._depth = depth
        self._lock = threading.Lock()
        self._made: deque[T] = deque()
        self._ended = False
        self._waiting: Turn | None = None

    @property
    def ready(self) -> bool:
        """Whether the next item is there, or the end."""
        return bool(self._made) or self._ended

    async def fill(self) -> None:
        """Make all items; the job beside the taker."""
        async for item in self._items:
            while not self._put(item):
                await self._wait(lambda: len(self._made) < self._depth)
        with self._lock:
            self._ended = True
            self._wake()

    def __aiter__(self) -> Feed[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            with self._lock:
                if self._made:
                    item = self._made.popleft()
                    self._wake()
                    return item
                if self._ended:
                    raise StopAsyncIteration
            await self._wait(lambda: self.ready)

    def _put(self, item: T) -> bool:
        with self._lock:
            if len(self._made) >= self._depth:
                return False
            self._made.append(item)
            self._wake()
            return True

    async def _wait(self, over: Callable[[], bool]) -> None:
        # Maker and taker never wait at once: the feed is full for the one, empty for the other.
        with self._lock:
            if over():
                return
            turn = self._waiting = self._team.turn()
        await turn.wait()

    def _wake(self) -> None:
        turn, self._waiting = self._waiting, None
        if turn is not None:
            turn.wake()
