"""How coroutines of blocking I/O wait.

Mostly the thread itself waits in the kernel, and the coroutine never suspends. A thread that
carries several of them by turns (`storage_core.runtime.strands`) sets
`storage_core.deadline.current.carrier`: what would wait yields a `Wait` then, and another goes
on meanwhile.
"""

from __future__ import annotations

import math
import os
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar

from storage_core.deadline import current

T = TypeVar("T")

SOON = 50e-6
"""Seconds within which a service on this machine answers. To put a thread to sleep and to wake it
costs more than to look for so long, which pays as long as the last answer came within them."""
SEVERAL = not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) > 1
"""Whether a service can answer while a thread looks; quotas of containers do not count."""

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

    async def aside(self, call: Callable[[], T]) -> T:
        """Call what does block, in a thread of its own."""
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

    @types.coroutine
    def give_way(self) -> Generator[Wait, bool, bool]:
        """Let others go on meanwhile. False if the moment came first."""
        return (yield self)


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of blocking I/O to its end. Inside of one that takes turns with others it
    waits in the thread, as by a callback's call or in another library's.

    Raises:
        RuntimeError: it suspended, so the driver is not as it declares.
    """
    if current.carrier is not None:
        outside = current.carrier, current.nested
        current.carrier, current.nested = None, True
        try:
            return drive(coroutine)
        finally:
            current.carrier, current.nested = outside
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError(SUSPENDED)
