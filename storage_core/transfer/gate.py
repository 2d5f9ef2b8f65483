"""Adaptive concurrency: fewer requests at a time while a service says to slow down."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage_core.runtime.team import Team, Turn


class Gate:
    """Lets up to `limit` jobs in: halved when a service throttles, one more again after as many
    jobs that went without (additive increase, multiplicative decrease).

    Args:
        team: Whose jobs wait.
        width: Jobs at a time at most.
        throttles: How often the services throttled so far (`Client.throttled`).
    """

    def __init__(self, team: Team, width: int, throttles: Callable[[], int]) -> None:
        self._team = team
        self._width = width
        self._throttles = throttles
        self._lock = threading.Lock()
        self._inside = 0
        self._seen = throttles()
        self._good = 0
        self._waiting: deque[Turn] = deque()
        self.limit = width

    async def enter(self) -> int:
        """Wait to be let in; what is returned is for `leave`."""
        while True:
            with self._lock:
                if self._inside < self.limit:
                    self._inside += 1
                    return self._throttles()
                turn = self._team.turn()
                self._waiting.append(turn)
            try:
                await turn.wait()
            except BaseException:
                with self._lock:
                    if turn in self._waiting:
                        self._waiting.remove(turn)
                    else:
                        self._wake()  # it was this one's turn
                raise

    def leave(self, entered: int) -> None:
        """A job ended."""
        with self._lock:
            self._inside -= 1
            now = self._throttles()
            if now != entered and entered >= self._seen:
                # One step down for all that were under way together.
                self.limit = max(1, self.limit // 2)
                self._seen, self._good = now, 0
            elif now == entered and self.limit < self._width:
                self._good += 1
                if self._good >= self.limit:
                    self.limit, self._good = self.limit + 1, 0
            self._wake()

    def _wake(self) -> None:
        for _ in range(min(self.limit - self._inside, len(self._waiting))):
            self._waiting.popleft().wake()
