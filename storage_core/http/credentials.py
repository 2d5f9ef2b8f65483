"""Credentials that are renewed before they expire."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from storage_core.driver import IO

T = TypeVar("T")

EARLY = 300.0
"""Seconds before their end from which credentials are renewed."""

PAUSE = 10.0
"""Seconds between two tries to renew credentials that are still good."""


class Fetched(NamedTuple, Generic[T]):
    """Credentials, and until when they are good: seconds of the epoch, None for ever."""

    value: T
    expires: float | None = None


class Credentials(Generic[T]):
    """The current credentials of one account, shared by threads or tasks.

    Args:
        fetch: Gets new ones; it may block, and raises an error of `storage_core.errors`.
        io: Under ``"asyncio"`` it is called in a worker thread.
        clock: Seconds of the epoch.
    """

    def __init__(
        self, fetch: Callable[[], Fetched[T]], io: IO, clock: Callable[[], float] = time.time
    ) -> None:
        self._fetch = fetch
        self._io = io
        self._clock = clock
        self._current: Fetched[T] | None = None
        self._renew_at = 0.0
        # By process: a thread of the parent's may have held it when this child was forked.
        self._locks: dict[int, threading.Lock] = {}

    @property
    def current(self) -> T | None:
        """What is good without asking anyone; None if it has to be fetched."""
        current = self._current
        if current is None or (current.expires is not None and self._clock() >= self._renew_at):
            return None
        return current.value

    async def get(self) -> T:
        """Good credentials, fetched if need be.

        While they are still good one caller alone renews them, others go on with the old;
        if he fails it is forgiven, and tried again after `PAUSE`.
        """
        value = self.current
        if value is not None:
            return value
        if self._io == "blocking":
            return self._renew()
        import asyncio

        return await asyncio.to_thread(self._renew)

    def refused(self) -> None:
        """The service did not accept them: fetch new ones next time."""
        self._current = None

    def _renew(self) -> T:
        lock = self._locks.setdefault(os.getpid(), threading.Lock())
        if not lock.acquire(blocking=self._good() is None):
            old = self._good()
            return self._renew() if old is None else old.value
        try:
            if (value := self.current) is not None:  # another caller did it meanwhile
                return value
            try:
                found = self._fetch()
            except Exception:
                old = self._good()
                if old is None:
                    raise
                self._plan(old)
                return old.value
            self._current = found  # before the plan, which must not be taken for the old one's
            self._plan(found)
            return found.value
        finally:
            lock.release()

    def _plan(self, held: Fetched[T]) -> None:
        """When to renew: `EARLY`, but not before a `PAUSE`, and at the very end at the latest."""
        if held.expires is not None:
            soon = self._clock() + PAUSE
            self._renew_at = min(max(held.expires - EARLY, soon), held.expires)

    def _good(self) -> Fetched[T] | None:
        """The credentials, until their very end."""
        old = self._current
        return old if old and (old.expires is None or old.expires > self._clock()) else None
