"""A limit to the bytes per second of a transfer."""

from __future__ import annotations

import threading
import time
from typing import Protocol

PIECE = 64 * 1024
"""Bytes to move at a time at most under a limit, so that they flow evenly."""


class Sleeper(Protocol):
    """What can wait: a team, or the runtime that carries a body."""

    async def sleep(self, seconds: float, /) -> None: ...


class Bandwidth:
    """A reservation of moments: each piece takes the time that it costs, one after the other.

    Args:
        rate: Bytes per second, None for no limit.
    """

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    async def take(self, team: Sleeper, size: int) -> None:
        """Wait until ``size`` bytes more may move."""
        if self.rate is None:
            return
        with self._lock:
            now = time.monotonic()
            begins = max(now, self._free_at)
            self._free_at = begins + size / self.rate
        if begins > now:
            await team.sleep(begins - now)
