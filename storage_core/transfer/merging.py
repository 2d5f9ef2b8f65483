"""Two sides walked side by side, in memory for a batch of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeAlias

from storage_core.transfer.entries import NOT_REGULAR, Entry
from storage_core.transfer.filters import Filter

Meeting: TypeAlias = tuple[Entry | None, Entry | None]
"""What source and target have of a key; None for nothing."""


class _Cursor:
    """How far one side has come."""

    def __init__(self, batches: AsyncIterator[list[Entry]] | None, keep: Filter, folder: bool):
        self._batches = batches
        self._keep = keep
        self._folder = folder
        self.entries: list[Entry] = []
        self.at = 0
        self.ended = batches is None

    async def fill(self) -> None:
        """Get entries if there are none left."""
        while self.at >= len(self.entries) and not self.ended:
            assert self._batches is not None
            self.at = 0
            try:
                self.entries = self._keep.of(await anext(self._batches))
            except StopAsyncIteration:
                self.entries, self.ended = [], True
            if self._folder:
                self.entries = [
                    entry if entry.size else _without_marker(entry) for entry in self.entries
                ]


def _without_marker(entry: Entry) -> Entry:
    """An empty object that marks a folder is nothing that a folder has."""
    marks = not entry.key or entry.key[-1] == "/"
    return Entry(entry.key, NOT_REGULAR) if marks else entry


async def meetings(
    source: AsyncIterator[list[Entry]],
    target: AsyncIterator[list[Entry]] | None,
    keep: Filter,
    *,
    folders: bool,
) -> AsyncIterator[list[Meeting]]:
    """All keys of two sides, ascending, some at a time.

    Args:
        source: Of its batches.
        target: Likewise; None if nobody asks what is there.
        keep: Which keys take part.
        folders: Whether one of the two is a folder, which has no use for markers of folders.
    """
    one, other = _Cursor(source, keep, folders), _Cursor(target, keep, folders)
    while True:
        await one.fill()
        await other.fill()
        if one.ended and other.ended:
            return
        yield _merged(one, other)


def _merged(one: _Cursor, other: _Cursor) -> list[Meeting]:
    """What both have of all keys for which both are known."""
    left, right = one.entries, other.entries
    i, j = one.at, other.at
    found: list[Meeting] = []
    add = found.append
    while i < len(left) and j < len(right):
        a, b = left[i], right[j]
        if a[0] == b[0]:
            add((a, b))
            i, j = i + 1, j + 1
        elif a[0] < b[0]:
            add((a, None))
            i += 1
        else:
            add((None, b))
            j += 1
    if other.ended:
        found += [(entry, None) for entry in left[i:]]
        i = len(left)
    elif one.ended:
        found += [(None, entry) for entry in right[j:]]
        j = len(right)
    one.at, other.at = i, j
    return found


def key_of(meeting: Meeting) -> str:
    """The key that both are of."""
    entry = meeting[0] or meeting[1]
    assert entry is not None
    return entry.key
