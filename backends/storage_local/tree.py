"""An ordered tree of records: directories of small files, each for a range of sort keys.

The invariant that lets readers go without locks: *a record has exactly one name at any
time*. A reader that finds a record in the leaf its map names has the current one, however
old the map; one that finds none compares the map with the one on disk before it believes it.
Writers and scans hold the lock of the leaf and check the map under it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from storage_core.errors import IntegrityError
from storage_local import syscalls
from storage_local.handles import FileLock, Handle, Handles, Leaf
from storage_local.names import FIRST, LONG_NAME, TEMPORARY, file_name, is_long
from storage_local.record import HEAD_SIZE
from storage_local.record_file import read_raw, read_record, sort_key_of
from storage_local.tree_map import LEAVES, MAP, Change, Map, Range, load, store


class TreeGoneError(Exception):
    """The tree's bucket was deleted while its directory was open.

    Args:
        bucket: Its name.
    """

    def __init__(self, bucket: str) -> None:
        super().__init__(bucket)
        self.bucket = bucket


@dataclass(frozen=True, slots=True)
class Limits:
    """When leaves are split.

    Attributes:
        leaf_size: Records above which a leaf is split.
        check_every: A leaf is counted after one in so many creations.
    """

    leaf_size: int = 4096
    check_every: int = 512


class Scan(NamedTuple):
    """The sort keys of one leaf's range, ascending.

    `leaf` is where the records are, None while they are being moved; `high` is where the
    next range begins, None at the end of the tree.
    """

    sorts: list[str]
    leaf: Leaf | None
    high: str | None


class Tree:
    """One ordered tree of a bucket, shared by threads.

    Args:
        name: Directory of the tree inside ``dir_fd``.
        handles: The root's open leaves.
        limits: When leaves are split.
        durable: Whether changes of the structure are synced.
        settle: Called when the map is missing: returns when it is back, or raises
            `TreeGoneError`.
    """

    def __init__(
        self,
        name: str,
        dir_fd: int,
        handles: Handles,
        limits: Limits,
        *,
        durable: bool,
        settle: Callable[[], None],
    ) -> None:
        self._tree = Handle(os.open(name, syscalls.DIRECTORY, dir_fd=dir_fd))
        self._leaves = Handle(os.open(LEAVES, syscalls.DIRECTORY, dir_fd=self._tree.fd))
        self.name = name
        self.fd = self._tree.fd
        self.leaves_fd = self._leaves.fd
        self.handles = handles
        self.limits = limits
        self.durable = durable
        self._settle = settle
        self._map: Map | None = None

    # --- map --------------------------------------------------------------------------

    @property
    def map(self) -> Map:
        """The map as last seen."""
        return self._map or self.reload()

    def reload(self) -> Map:
        """Read the map again."""
        while True:
            try:
                self._map = fresh = load(self.fd)
            except FileNotFoundError:
                self._settle()
            else:
                return fresh

    def is_current(self, seen: Map) -> bool:
        """Whether ``seen`` is still the map on disk. False too if there is none."""
        try:
            found = os.stat(MAP, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return found.st_ino == seen.inode

    def change_map(self, change: Change) -> bool:
        """Replace the map by what ``change`` makes of its ranges. The caller holds the lock
        of the leaf whose range changes.

        Returns:
            False when nothing was done: ``change`` found nothing to do, or somebody is about
            to delete the bucket.
        """
        with FileLock(".", self.fd, fcntl.LOCK_EX):
            try:
                ranges = change(list(load(self.fd).ranges))
            except FileNotFoundError:
                return False
            if ranges is None:
                return False
            store(self.fd, ranges, durable=self.durable)
            self._map = load(self.fd)
        return True

    # --- reading ----------------------------------------------------------------------

    def read(self, sort: str, first: int = HEAD_SIZE) -> bytes | None:
        """Bytes of a record, as of `read_raw`, without any lock; None if there is none."""
        name = file_name(sort)
        seen = self._map or self.reload()
        while True:
            one = seen.ranges[seen.index(sort)]
            raw = self._read(one.leaf, name, first)
            if raw is None and one.fallback is not None:
                raw = self._read(one.fallback, name, first)
                if raw is None:  # it may have moved between the two looks
                    raw = self._read(one.leaf, name, first)
            if raw is not None or (self.is_current(seen) and self._has_leaves(one, seen)):
                return raw
            seen = self.reload()

    def at_hand(self, sort: str) -> tuple[str, Leaf] | None:
        """Name and leaf of a record, if there is one; None where the disk must be asked."""
        seen = self._map
        if seen is None:
            return None
        one = seen.ranges[seen.index(sort)]
        leaf = None if one.fallback is not None else self.handles.at_hand(one.leaf)
        return None if leaf is None else (file_name(sort), leaf)

    def _has_leaves(self, one: Range, seen: Map) -> bool:
        """Whether a range's leaves are there; False if the map is old.

        Raises:
            IntegrityError: one is missing, so that no absence can be believed.
        """
        try:
            for leaf_id in filter(None, (one.leaf, one.fallback)):
                self.handles.leaf(leaf_id, self.leaves_fd)
        except FileNotFoundError:
            if self.is_current(seen):
                raise _missing_leaf() from None
            return False
        return True

    def _read(self, leaf_id: str, name: str, first: int) -> bytes | None:
        # The variable keeps the descriptor open though another thread may evict the leaf.
        try:
            leaf = self.handles.leaf(leaf_id, self.leaves_fd)
        except FileNotFoundError:
            return None
        return read_raw(name, leaf.fd, first)

    def scan(self, start: str) -> Scan:
        """The sort keys from ``start`` on to the end of its range."""
        while True:
            seen = self._map or self.reload()
            index = seen.index(start)
            one = seen.ranges[index]
            try:
                leaf = self.handles.leaf(one.leaf, self.leaves_fd)
                # While records move, the old leaf's lock is the one that holds them still.
                locked = leaf
                if one.fallback is not None:
                    locked = self.handles.leaf(one.fallback, self.leaves_fd)
                names = self._names(seen, locked, leaf)
            except FileNotFoundError:
                if self.is_current(seen):
                    raise _missing_leaf() from None
                names = None
            if names is not None:
                high = seen.high(index)
                sorts, lost = self._sorts(names, leaf, locked, max(start, FIRST), high)
                # The record of a shortened name may be gone or damaged; but if the map has
                # changed, a split may have taken it elsewhere since its name was read.
                if not lost or self.is_current(seen):
                    return Scan(sorts, leaf if locked is leaf else None, high)
            self.reload()

    def _names(self, seen: Map, locked: Leaf, leaf: Leaf) -> list[str] | None:
        locked.lock(fcntl.LOCK_SH)
        try:
            if not self.is_current(seen):
                return None
            names = os.listdir(locked.fd)
            if locked is not leaf:
                names += os.listdir(leaf.fd)
            return names
        finally:
            locked.unlock()

    def _sorts(
        self, names: list[str], leaf: Leaf, locked: Leaf, low: str, high: str | None
    ) -> tuple[list[str], bool]:
        """Sort keys of a range, and whether some name did not tell its own."""
        lost = False
        long = [name for name in names if len(name) == LONG_NAME and is_long(name)]
        if long:
            # Records move from the locked leaf to the other one, so none slips through.
            places = (leaf,) if leaf is locked else (leaf, locked, leaf)
            found = [_long_sort(name, *places) for name in long]
            lost = None in found
            names = [name for name in names if not is_long(name)]
            names += [sort for sort in found if sort is not None]
        if high is None:
            names = [name for name in names if name >= low]
        else:
            names = [name for name in names if low <= name < high]
        names.sort()
        return names, lost

    # --- writing ----------------------------------------------------------------------

    def leaf_of(self, sort: str) -> Leaf:
        """The leaf of a sort key, unlocked: a good place for a temporary."""
        while True:
            seen = self._map or self.reload()
            try:
                return self.handles.leaf(seen.ranges[seen.index(sort)].leaf, self.leaves_fd)
            except FileNotFoundError:
                if self.is_current(seen):
                    raise _missing_leaf() from None
                self.reload()

    def acquire(self, sort: str) -> Leaf:
        """The leaf of a sort key, locked to change it, all its records in it.

        It may wait for a missing map, and so for the bucket's lock. A caller that has locked
        a leaf before holds the bucket's lock, too: then no map goes missing.
        """
        return self.acquire_with_map(sort)[0]

    def acquire_with_map(self, sort: str) -> tuple[Leaf, Map]:
        """As `acquire`, with the map that was current under the lock. `map` may be an older
        one, set by another thread."""
        while True:
            seen = self._map or self.reload()
            one = seen.ranges[seen.index(sort)]
            try:
                if one.fallback is not None:
                    from storage_local.split import finish_move

                    finish_move(self, one.fallback)
                elif (leaf := self._locked(one.leaf, seen)) is not None:
                    return leaf, seen
            except FileNotFoundError:
                if self.is_current(seen):
                    raise _missing_leaf() from None
            self.reload()

    def acquire_to_remove(self, sort: str) -> tuple[Leaf, Leaf]:
        """As `acquire`, for the removal of a record: the locked leaf, and the one it is in.

        They are two where a move was interrupted and the disk is too full to finish it, which
        is when removal is wanted most. The lock of the leaf that records are moved from is
        the one that holds them still.
        """
        while True:
            try:
                leaf = self.acquire(sort)
            except OSError as error:
                if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                    raise
            else:
                return leaf, leaf
            seen = self.reload()
            one = seen.ranges[seen.index(sort)]
            if one.fallback is not None and (old := self._locked(one.fallback, seen)) is not None:
                moved = self._read(one.leaf, file_name(sort), HEAD_SIZE) is not None
                return old, self.handles.leaf(one.leaf, self.leaves_fd) if moved else old

    def _locked(self, leaf_id: str, seen: Map) -> Leaf | None:
        """A leaf, locked; None if the map is old.

        Raises:
            FileNotFoundError: it is gone.
        """
        leaf = self.handles.leaf(leaf_id, self.leaves_fd)
        leaf.lock()
        current = False
        try:
            current = self.is_current(seen)
        finally:
            if not current:
                leaf.unlock()
        return leaf if current else None

    def names_in(self, leaf: Leaf) -> list[str]:
        """Names of the records in a locked leaf, unordered, of whatever range."""
        return [name for name in os.listdir(leaf.fd) if not name.startswith(TEMPORARY)]

    def sort_of(self, name: str, leaf: Leaf) -> str | None:
        """Sort key of a record of a locked leaf; None if it does not tell."""
        return _long_sort(name, leaf) if is_long(name) else name


def _long_sort(name: str, *places: Leaf) -> str | None:
    """Sort key behind a shortened name; None if the record is gone or damaged."""
    for leaf in places:
        try:
            record = read_record(name, leaf.fd)
        except IntegrityError:
            return None
        if record is not None:
            return sort_key_of(name, record)
    return None


def _missing_leaf() -> IntegrityError:
    return IntegrityError("a leaf that the map names is missing; run fsck")
