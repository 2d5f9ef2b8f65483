"""Limits of one client: requests a minute, and requests at a time; per process."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from storage_core.gateway.answers import RefusedError

if TYPE_CHECKING:
    from storage_core.gateway.settings import GatewaySettings


class Limiter:
    """What clients may ask of this process.

    Args:
        settings: `requests_per_minute` and `max_client_requests`.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._at_once = settings.max_client_requests
        self._active: Counter[str] = Counter()
        self._rate = None
        if settings.requests_per_minute is not None:
            from limits import RateLimitItemPerMinute
            from limits.aio.storage import MemoryStorage
            from limits.aio.strategies import SlidingWindowCounterRateLimiter

            self._rate = RateLimitItemPerMinute(settings.requests_per_minute)
            self._window = SlidingWindowCounterRateLimiter(MemoryStorage())
        self.is_on = self._rate is not None or self._at_once is not None
        """Whether there is any limit."""

    async def check(self, client: str) -> None:
        """Refuse a client that may ask no more this minute; this does not count as a request.

        Raises:
            RefusedError: 429, as `admit`.
        """
        if self._rate is not None and not await self._window.test(self._rate, client):
            raise await self._too_often(client)

    @asynccontextmanager
    async def admit(self, client: str) -> AsyncIterator[None]:
        """Count a request of a client, for as long as it takes.

        Raises:
            RefusedError: 429; `Retry-After` says when to come back.
        """
        if self._at_once is not None and self._active[client] >= self._at_once:
            raise _refusal(f"more than {self._at_once} requests at a time", 1)
        self._active[client] += 1
        try:
            if self._rate is not None and not await self._window.hit(self._rate, client):
                raise await self._too_often(client)
            yield
        finally:
            self._active[client] -= 1
            if not self._active[client]:
                del self._active[client]

    async def _too_often(self, client: str) -> RefusedError:
        assert self._rate is not None
        stats = await self._window.get_window_stats(self._rate, client)
        after = max(1, math.ceil(stats.reset_time - time.time()))
        return _refusal(f"more than {self._rate.amount} requests a minute", after)


def _refusal(reason: str, after: int) -> RefusedError:
    return RefusedError(
        429, "too_many_requests", f"{reason}; wait a little", ((b"retry-after", b"%d" % after),)
    )
