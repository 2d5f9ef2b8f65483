"""The part of fsck that looks at maps and leaves."""

from __future__ import annotations

import contextlib
import fcntl
import os
from functools import partial

from storage_core.errors import IntegrityError
from storage_local import split, syscalls
from storage_local.bucket import RETIRED, Bucket
from storage_local.fsck import Check, temporaries
from storage_local.fsck_records import Seen, check_leaf, remove_temporary, send_home
from storage_local.handles import FileLock, Leaf
from storage_local.names import TEMPORARY
from storage_local.tree import Tree
from storage_local.tree_map import MAP, Range, load, make_leaf, store


def check_trees(run: Check, bucket: Bucket) -> Seen:
    """Look at both trees of a bucket."""
    # Whoever moved a data file into place before this has published its record too, so what
    # the directory of data files shows now is named by the records that follow.
    with bucket.bare_lock():
        pass
    seen = Seen()
    for tree in (bucket.objects, bucket.versions):
        if _check_map(run, bucket, tree):
            _check_moves(run, bucket, tree)
            for one in list(tree.map.ranges):
                check_leaf(run, bucket, tree, one.leaf, seen)
            if run.repair:
                for one in list(tree.map.ranges)[1:]:
                    split.shrink(tree, one.low)
            _check_strays(run, bucket, tree)
        else:
            seen.complete = False
    return seen


# --- structure ------------------------------------------------------------------------


def _check_map(run: Check, bucket: Bucket, tree: Tree) -> bool:
    """Whether the tree has a map one can go by, perhaps after repair."""
    if not os.access(MAP, os.F_OK, dir_fd=tree.fd) and os.access(RETIRED, os.F_OK, dir_fd=tree.fd):
        bucket.check_present()
        run.leftover("retired-map", bucket, f"{tree.name}/{RETIRED}", bucket.settle)
        if not run.repair:
            return False
    problem = _map_problem(bucket, tree)
    if problem is None:
        tree.reload()
        return True
    mend = partial(_rebuild, bucket, tree)
    run.damage("damaged-map", bucket, f"{tree.name}: {problem}", mend=mend)
    return run.repair


def _map_problem(bucket: Bucket, tree: Tree) -> str | None:
    """What is wrong with a map. Under the bucket's lock, so that a deletion that fails does not
    look like a loss."""
    with bucket.bare_lock(), FileLock(".", tree.fd, fcntl.LOCK_EX):
        present = set(os.listdir(tree.leaves_fd))
        try:
            ranges = load(tree.fd).ranges
        except (IntegrityError, FileNotFoundError) as error:
            bucket.check_present()
            return str(error)
        for one in ranges:
            for leaf in (one.leaf, one.fallback):
                if leaf is not None and leaf not in present:
                    return f"leaf {leaf} is missing"
    return None


def _rebuild(bucket: Bucket, tree: Tree) -> None:
    """Make a map anew from the leaves: each begins where its least record does."""
    with bucket.bare_lock(), FileLock(".", tree.fd, fcntl.LOCK_EX):
        ranges = []
        for leaf_id in os.listdir(tree.leaves_fd):
            leaf = tree.handles.leaf(leaf_id, tree.leaves_fd)
            sorts = [sort for name in tree.names_in(leaf) if (sort := tree.sort_of(name, leaf))]
            if sorts:
                ranges.append(Range(min(sorts), leaf_id))
        ranges.sort()
        if not ranges:
            ranges = [Range("", make_leaf(tree.leaves_fd, durable=tree.durable))]
        ranges[0] = ranges[0]._replace(low="")
        store(tree.fd, ranges, durable=tree.durable)
    tree.reload()


def _check_moves(run: Check, bucket: Bucket, tree: Tree) -> None:
    for one in list(tree.map.ranges):
        fallback = one.fallback
        if fallback is None:
            continue
        try:
            leaf = tree.handles.leaf(fallback, tree.leaves_fd)
        except FileNotFoundError:  # finished and dropped meanwhile
            continue
        leaf.lock()  # waits for a split that is under way
        leaf.unlock()
        if any(again.fallback == fallback for again in tree.reload().ranges):
            run.leftover(
                "unfinished-split",
                bucket,
                f"{tree.name} from {one.low!r}",
                lambda fallback=fallback: split.finish_move(tree, fallback),  # type: ignore[misc]
            )


def _check_strays(run: Check, bucket: Bucket, tree: Tree) -> None:
    """Temporaries beside the map, and leaves it does not name."""
    with bucket.bare_lock(), FileLock(".", tree.fd, fcntl.LOCK_EX):
        for name in [name for name in os.listdir(tree.fd) if name.startswith(TEMPORARY)]:
            run.leftover(
                "temporary",
                bucket,
                f"{tree.name}/{name}",
                lambda name=name: syscalls.unlink(name, dir_fd=tree.fd),  # type: ignore[misc]
            )
        named = {one.leaf for one in load(tree.fd).ranges}
        strays = sorted(set(os.listdir(tree.leaves_fd)) - named)
    for stray in strays:
        _check_stray(run, bucket, tree, stray)


def _check_stray(run: Check, bucket: Bucket, tree: Tree, stray: str) -> None:
    try:
        leaf = Leaf(os.open(stray, syscalls.DIRECTORY, dir_fd=tree.leaves_fd), stray)
    except FileNotFoundError:
        return
    for name in temporaries(leaf.fd):
        remove_temporary(run, bucket, leaf, name)
    records = tree.names_in(leaf)
    if records:

        def bring_home() -> None:
            for name in records:
                send_home(bucket, tree, leaf, name)
            syscalls.rmdir(stray, dir_fd=tree.leaves_fd)

        run.damage(
            "lost-leaf", bucket, f"{tree.name}/{stray}: {len(records)} records", mend=bring_home
        )
    elif not os.listdir(leaf.fd):

        def remove() -> None:
            with contextlib.suppress(OSError):
                syscalls.rmdir(stray, dir_fd=tree.leaves_fd)

        run.leftover("empty-leaf", bucket, f"{tree.name}/{stray}", remove)
