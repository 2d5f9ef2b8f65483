"""Cuts the keys of a tree into ranges that workers look at side by side."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from storage_core.blocking.tree import Tree
from storage_core.transfer.entries import ALL, KeyRange

_REQUESTS = 32
"""Folders, or pages of a listing, that are looked at to find where to cut."""


def cut(source: Tree | Path, wanted: int) -> list[KeyRange]:
    """Ranges that hold all possible keys together and none twice, in ascending order.

    They are cut at what is found at the first levels of the source, with a few requests. How
    even they are is a matter of speed alone: a worker that has looked at many keys of a range
    returns the rest of it.

    Args:
        source: Looked at; what is in the target alone falls into one of the ranges too.
        wanted: Number of ranges that would do.
    """
    points: set[str] = set()
    waiting = deque([""])
    left = _REQUESTS
    while waiting and left > 0 and len(points) < wanted:
        place = waiting.popleft()
        for page in _level(source, place):
            left -= 1
            points.update(page)
            waiting.extend(page)
            if page:
                points.discard(place)
            if left <= 0:
                break
    ordered = sorted(points)
    ends = ordered[:: -(-len(ordered) // wanted)] if ordered else []
    starts = [ALL.after, *ends]
    return [KeyRange(*pair) for pair in zip(starts, [*ends, ALL.until], strict=True)]


def is_ordered(place: Tree | Path) -> bool:
    """Whether a listing of it can begin in the middle."""
    return isinstance(place, Path) or place.bucket.storage.capabilities.ordered_listing


def _level(source: Tree | Path, place: str) -> Iterator[list[str]]:
    """The folders, or groups of keys, right below one, page by page."""
    if isinstance(source, Path):
        with os.scandir(source / place) as found:
            yield [
                f"{place}{entry.name}/"
                for entry in found
                if entry.is_dir(follow_symlinks=False) and _is_text(entry.name)
            ]
        return
    listing = source.bucket.list(prefix=source.prefix + place, delimiter="/")
    start = len(source.prefix)
    for page in listing.pages():
        yield [item.key[start:] for item in page.items if item.is_prefix]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
