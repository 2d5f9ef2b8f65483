"""What the two sides of a transfer of a tree have in common: their keys in ascending order.

Keys are relative to the root of their side and in the order of their UTF-8 bytes, which is that
of Python's strings. They come in batches, so that a million of them cost a thousand awaits.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import ClassVar, Final, NamedTuple

from storage_core.errors import StorageError
from storage_core.model import EMPTY
from storage_core.runtime.team import Team

BATCH: Final = 1000
"""Entries in a batch at most, where it is not the page of a service."""
NOT_REGULAR: Final = -1
"""Size of what has a name but no bytes that could be transferred."""


class Entry(NamedTuple):
    """A file or an object, or what was met in its place.

    Attributes:
        key: Relative to the root of its side; with ``/`` at its end for a folder that can not
            be read.
        size: Bytes; `NOT_REGULAR` for a symbolic link and the like, and for trouble.
        modified: Microseconds since the epoch.
        etag: Of an object, where the listing tells it.
        checksums: Of an object, as far as the listing tells them.
        error: Why it can not be looked at.
    """

    key: str
    size: int
    modified: int = 0
    etag: str | None = None
    checksums: Mapping[str, str] = EMPTY
    error: StorageError | OSError | None = None


class KeyRange(NamedTuple):
    """Keys that come after one and up to another, both relative to the root of a side.

    Attributes:
        after: Only keys after this one; empty for no beginning.
        until: Only keys up to this one, itself included; None for no end.
    """

    after: str = ""
    until: str | None = None

    def holds(self, key: str) -> bool:
        """Whether a key is one of them."""
        return (not self.after or key > self.after) and (self.until is None or key <= self.until)


ALL: Final = KeyRange()


class Side(ABC):
    """A folder, or the objects below a prefix."""

    is_folder: ClassVar[bool]

    @abstractmethod
    def batches(
        self, team: Team, keys: KeyRange, *, target: bool = False
    ) -> AsyncIterator[list[Entry]]:
        """What is there, ascending. The folder of a target need not exist yet."""

    @abstractmethod
    def describe(self) -> str:
        """For messages."""


SECOND: Final = 1_000_000
"""Microseconds; the step of the times of most services."""
DOUBT: Final = 1
"""Microseconds that the file of an object lacks which may have been replaced since without
having another time."""


def time_for_file(modified: int) -> int:
    """The time of a file that was just fetched, of an object of this time; both in microseconds
    since the epoch.

    An object of this second may be replaced in the same second. `DOUBT` makes a comparison by
    time look at the bytes of such a one.
    """
    fresh = time.time_ns() // 1000 - modified < 2 * SECOND
    return modified - DOUBT if fresh and modified % SECOND == 0 else modified


def microseconds(moment: datetime) -> int:
    """Since the epoch; of a moment with a time zone."""
    return round(moment.timestamp() * 1_000_000)
