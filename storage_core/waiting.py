"""How coroutines of blocking I/O wait.

Mostly the thread itself waits in the kernel, and the coroutine never suspends. A thread that
carries several of them by turns (`storage_core.runtime.strands`) sets
`storage_core.deadline.current.carrier`: what would wait yields a `Wait` then, and another goes
on meanwhile.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

SOON = 50e-6
"""Seconds within which a service on this machine answers. To put a thread to sleep and to wake it
costs more than to look for so long, which pays as long as the last answer came within them."""
SEVERAL = not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) > 1
"""Whether a service can answer while a thread looks."""
_LOOK = 0.001
"""Seconds after which a thread that can only look sees whether it was woken."""

SUSPENDED = (
    "a coroutine suspended under blocking I/O: the driver must not declare 'blocking' in"
    " supported_io, or must do its I/O by plain calls"
)


class Carrier(Protocol):
    """Who carries coroutines that wait."""

    def notice(self, wait: Wait) -> None:
        """A wait is over; from any thread."""
        ...

    async def blocking(self, call: Callable[[], T]) -> T:
        """Call what may block, without holding up others for long."""
        ...


class Wait:
    """Something to wait for, once: a descriptor, or `wake`, or a moment if that comes before.

    Args:
        fd: A descriptor, -1 for none.
        events: What it is to be ready for, as for `select.poll`.
        until: A moment of `time.monotonic`.
    """

    __slots__ = ("carrier", "events", "fd", "holder", "until", "woken")

    def __init__(self, fd: int = -1, events: int = 0, until: float = math.inf) -> None:
        self.fd, self.events, self.until = fd, events, until
        self.woken = False
        self.carrier: Carrier | None = None
        self.holder: Any = None
        """Of the carrier: whose wait it is."""

    def wake(self) -> None:
        """End the wait; from any thread, also before it began."""
        self.woken = True
        if self.carrier is not None:
            self.carrier.notice(self)

    @coroutine
    def give_way(self) -> Generator[Wait, bool, bool]:
        """Let others go on meanwhile. False if the moment came first."""
        return (yield self)

    def block(self) -> bool:
        """Wait in the thread."""
        if self.fd >= 0:
            poll = select.poll()
            poll.register(self.fd, self.events)
            left = self.until - time.monotonic()
            return bool(poll.poll(None if left == math.inf else max(0, left) * 1000))
        while not self.woken and time.monotonic() < self.until:
            time.sleep(_LOOK)
        return self.woken


def finish(work: Coroutine[Any, Any, T], wait: object) -> T:
    """Run a coroutine that suspended to its end, by waiting in the thread.

    Args:
        work: The coroutine.
        wait: What it yielded.

    Raises:
        RuntimeError: that was no `Wait`, so the driver is not as it declares.
    """
    while isinstance(wait, Wait):
        try:
            wait = work.send(wait.block())
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
    work.close()
    raise RuntimeError(SUSPENDED)
