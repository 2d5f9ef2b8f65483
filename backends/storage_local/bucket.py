"""One open bucket: its directories, its two trees, its lock.

bucket.json   when it was made
lock          flock(2): shared by publishes of several files, exclusive by those who need
              the bucket to hold still
objects/      tree of current records
versions/     tree of noncurrent ones
data/<xx>/    data files
tmp/          data files in the making, each locked by its writer
uploads/<id>/ multipart sessions
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import TYPE_CHECKING

from storage_core.errors import BucketNotEmptyError, IntegrityError
from storage_core.model import BucketInfo
from storage_local import syscalls
from storage_local.handles import FileLock, Handle, Leaf
from storage_local.names import TEMPORARY
from storage_local.record import to_datetime
from storage_local.record_file import read_record
from storage_local.tree import Tree, TreeGoneError
from storage_local.tree_map import MAP, create_tree

if TYPE_CHECKING:
    from storage_local.layout import Root

BUCKET_FILE = "bucket.json"
LOCK = "lock"
RETIRED = "map.retired"
OBJECTS, VERSIONS = "objects", "versions"
DATA, TMP, UPLOADS = "data", "tmp", "uploads"


def create_bucket_in(fd: int, *, durable: bool) -> None:
    """Fill the directory of a bucket that nobody else sees yet."""
    for name in (DATA, TMP, UPLOADS):
        syscalls.mkdir(name, dir_fd=fd)
    for name in (OBJECTS, VERSIONS):
        create_tree(name, fd, durable=durable)
    stamp = json.dumps({"created": time.time_ns()}).encode()
    for name, content in ((LOCK, b""), (BUCKET_FILE, stamp + b"\n")):
        file = syscalls.create(name, syscalls.CREATE, 0o666, dir_fd=fd)
        try:
            syscalls.write_all(file, content)
            if durable:
                syscalls.fsync(file)
        finally:
            os.close(file)
    if durable:
        syscalls.fsync(fd)


class Place:
    """Where a bucket is. Apart from `Bucket`, so that its trees can refer to it without a
    cycle that would keep descriptors open."""

    __slots__ = ("_above", "_name", "dir")

    def __init__(self, name: str, above: Handle) -> None:
        self.dir = Handle(os.open(name, syscalls.DIRECTORY, dir_fd=above.fd))
        self._name = name
        self._above = above

    def check(self) -> None:
        """Make sure that the directory still has its name.

        Raises:
            TreeGoneError: it was deleted.
        """
        try:
            found = os.stat(self._name, dir_fd=self._above.fd, follow_symlinks=False)
        except FileNotFoundError:
            raise self.gone() from None
        if found.st_ino != os.fstat(self.dir.fd).st_ino:
            raise self.gone()

    def gone(self) -> TreeGoneError:
        """The error for a bucket that was deleted."""
        return TreeGoneError(self._name)

    def settle(self) -> None:
        """Wait for whoever has taken a map away; put it back if he died over it.

        Raises:
            TreeGoneError: the bucket was deleted.
        """
        try:
            with FileLock(LOCK, self.dir.fd, fcntl.LOCK_EX):
                self.check()
                for tree in (OBJECTS, VERSIONS):
                    handle = Handle(os.open(tree, syscalls.DIRECTORY, dir_fd=self.dir.fd))
                    _restore(handle.fd)
        except FileNotFoundError:
            raise self.gone() from None

    def maps_present(self) -> bool:
        """Whether both trees have their maps."""
        return all(
            os.access(f"{tree}/{MAP}", os.F_OK, dir_fd=self.dir.fd) for tree in (OBJECTS, VERSIONS)
        )


class BucketLock(FileLock):
    """The lock of a bucket whose maps are in place. While it is held nobody can take them
    away, so whoever holds it never has to wait for them, which would be for himself."""

    __slots__ = ("_place",)

    def __init__(self, place: Place, kind: int) -> None:
        super().__init__(LOCK, place.dir.fd, kind)
        self._place = place

    def __enter__(self) -> None:
        while True:
            try:
                super().__enter__()
            except FileNotFoundError:
                raise self._place.gone() from None
            if self._place.maps_present():
                return
            self.__exit__(None, None, None)
            self._place.settle()


class Bucket:
    """An open bucket, shared by threads.

    Raises:
        FileNotFoundError: there is none.
    """

    def __init__(self, root: Root, name: str) -> None:
        self.name = name
        self.options = root.options
        self.root = root
        self._place = Place(name, root.bucket_dir)
        self.fd = self._place.dir.fd
        self.data = Handle(os.open(DATA, syscalls.DIRECTORY, dir_fd=self.fd))
        self.tmp = Handle(os.open(TMP, syscalls.DIRECTORY, dir_fd=self.fd))
        self.uploads = Handle(os.open(UPLOADS, syscalls.DIRECTORY, dir_fd=self.fd))
        self.objects = self._tree(OBJECTS)
        self.versions = self._tree(VERSIONS)
        self.reads_at_once: bool | None = None
        """Whether what is in memory can be read without a wait; None until it was tried."""

    def _tree(self, name: str) -> Tree:
        return Tree(
            name,
            self.fd,
            self.root.handles,
            self.options.limits,
            durable=self.options.durable,
            settle=self._place.settle,
        )

    def info(self) -> BucketInfo:
        """Name and time of creation.

        Raises:
            TreeGoneError: it was deleted.
        """
        try:
            with open(os.open(BUCKET_FILE, syscalls.READ, dir_fd=self.fd), "rb") as file:
                created = to_datetime(json.load(file)["created"])
        except FileNotFoundError:
            raise self._place.gone() from None
        except (ValueError, KeyError, TypeError, OverflowError):
            raise IntegrityError(f"{BUCKET_FILE} of the bucket is damaged; run fsck") from None
        self.check_present()
        return BucketInfo(self.name, created)

    def check_present(self) -> None:
        """Make sure that this is still the bucket of its name.

        Raises:
            TreeGoneError: it was deleted.
        """
        self._place.check()

    # --- lock and end -----------------------------------------------------------------

    def lock(self, kind: int = fcntl.LOCK_SH) -> BucketLock:
        """The bucket's lock, for a ``with`` statement. Taken before any lock of a leaf.

        Raises:
            TreeGoneError: at entry, when the bucket was deleted.
        """
        return BucketLock(self._place, kind)

    def bare_lock(self) -> FileLock:
        """The bucket's lock, exclusive, whatever state its maps are in."""
        return FileLock(LOCK, self.fd, fcntl.LOCK_EX)

    def retire(self) -> None:
        """Make sure that the bucket is empty and stays so, under its exclusive lock.

        Taking the map away turns away whoever has not validated it yet; taking each leaf's
        lock waits for whoever has.

        Raises:
            BucketNotEmptyError: it is not empty; nothing has changed.
        """
        self.check_present()
        # Others are sessions that a crash left half made or half removed.
        if any(not name.startswith(TEMPORARY) for name in os.listdir(self.uploads.fd)):
            raise BucketNotEmptyError(
                "the bucket has open uploads; complete or abort them, or delete it by force"
            )
        trees = (self.objects, self.versions)
        try:
            for tree in trees:
                with FileLock(".", tree.fd, fcntl.LOCK_EX):
                    tree.reload()
                    syscalls.rename(MAP, RETIRED, src_dir_fd=tree.fd, dst_dir_fd=tree.fd)
            for tree in trees:
                if not _is_empty(tree, self.options.versions):
                    raise BucketNotEmptyError(self._left(tree))
        except BaseException:
            for tree in trees:
                restore_map(tree)
            raise

    def _left(self, tree: Tree) -> str:
        if tree is self.versions and not self.options.versions:
            # They are somebody's data, though this profile does not show them.
            return (
                "the bucket holds old versions, kept by a profile with versions = true; delete"
                " it by force with such a profile"
            )
        return f"the bucket holds {tree.name}; delete them first, or delete it by force"

    def settle(self) -> None:
        """Put maps back that somebody died over; see `Place.settle`."""
        self._place.settle()


