"""The deadline of the call that a thread is in, for blocking I/O to honour.

`Runtime.within` sets it around a call; what blocks in that thread asks for it.
"""

from __future__ import annotations

import threading
import time


class _Current(threading.local):
    at: float | None = None
    """A moment of `time.monotonic`; None without a deadline."""


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
