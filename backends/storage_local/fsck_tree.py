"""The part of fsck that looks at maps, leaves and records."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass, field

from storage_core.checksum import crc32c
from storage_core.errors import IntegrityError
from storage_local import split, syscalls
from storage_local.bucket import RETIRED, VERSIONS, Bucket
from storage_local.commit import drop_data
from storage_local.data import open_data
from storage_local.fsck import Check, in_use, set_aside, temporaries
from storage_local.handles import FileLock, Handle, Leaf
from storage_local.names import TEMPORARY, file_name, is_long, key_of, sort_key
from storage_local.reader import find
from storage_local.record import Record, read_record, sort_key_of
from storage_local.tree import Tree
from storage_local.tree_map import MAP, Range, load, make_leaf, store

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
                _check_leaf(run, bucket, tree, one.leaf, seen)
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
    try:
        problem = _map_problem(tree)
    except (IntegrityError, FileNotFoundError) as error:
        problem = str(error)
    if problem is None:
        return True
    run.damage("damaged-map", bucket, f"{tree.name}: {problem}", mend=lambda: _rebuild(tree))
    return run.repair


def _map_problem(tree: Tree) -> str | None:
    with FileLock(".", tree.fd, fcntl.LOCK_EX):
        present = set(os.listdir(tree.leaves_fd))
        for one in load(tree.fd).ranges:
            if one.leaf not in present:
                return f"leaf {one.leaf} is missing"
    tree.reload()
    return None


def _rebuild(tree: Tree) -> None:
    """Make a map anew from the leaves: each begins where its least record does."""
    with FileLock(".", tree.fd, fcntl.LOCK_EX):
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
        leaf = tree.handles.leaf(fallback, tree.leaves_fd)
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
    with FileLock(".", tree.fd, fcntl.LOCK_EX):
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
        _remove_temporary(run, bucket, leaf, name)
    records = tree.names_in(leaf)
    if records:

        def bring_home() -> None:
            for name in records:
                _send_home(bucket, tree, leaf, name)
            syscalls.rmdir(stray, dir_fd=tree.leaves_fd)

        run.damage(
            "lost-leaf", bucket, f"{tree.name}/{stray}: {len(records)} records", mend=bring_home
        )
    elif not os.listdir(leaf.fd):

        def remove() -> None:
            with contextlib.suppress(OSError):
                syscalls.rmdir(stray, dir_fd=tree.leaves_fd)

        run.leftover("empty-leaf", bucket, f"{tree.name}/{stray}", remove)


def _send_home(bucket: Bucket, tree: Tree, leaf: Leaf, name: str) -> None:
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


# --- records --------------------------------------------------------------------------


def _check_leaf(run: Check, bucket: Bucket, tree: Tree, leaf_id: str, seen: Seen) -> None:
    try:
        leaf = tree.handles.leaf(leaf_id, tree.leaves_fd)
    except FileNotFoundError:  # dropped meanwhile; its range was empty
        return
    leaf.lock(fcntl.LOCK_SH)
    try:
        names = sorted(os.listdir(leaf.fd))
    finally:
        leaf.unlock()
    for name in names:
        if name.startswith(TEMPORARY):
            if not in_use(name, leaf.fd):
                _remove_temporary(run, bucket, leaf, name)
        else:
            _check_record(run, bucket, tree, leaf, name, seen)


def _remove_temporary(run: Check, bucket: Bucket, leaf: Leaf, name: str) -> None:
    def remove() -> None:
        with contextlib.suppress(FileNotFoundError):
            syscalls.unlink(name, dir_fd=leaf.fd)

    run.leftover("temporary", bucket, f"leaf {leaf.id}: {name}", remove)


def _check_record(
    run: Check, bucket: Bucket, tree: Tree, leaf: Leaf, name: str, seen: Seen
) -> None:
    try:
        record = read_record(name, leaf.fd, _WHOLE)
        if record is None:  # deleted or moved to another leaf meanwhile
            return
        sort = sort_key_of(name, record) if is_long(name) else name
        key = None if sort is None else key_of(sort)
        if key is None or sort is None or file_name(_canonical(tree, key, sort)) != name:
            raise IntegrityError("the name fits no key")
    except (IntegrityError, ValueError, OSError) as error:
        seen.damaged = True
        run.damage(
            "damaged-record",
            bucket,
            f"{tree.name}/{leaf.id}/{name}: {error}",
            key=_guess_key(name),
            mend=lambda: set_aside(bucket, name, leaf.fd),
        )
        return
    if record.data_name is not None:
        seen.data.add(record.data_name)
    run.tick(record.size)
    if not _at_home(tree, leaf, sort):
        run.damage(
            "misplaced-record",
            bucket,
            f"{tree.name}/{leaf.id}",
            key=key,
            mend=lambda: _send_home(bucket, tree, leaf, name),
        )
        return
    if record.expires and not record.live and not record.marker:
        run.leftover("expired", bucket, key, lambda: _expire(bucket, tree, sort, record))
    elif tree.name == VERSIONS and _is_twin(bucket, key, record):
        run.leftover("twin", bucket, f"{key} {record.version}", lambda: _untwin(bucket, key, sort))
    else:
        _check_bytes(run, bucket, key, record, sort)


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
    except OSError as error:
        return "missing-data", f"data file {name}: {error.strerror}"
    if (size := os.fstat(file.fd).st_size) != record.size:
        return "wrong-size", f"data file {name} has {size} bytes, {record.size} were stored"
    if not run.deep:
        return None
    crc = 0
    while piece := os.read(file.fd, 256 * 1024):
        crc = crc32c(piece, crc)
    return None if crc == record.crc else ("wrong-checksum", f"data file {name}")
