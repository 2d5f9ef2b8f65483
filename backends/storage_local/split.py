"""Growth and shrinking of a tree: splitting full leaves, finishing a split that a crash
interrupted, dropping empty leaves.

A split publishes the map with the new leaf and the old one as its fallback, moves the upper
half by rename, and publishes the map without the fallback. A crash at any point leaves a map
under which every record is found.
"""

from __future__ import annotations

import contextlib
import os
import random
from bisect import bisect_right
from collections.abc import Sequence

from storage_core.errors import StorageError
from storage_local import syscalls
from storage_local.handles import Leaf
from storage_local.names import after, file_name
from storage_local.tree import Tree, TreeGoneError
from storage_local.tree_map import Map, Range, load, make_leaf

# They follow a write that is done, so they must not fail it. Wherever they stop the tree is
# sound; the next to need it finishes what is half done.
_SUPPRESSED = (OSError, StorageError, TreeGoneError)


def created(tree: Tree, sort: str) -> None:
    """To be called after a record was created: counts its leaf once in a while."""
    if random.random() * tree.limits.check_every < 1:  # noqa: S311
        with contextlib.suppress(*_SUPPRESSED):
            grow(tree, sort)


def removed(tree: Tree, sort: str) -> None:
    """To be called after a record was removed: drops its leaf, if empty, once in a while."""
    if random.random() * tree.limits.check_every < 8:  # noqa: S311
        with contextlib.suppress(*_SUPPRESSED):
            shrink(tree, sort)


def grow(tree: Tree, sort: str) -> None:
    """Split the leaf of a sort key if it is over the limit."""
    leaf, seen = tree.acquire_with_map(sort)
    try:
        names = tree.names_in(leaf)
        if len(names) <= tree.limits.leaf_size:
            return
        _finish_locked(tree, leaf, seen)  # a leaf feeds one move at a time
        high = seen.high(seen.index(sort))
        sorts = sorted(found for name in names if (found := tree.sort_of(name, leaf)))
        sorts = [found for found in sorts if high is None or found < high]
        if len(sorts) <= tree.limits.leaf_size:
            return
        if high is None and sorts[-1] == sort:
            # Keys that ascend, as dated ones do, fill leaves instead of halving them.
            _split(tree, leaf, after(sort), [])
        else:
            middle = len(sorts) // 2
            _split(tree, leaf, sorts[middle], sorts[middle:])
    finally:
        leaf.unlock()


def _split(tree: Tree, leaf: Leaf, low: str, moving: Sequence[str]) -> None:
    fallback = leaf.id if moving else None
    fresh = ""

    def add(ranges: list[Range]) -> list[Range] | None:
        nonlocal fresh
        owner = ranges[bisect_right([one.low for one in ranges], low) - 1]
        if owner.leaf != leaf.id or owner.low == low:
            return None
        # Made under the lock of the map, under which fsck takes unnamed leaves away.
        fresh = make_leaf(tree.leaves_fd, durable=tree.durable)
        return sorted([*ranges, Range(low, fresh, fallback)])

    if tree.change_map(add) and moving:
        target = tree.handles.leaf(fresh, tree.leaves_fd)
        _move(tree, leaf, target, [file_name(sort) for sort in moving])


def _move(tree: Tree, leaf: Leaf, target: Leaf, names: Sequence[str]) -> None:
    """Move records to the leaf that the map names for them, then drop the fallback."""
    for name in names:
        syscalls.rename(name, name, src_dir_fd=leaf.fd, dst_dir_fd=target.fd)
    if tree.durable:
        syscalls.fsync(target.fd)
        syscalls.fsync(leaf.fd)
    tree.change_map(
        lambda ranges: [
            one._replace(fallback=None) if one.leaf == target.id else one for one in ranges
        ]
    )


def finish_move(tree: Tree, leaf_id: str) -> None:
    """Finish the move out of a leaf: wait for whoever is at it, or do it in his place. The
    map in memory is left as it is.

    Raises:
        FileNotFoundError: the leaf is gone.
    """
    leaf = tree.handles.leaf(leaf_id, tree.leaves_fd)
    leaf.lock()
    try:
        # Not by `reload`, which waits for a missing map: not with a leaf locked.
        try:
            seen = load(tree.fd)
        except FileNotFoundError:
            return
        _finish_locked(tree, leaf, seen)
    finally:
        leaf.unlock()


def _finish_locked(tree: Tree, leaf: Leaf, seen: Map) -> None:
    for index, one in enumerate(seen.ranges):
        if one.fallback != leaf.id:
            continue
        high = seen.high(index)
        names = [
            name
            for name in tree.names_in(leaf)
            if (sort := tree.sort_of(name, leaf))
            and sort >= one.low
            and (high is None or sort < high)
        ]
        _move(tree, leaf, tree.handles.leaf(one.leaf, tree.leaves_fd), names)


def shrink(tree: Tree, sort: str) -> bool:
    """Drop the leaf of a sort key if it is empty and not the first; its range goes to the
    leaf before it."""
    leaf, seen = tree.acquire_with_map(sort)
    dropped = False
    try:
        index = seen.index(sort)
        in_use = [one for one in seen.ranges if one.fallback == leaf.id]
        names = os.listdir(leaf.fd)
        if index > 0 and not names and not in_use:
            dropped = tree.change_map(lambda ranges: [one for one in ranges if one.leaf != leaf.id])
    finally:
        leaf.unlock()
    if dropped:
        tree.handles.drop(leaf.id)
        with contextlib.suppress(OSError):  # someone put a temporary in; fsck removes it
            syscalls.rmdir(leaf.id, dir_fd=tree.leaves_fd)
    return dropped
