"""What the call that a thread is in has to honour wherever it would wait: its deadline, and whether
other calls go on in that thread meanwhile.

`Runtime.within` sets the deadline around a call; what blocks in that thread asks for it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage_core.waiting import Carrier


class _Current(threading.local):
    at: float | None = None
    """A moment of `time.monotonic`; None without a deadline."""
    carrier: Carrier | None = None
    """Where the thread carries several coroutines by turns: who gives each its turn."""
    nested: bool = False
    """Whether the call is one made inside of such a coroutine, as by a callback: the others get no
    turns until it has ended, so nothing may be waited for that they have."""


current = _Current()


class deadline:  # noqa: N801 - used like a function
    """Sets the deadline for a ``with`` block; an earlier one that holds already stays.

    Args:
        seconds: From now; None adds no deadline.
    """

    __slots__ = ("_at", "_outer")

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    def __enter__(self) -> None:
        self._outer = outer = current.at
        if self._at is not None and (outer is None or self._at < outer):
            current.at = self._at

    def __exit__(self, *_: object) -> None:
        current.at = self._outer


def left(most: float) -> float:
    """Seconds until the deadline, ``most`` at most; zero or less once it passed."""
    at = current.at
    if at is None:
        return most
    return min(most, at - time.monotonic())
