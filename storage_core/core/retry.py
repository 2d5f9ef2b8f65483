"""How often and how long core tries again: exponential waits with full jitter, a budget
shared by all calls of a storage, the service's own ``Retry-After``, and a deadline."""

from __future__ import annotations

import threading
import time

from storage_core.core.settings import RetryPolicy


class Budget:
    """Repeats left for a storage; shared by its threads."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._most = self._left = round(policy.budget * 10)  # in tenths
        self._lock = threading.Lock()
        self.used = False
        """Whether it is less than full; read without the lock, as it is almost always false."""

    def take(self) -> bool:
        """Use one repeat; False when none is left."""
        with self._lock:
            if self._left < 10:
                return False
            self._left -= 10
            self.used = True
            return True

    def success(self) -> None:
        """A call went well; some of the budget returns."""
        with self._lock:
            self._left = min(self._most, self._left + 1)
            self.used = self._left < self._most


class Deadline:
    """A moment on the monotonic clock, or never."""

    __slots__ = ("at",)

    def __init__(self, seconds: float | None) -> None:
        self.at = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds left, None for no limit; never below zero."""
        return None if self.at is None else max(0.0, self.at - time.monotonic())

    def passed(self) -> bool:
        return self.at is not None and time.monotonic() >= self.at


def wait_before(policy: RetryPolicy, attempt: int, retry_after: float | None) -> float:
    """Seconds to wait after the ``attempt``-th try (from 1) failed."""
    bound = min(policy.cap, policy.base * 2 ** (attempt - 1))
    from random import uniform  # loads OpenSSL's hashes, which a first try does without

    jittered = uniform(0, bound)  # noqa: S311 - spreads load, guards nothing
    return max(jittered, retry_after or 0.0)
