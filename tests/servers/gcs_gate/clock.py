"""The gate's time: the machine's, moved by as much as a test asks."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime


class Clock:
    """Seconds since the epoch, and numbers of generations."""

    def __init__(self) -> None:
        self.shift = 0.0
        self._last = 0

    def now(self) -> float:
        """Seconds since the epoch, as the gate has it."""
        return time.time() + self.shift

    def tick(self) -> int:
        """Microseconds since the epoch, each larger than all before.

        Generation numbers look like this (docs: metadata#generation-number).
        """
        self._last = max(self._last + 1, int(self.now() * 1_000_000))
        return self._last


def rfc3339(micros: int) -> str:
    """A time of a JSON resource: milliseconds, UTC."""
    moment = datetime.fromtimestamp(micros / 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{micros // 1000 % 1000:03d}Z"


def http_date(micros: int) -> str:
    """A time of a header."""
    return formatdate(micros // 1_000_000, usegmt=True)


def parse_http_date(text: str) -> int | None:
    """Seconds since the epoch of a header's date, None if it is none."""
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except ValueError:
        return None