def _is_empty(tree: Tree, versions: bool) -> bool:
    """Whether a tree without a map holds no record that counts."""
    leaves = []
    for leaf_id in os.listdir(tree.leaves_fd):
        with contextlib.suppress(FileNotFoundError):  # dropped meanwhile, so it was empty
            leaves.append(tree.handles.leaf(leaf_id, tree.leaves_fd))
    for leaf in leaves:
        leaf.lock()
        leaf.unlock()
    # A second pass, because whoever was waited for may have moved records from one leaf to
    # another. Now nobody changes anything any more.
    return not any(_counts(name, leaf, versions) for leaf in leaves for name in _names(tree, leaf))


def _counts(name: str, leaf: Leaf, versions: bool) -> bool:
    """Whether a record keeps its bucket from being empty: not an expired one, and a delete
    marker only in a profile that shows it. A damaged one does."""
    try:
        record = read_record(name, leaf.fd)
    except IntegrityError:
        return True
    return record is not None and (record.live or (record.marker and versions))


def _names(tree: Tree, leaf: Leaf) -> list[str]:
    try:
        return tree.names_in(leaf)
    except FileNotFoundError:  # dropped meanwhile
        return []


def restore_map(tree: Tree) -> None:
    """Undo the retirement of a tree."""
    _restore(tree.fd)


def _restore(tree_fd: int) -> None:
    if os.access(MAP, os.F_OK, dir_fd=tree_fd):
        return
    try:
        syscalls.rename(RETIRED, MAP, src_dir_fd=tree_fd, dst_dir_fd=tree_fd)
    except FileNotFoundError:
        raise IntegrityError("a map of the bucket is missing; run fsck") from None
