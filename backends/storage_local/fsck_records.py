"""The part of fsck that looks at records and the bytes of objects."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from dataclasses import dataclass, field

from storage_core.checksum import PIECE, crc32c
from storage_core.errors import IntegrityError
from storage_local import syscalls
from storage_local.bucket import VERSIONS, Bucket
from storage_local.commit import drop_data
from storage_local.data import open_data
from storage_local.fsck import Check, set_aside, temporaries
from storage_local.handles import Handle, Leaf
from storage_local.names import TEMPORARY, file_name, is_long, key_of, sort_key
from storage_local.reader import find
from storage_local.record import Record
from storage_local.record_file import read_record, sort_key_of
from storage_local.tree import Tree

_WHOLE = 1 << 20


@dataclass(slots=True)
class Seen:
    """What the records of a bucket name.

    Attributes:
        data: Names of their data files.
        damaged: Whether records were met that can not tell what they name.
        complete: Whether all records could be looked at.
    """

    data: set[str] = field(default_factory=set)
    damaged: bool = False
    complete: bool = True


def check_leaf(run: Check, bucket: Bucket, tree: Tree, leaf_id: str, seen: Seen) -> None:
    """Look at the temporaries and records of a leaf, and note what they name."""
    try:
        leaf = tree.handles.leaf(leaf_id, tree.leaves_fd)
    except FileNotFoundError:  # dropped meanwhile; its range was empty
        return
    leaf.lock(fcntl.LOCK_SH)
    try:
        names = sorted(os.listdir(leaf.fd))
    finally:
        leaf.unlock()
    for name in temporaries(leaf.fd, names):
        remove_temporary(run, bucket, leaf, name)
    for name in names:
        if not name.startswith(TEMPORARY):
            _check_record(run, bucket, tree, leaf, name, seen)


def remove_temporary(run: Check, bucket: Bucket, leaf: Leaf, name: str) -> None:
    """Note a temporary that was claimed, and remove it if asked to."""

    def remove() -> None:
        with contextlib.suppress(FileNotFoundError):
            syscalls.unlink(name, dir_fd=leaf.fd)

    run.leftover("temporary", bucket, f"leaf {leaf.id}: {name}", remove)


def _check_record(
    run: Check, bucket: Bucket, tree: Tree, leaf: Leaf, name: str, seen: Seen
) -> None:
    where = f"{tree.name}/{leaf.id}/{name}"
    try:
        found = _examine(tree, leaf, name)
    except IntegrityError as error:
        seen.damaged = True
        run.damage(
            "damaged-record",
            bucket,
            f"{where}: {error.message}",
            key=_guess_key(name),
            mend=lambda: _set_aside_damaged(bucket, tree, leaf, name),
        )
        return
    except OSError as error:
        # The disk or the process is in trouble, which says nothing about the record; but
        # what it names is not known.
        seen.complete = False
        run.damage("unreadable-record", bucket, f"{where}: {error.strerror}", key=_guess_key(name))
        return
    if found is None:  # deleted or moved to another leaf meanwhile
        return
    record, sort, key = found
    if record.data_name is not None:
        seen.data.add(record.data_name)
    run.tick(record.size)
    if not _at_home(tree, leaf, sort):
        run.damage(
            "misplaced-record",
            bucket,
            f"{tree.name}/{leaf.id}",
            key=key,
            mend=lambda: send_home(bucket, tree, leaf, name),
        )
        return
    if record.expires and not record.live and not record.marker:
        run.leftover("expired", bucket, key, lambda: _expire(bucket, tree, sort, record))
    elif tree.name == VERSIONS and _is_twin(bucket, key, record):
        run.leftover("twin", bucket, f"{key} {record.version}", lambda: _untwin(bucket, key, sort))
    else:
        _check_bytes(run, bucket, key, record, sort)


def _examine(tree: Tree, leaf: Leaf, name: str) -> tuple[Record, str, str] | None:
    """A record with its sort key and key; None if it is gone.

    Raises:
        IntegrityError: it is damaged.
        OSError: it could not be read.
    """
    try:
        record = read_record(name, leaf.fd, _WHOLE)
        if record is None:
            return None
        sort = sort_key_of(name, record) if is_long(name) else name
        key = None if sort is None else key_of(sort)
        if key is None or sort is None or file_name(_canonical(tree, key, sort)) != name:
            raise IntegrityError("the name fits no key")
    except ValueError as error:
        raise IntegrityError(f"the name fits no key: {error}") from None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
            raise IntegrityError(f"it is no file: {error.strerror}") from None
        raise
    return record, sort, key


def _set_aside_damaged(bucket: Bucket, tree: Tree, leaf: Leaf, name: str) -> bool:
    """Set a damaged record aside, unless it was replaced or deleted meanwhile."""
    leaf.lock()
    try:
        _examine(tree, leaf, name)
    except IntegrityError:
        set_aside(bucket, name, leaf.fd)
        return True
    finally:
        leaf.unlock()
    return False


def _canonical(tree: Tree, key: str, sort: str) -> str:
    return sort_key(key, sort.partition("!")[2] if tree.name == VERSIONS else "")


def _guess_key(name: str) -> str | None:
    try:
        return None if is_long(name) else key_of(name)
    except ValueError:
        return None


def _at_home(tree: Tree, leaf: Leaf, sort: str) -> bool:
    """Whether the leaf is the one the map names, or the record may be on its way."""
    seen = tree.map
    one = seen.ranges[seen.index(sort)]
    if leaf.id in {one.leaf, one.fallback}:
        return True
    one = tree.reload().ranges[tree.map.index(sort)]
    if leaf.id in {one.leaf, one.fallback}:
        return True
    # A split may have moved it since its name was read.
    return read_record(file_name(sort), leaf.fd) is None


def _expire(bucket: Bucket, tree: Tree, sort: str, seen: Record) -> bool:
    leaf = tree.acquire(sort)
    try:
        record = read_record(file_name(sort), leaf.fd)
        if record is None or record.id != seen.id or record.live:
            return False
        syscalls.unlink(file_name(sort), dir_fd=leaf.fd)
    finally:
        leaf.unlock()
    if tree.durable:
        syscalls.fsync(leaf.fd)
    drop_data(bucket, record)
    return True


def _is_twin(bucket: Bucket, key: str, record: Record) -> bool:
    raw = bucket.objects.read(sort_key(key))
    return raw is not None and Record(raw).id == record.id


def _untwin(bucket: Bucket, key: str, sort: str) -> bool:
    """Remove a version that is still current, left where a crash came before the rename."""
    current = sort_key(key)
    with bucket.lock():  # two leaves are locked; see `Tree.acquire`
        leaf = bucket.objects.acquire(current)
        try:
            target = bucket.versions.acquire(sort)
            try:
                one = read_record(file_name(current), leaf.fd)
                other = read_record(file_name(sort), target.fd)
                if one is None or other is None or one.id != other.id:
                    return False
                syscalls.unlink(file_name(sort), dir_fd=target.fd)
            finally:
                target.unlock()
        finally:
            leaf.unlock()
    return True


def _check_bytes(run: Check, bucket: Bucket, key: str, record: Record, sort: str) -> None:
    problem = _bytes_problem(run, bucket, record)
    if problem is None:
        return
    # The object may have been replaced or deleted since its record was read.
    version = record.version if "!" in sort and not sort.endswith("!") else None
    try:
        again = find(bucket, key, version)
    except IntegrityError:
        pass
    except FileNotFoundError:
        return
    else:
        if again.id != record.id:
            return
    run.damage(problem[0], bucket, problem[1], key=key)


def _bytes_problem(run: Check, bucket: Bucket, record: Record) -> tuple[str, str] | None:
    if record.inline:
        data = record.data
        if len(data) != record.size:
            return "wrong-size", f"{len(data)} bytes inline, {record.size} were stored"
        return None if crc32c(data) == record.crc else ("wrong-checksum", "inline bytes")
    name = record.data_name
    if name is None:
        return None
    try:
        file = Handle(open_data(bucket, name))
    except FileNotFoundError as error:
        return "missing-data", f"data file {name}: {error.strerror}"
    except OSError as error:
        return "unreadable-data", f"data file {name}: {error.strerror}"
    if (size := os.fstat(file.fd).st_size) != record.size:
        return "wrong-size", f"data file {name} has {size} bytes, {record.size} were stored"
    if not run.deep:
        return None
    crc = 0
    try:
        while piece := os.read(file.fd, PIECE):
            crc = crc32c(piece, crc)
    except OSError as error:
        return "unreadable-data", f"data file {name}: {error.strerror}"
    return None if crc == record.crc else ("wrong-checksum", f"data file {name}")


def send_home(bucket: Bucket, tree: Tree, leaf: Leaf, name: str) -> None:
    """Move a record that stands in a wrong leaf to its own; one that has its equal there is
    set aside."""
    record = read_record(name, leaf.fd)
    if record is None:
        return
    sort = sort_key_of(name, record) if is_long(name) else name
    if sort is None:
        set_aside(bucket, name, leaf.fd)
        return
    home = tree.acquire(sort)
    try:
        if home.id == leaf.id:
            return
        if read_record(name, home.fd) is None:
            syscalls.rename(name, name, src_dir_fd=leaf.fd, dst_dir_fd=home.fd)
        else:
            set_aside(bucket, name, leaf.fd)
    finally:
        home.unlock()
    if tree.durable:
        syscalls.fsync(home.fd)
        syscalls.fsync(leaf.fd)
