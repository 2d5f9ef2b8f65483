"""Progress of a transfer, told to a callback of the caller's."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

EVERY = 0.1
"""Seconds between two calls at least."""
_WINDOW = 5.0
"""Seconds that the rate is measured over."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer has come.

    Attributes:
        bytes: Moved so far, what an earlier run had moved included.
        total_bytes: To be moved as far as is known; None until something is.
        objects: Finished, failed ones included.
        total_objects: As far as is known.
        failed: Objects that failed.
        current: Key or file that was begun last.
        rate: Bytes per second over the last few seconds.
    """

    bytes: int
    total_bytes: int | None
    objects: int
    total_objects: int | None
    failed: int
    current: str | None
    rate: float


OnProgress: TypeAlias = Callable[[Progress], None]


class Meter:
    """Counts, from any thread, and calls back ten times a second at most, never twice at a time.

    Args:
        callback: Told of the progress; None for nobody, which costs next to nothing.
    """

    def __init__(self, callback: OnProgress | None) -> None:
        self._callback = callback
        self._lock = threading.Lock()
        self._bytes = self._objects = self._failed = 0
        self._total_bytes: int | None = None
        self._total_objects: int | None = None
        self._current: str | None = None
        self._next = 0.0
        self._resumed = 0
        self._samples: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def expect(self, objects: int, size: int | None) -> None:
        """So much more is to be moved; a size of None is not known."""
        with self._lock:
            self._total_objects = (self._total_objects or 0) + objects
            if size is not None:
                self._total_bytes = (self._total_bytes or 0) + size
            self._tell(False)

    def begin(self, what: str) -> None:
        """A key or file was begun."""
        self._current = what

    def moved(self, size: int, *, earlier: bool = False) -> None:
        """Bytes moved; ``earlier`` ones by a run before this, and negative ones were for nothing
        and are to be moved again."""
        with self._lock:
            self._bytes += size
            if earlier:
                self._resumed += size
            self._tell(False)

    def end(self, failed: bool = False) -> None:
        """An object is finished."""
        with self._lock:
            self._objects += 1
            self._failed += failed
            self._tell(False)

    def finish(self) -> None:
        """Tell how it ended."""
        with self._lock:
            self._tell(True)

    def _tell(self, last: bool) -> None:
        if self._callback is None:
            return
        now = time.monotonic()
        if now < self._next and not last:
            return
        self._next = now + EVERY
        here = self._bytes - self._resumed
        samples = self._samples
        samples.append((now, here))
        while len(samples) > 2 and now - samples[0][0] > _WINDOW:
            samples.popleft()
        since, before = samples[0]
        rate = max(0.0, (here - before) / (now - since)) if now > since else 0.0
        self._callback(
            Progress(
                self._bytes,
                self._total_bytes,
                self._objects,
                self._total_objects,
                self._failed,
                self._current,
                rate,
            )
        )
