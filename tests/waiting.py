"""Waiting for what happens in another thread or process, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds after which it is taken never to happen; a test that works does not wait for them."""


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Return once a condition holds.

    Raises:
        AssertionError: it did not within so many seconds.
    """
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.01)
