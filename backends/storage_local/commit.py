"""Publishing records: put, delete and change, each atomic under the lock of one leaf.

A record is written beside its place and synced without any lock, then renamed over the old
one under the lock, where conditions are checked; the leaf's directory is synced before the
write is acknowledged, and only then is the data file of the replaced record removed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from storage_core.errors import (
    IntegrityError,
    ObjectNotFoundError,
    UnavailableError,
    VersionNotFoundError,
)
from storage_core.model import NO_ATTRIBUTES, NO_CONDITIONS, Conditions, DeleteResult
from storage_core.requests import DeleteRequest
from storage_local import split, syscalls
from storage_local.bucket import Bucket
from storage_local.conditions import check_write
from storage_local.data import remove_data
from storage_local.handles import Leaf
from storage_local.names import TEMPORARY, after, file_name, sort_key
from storage_local.record import Record, describe, is_version, new_id, pack, repack
from storage_local.record_file import read_record
from storage_local.tree import Tree

_TRIES = 100
_NO_LOCK = contextlib.nullcontext()
WHOLE = 1 << 20
"""First read of a record whose inline bytes are wanted along with it."""


class _Temporary:
    """A record written into a leaf under a name that no listing shows."""

    __slots__ = ("fd", "leaf", "name")

    def __init__(self, leaf: Leaf, name: str, raw: bytes, *, durable: bool) -> None:
        self.leaf = leaf
        self.name = name
        self.fd = syscalls.create_locked(self.name, leaf.fd)
        try:
            syscalls.write_all(self.fd, raw)
            if durable:
                syscalls.fsync(self.fd)
        except BaseException:
            self.discard()
            raise

    def rename(self, name: str, leaf: Leaf) -> None:
        syscalls.rename(self.name, name, src_dir_fd=self.leaf.fd, dst_dir_fd=leaf.fd)
        os.close(self.fd)
        self.fd = -1

    def discard(self) -> None:
        if self.fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                syscalls.unlink(self.name, dir_fd=self.leaf.fd)
            os.close(self.fd)


def _write_temporary(tree: Tree, sort: str, new: Record) -> _Temporary:
    name = TEMPORARY + new.id.hex()
    for _ in range(_TRIES):
        try:
            return _Temporary(tree.leaf_of(sort), name, new.raw, durable=tree.durable)
        except FileNotFoundError:  # the leaf was dropped between the look and the write
            tree.reload()
    raise UnavailableError("the leaves of the bucket change faster than a record is written")


def publish(bucket: Bucket, key: str, raw: bytes, conditions: Conditions = NO_CONDITIONS) -> Record:
    """Make ``raw`` the current record of a key; return it as it was published.

    Its data file, if it has one, is in place already, and is removed again when the record is
    refused. When it is not known whether the record is in place, the file stays: without it
    the object would be lost, and fsck removes one that no record names.

    Raises:
        PreconditionFailedError: a condition does not hold.
        TreeGoneError: the bucket was deleted.
    """
    tree, sort = bucket.objects, sort_key(key)
    name = file_name(sort)
    versions = bucket.options.versions
    new = Record(raw, trusted=True)
    in_place = False  # or perhaps so
    try:
        # Two leaves are locked for versions; see `Tree.acquire`.
        with bucket.lock() if versions else _NO_LOCK:
            for _ in range(_TRIES):
                temporary = _write_temporary(tree, sort, new)
                try:
                    leaf = tree.acquire(sort)
                    try:
                        old = _replaceable(bucket, name, leaf, conditions)
                        if versions and old is not None:
                            if old.order >= new.order:
                                # The clock stands or went back; versions ascend all the same.
                                new = Record(repack(new, order=old.order + 1), trusted=True)
                                continue
                            keep_version(bucket, key, old, leaf)
                        in_place = True
                        temporary.rename(name, leaf)
                        break
                    except FileNotFoundError:  # fsck took the temporary for a dead writer's
                        in_place = False
                    finally:
                        leaf.unlock()
                finally:
                    temporary.discard()
            else:
                raise UnavailableError("the record could not be put in place; try again")
    except Exception:
        if not in_place:
            drop_data(bucket, new)
        raise
    _finish(bucket, leaf, old, new, sort)
    return new


def _replaceable(bucket: Bucket, name: str, leaf: Leaf, conditions: Conditions) -> Record | None:
    """The record in a locked leaf that a write replaces; None if there is none, or a damaged
    one on which nothing depends.

    Raises:
        PreconditionFailedError: a condition does not hold.
    """
    plain = conditions is NO_CONDITIONS
    try:
        old = read_record(name, leaf.fd)
    except IntegrityError:
        if bucket.options.versions or not plain:
            raise
        return None
    if not plain:
        check_write(conditions, old if old is not None and old.live else None)
    return old


def _finish(bucket: Bucket, leaf: Leaf, old: Record | None, new: Record, sort: str) -> None:
    """What follows a change, outside the lock. Nothing but the sync may fail here, since the
    change is made; it can be seen by all, only not yet relied upon."""
    if bucket.options.durable:
        syscalls.fsync(leaf.fd)
    if old is None:
        split.created(bucket.objects, sort)
    elif not bucket.options.versions:
        drop_data(bucket, old, new)


def drop_data(bucket: Bucket, old: Record, new: Record | None = None) -> None:
    """Remove the data file of a record that is gone, unless its successor has it."""
    name = old.data_name
    if name is not None and (new is None or new.id != old.id):
        remove_data(bucket, name)


def keep_version(bucket: Bucket, key: str, old: Record, leaf: Leaf) -> None:
    """Link the current record of a locked leaf into the tree of versions."""
    versions = bucket.versions
    sort = sort_key(key, old.version)
    current, name = file_name(sort_key(key)), file_name(sort)
    target = versions.acquire(sort)
    try:
        try:
            syscalls.link(current, name, src_dir_fd=leaf.fd, dst_dir_fd=target.fd)
        except FileExistsError:
            # Left by a crash before the rename. Since then the current one may have been
            # changed, such as its tags.
            syscalls.unlink(name, dir_fd=target.fd)
            syscalls.link(current, name, src_dir_fd=leaf.fd, dst_dir_fd=target.fd)
    finally:
        target.unlock()
    if bucket.options.durable:
        syscalls.fsync(target.fd)
    # Counting it may split a leaf of the other tree, whose locks come after ours.
    split.created(versions, sort)


def change(
    bucket: Bucket, key: str, version: str | None, alter: Callable[[Record], bytes]
) -> Record:
    """Rewrite a record in place, such as its tags; return the new one.

    Raises:
        ObjectNotFoundError: there is none.
        PreconditionFailedError: from ``alter``.
    """
    for tree, sort in _places(bucket, key, version):
        name = file_name(sort)
        leaf = tree.acquire(sort)
        try:
            old = read_record(name, leaf.fd, WHOLE)
            if old is None or not old.live or (version is not None and old.version != version):
                continue
            raw = alter(old)
            # The write's id is not new, and a crash may have left a temporary named by it.
            temporary_name = TEMPORARY + os.urandom(8).hex()
            temporary = _Temporary(leaf, temporary_name, raw, durable=tree.durable)
            try:
                temporary.rename(name, leaf)
            finally:
                temporary.discard()
        finally:
            leaf.unlock()
        if tree.durable:
            syscalls.fsync(leaf.fd)
        return Record(raw)
    raise missing(version)


def missing(version: str | None = None) -> ObjectNotFoundError:
    """The error for an object, or a version, that is not there."""
    if version is None:
        return ObjectNotFoundError("there is no such object")
    return VersionNotFoundError(f"the object has no version {version!r}")


def _places(bucket: Bucket, key: str, version: str | None) -> list[tuple[Tree, str]]:
    """Where the record of a key (and version) can be, the current one first."""
    places = [(bucket.objects, sort_key(key))]
    if version is not None and is_version(version):
        places.append((bucket.versions, sort_key(key, version)))
    return places


# --- delete ---------------------------------------------------------------------------


def delete(bucket: Bucket, request: DeleteRequest) -> DeleteResult:
    """Delete an object or one version of it; see `Driver.delete`."""
    key, conditions = request.key, request.conditions
    if request.version is not None:
        if not is_version(request.version):
            check_write(conditions, None)
            return DeleteResult(key, request.version)
        return _delete_version(bucket, key, request.version, conditions)
    if bucket.options.versions:
        return _mark_deleted(bucket, key, conditions)
    return _delete_current(bucket, key, conditions)


def _delete_current(bucket: Bucket, key: str, conditions: Conditions) -> DeleteResult:
    tree, sort = bucket.objects, sort_key(key)
    if conditions is NO_CONDITIONS and tree.read(sort) is None:
        return DeleteResult(key)
    locked, leaf = tree.acquire_to_remove(sort)
    try:
        name = file_name(sort)
        old = _read_unless_damaged(name, leaf, conditions)
        if conditions is not NO_CONDITIONS:
            check_write(conditions, old if old is not None and old.live else None)
        removed = _unlink(name, leaf)
    finally:
        locked.unlock()
    if removed:
        _finish_removal(bucket, leaf, old)
        split.removed(tree, sort)
    return DeleteResult(key)


def _finish_removal(bucket: Bucket, leaf: Leaf, old: Record | None) -> None:
    if bucket.options.durable:
        syscalls.fsync(leaf.fd)
    if old is not None:
        drop_data(bucket, old)


def _read_unless_damaged(name: str, leaf: Leaf, conditions: Conditions) -> Record | None:
    """A record that is to go; None too for a damaged one where no condition depends on it.
    Its data file, if it had one, is then left to fsck."""
    try:
        return read_record(name, leaf.fd)
    except IntegrityError:
        if conditions is not NO_CONDITIONS:
            raise
        return None


def _unlink(name: str, leaf: Leaf) -> bool:
    try:
        syscalls.unlink(name, dir_fd=leaf.fd)
    except FileNotFoundError:
        return False
    return True


def _mark_deleted(bucket: Bucket, key: str, conditions: Conditions) -> DeleteResult:
    raw = bucket.objects.read(sort_key(key))
    try:
        nothing = raw is None or not Record(raw).live
    except IntegrityError:  # no version to keep
        return _delete_current(bucket, key, conditions)
    if nothing:
        check_write(conditions, None)
        return DeleteResult(key)  # nothing to hide
    now = time.time_ns()
    marker = pack(
        identity=new_id(),
        size=0,
        crc=0,
        modified=now,
        order=now,
        details=describe(key, NO_ATTRIBUTES),
        marker=True,
    )
    record = publish(bucket, key, marker, conditions)
    return DeleteResult(key, record.version, delete_marker=True)


def _delete_version(bucket: Bucket, key: str, version: str, conditions: Conditions) -> DeleteResult:
    """Remove one version for good; if it is the current one, the one before it takes its
    place."""
    sort = sort_key(key)
    # Promotion gives a record another place, which fsck must not miss: hence the lock.
    with bucket.lock():
        leaf = bucket.objects.acquire(sort)
        try:
            current = _read_unless_damaged(file_name(sort), leaf, conditions)
            if current is not None and current.version == version:
                check_write(conditions, current if current.live else None)
                if bucket.options.versions:
                    _unlink_version(bucket, key, version)  # a twin that a crash left
                if not _promote(bucket, key, leaf):
                    syscalls.unlink(file_name(sort), dir_fd=leaf.fd)
                gone: Record | None = current
            else:
                gone = _unlink_version(bucket, key, version, conditions)
        finally:
            leaf.unlock()
    if bucket.options.durable:
        syscalls.fsync(leaf.fd)
    if gone is None:
        return DeleteResult(key, version)
    drop_data(bucket, gone)
    return DeleteResult(key, version, delete_marker=gone.marker)


def _unlink_version(
    bucket: Bucket, key: str, version: str, conditions: Conditions = NO_CONDITIONS
) -> Record | None:
    sort = sort_key(key, version)
    leaf = bucket.versions.acquire(sort)
    try:
        found = _read_unless_damaged(file_name(sort), leaf, conditions)
        check_write(conditions, found)
        removed = _unlink(file_name(sort), leaf)
    finally:
        leaf.unlock()
    if removed and bucket.options.durable:
        syscalls.fsync(leaf.fd)
    return found


def _promote(bucket: Bucket, key: str, leaf: Leaf) -> bool:
    """Move the newest noncurrent version over the current record of a locked leaf; False if
    there is none."""
    newest = newest_version(bucket, key)
    if newest is None:
        return False
    origin = bucket.versions.acquire(newest)
    try:
        syscalls.rename(
            file_name(newest),
            file_name(sort_key(key)),
            src_dir_fd=origin.fd,
            dst_dir_fd=leaf.fd,
        )
    finally:
        origin.unlock()
    if bucket.options.durable:
        syscalls.fsync(leaf.fd)
        syscalls.fsync(origin.fd)
    return True


def newest_version(bucket: Bucket, key: str) -> str | None:
    """Sort key of the newest noncurrent version of a key; None if it has none."""
    start = after(sort_key(key))
    stop = sort_key(key) + "\x7f"
    while start < stop:
        scan = bucket.versions.scan(start)
        if scan.sorts:
            return scan.sorts[0] if scan.sorts[0] < stop else None
        if scan.high is None:
            return None
        start = scan.high
    return None
