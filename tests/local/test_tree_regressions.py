"""Faults of the tree found once: its locks, its maps, its scans."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from storage_core import Bucket, BucketNotEmptyError, IntegrityError, Storage
from storage_local import bucket as bucket_module
from storage_local import commit, fsck_data, split
from storage_local.handles import Leaf
from storage_local.names import sort_key
from storage_local.tree import Limits, Tree
from storage_local.tree_map import Map
from tests.local.conftest import OpenStorage, read_object, root_of

# --- locks ----------------------------------------------------------------------------


def test_a_put_with_versions_and_the_deletion_of_its_bucket_do_not_wait_for_each_other(
    open_storage: OpenStorage, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(versions=True)
    bucket = storage.create_bucket("fruit")
    bucket.put("a", b"one")
    keep, inside, retired = commit.keep_version, threading.Event(), threading.Event()
    look = bucket_module._is_empty

    def slow_keep(*args: object) -> None:
        inside.set()  # the leaf of objects is locked
        retired.wait(1)
        keep(*args)  # type: ignore[arg-type]

    def note(*args: object, **options: object) -> bool:
        retired.set()
        return look(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(commit, "keep_version", slow_keep)
    monkeypatch.setattr(bucket_module, "_is_empty", note)
    refused: list[bool] = []

    def delete() -> None:
        inside.wait(30)
        try:
            storage.delete_bucket("fruit")
        except BucketNotEmptyError:
            refused.append(True)

    threads = [
        threading.Thread(target=bucket.put, args=("a", b"two"), daemon=True),
        threading.Thread(target=delete, daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert refused == [True]
    assert read_object(bucket, "a") == b"two"


def _locked(leaf: Leaf) -> bool:
    """Whether somebody has the lock of a leaf, as another process sees it."""
    fd = os.open(f"/proc/self/fd/{leaf.fd}", os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def test_an_interrupt_before_an_unlock_does_not_make_a_thread_wait_for_itself(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted: list[bool] = []

    def interrupt(self: Leaf) -> None:
        raise KeyboardInterrupt

    def act() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Leaf, "unlock", interrupt)
            try:
                bucket.put("a", b"one")
            except KeyboardInterrupt:
                interrupted.append(True)
        bucket.put("a", b"two")

    for _ in range(2):  # the second thread finds the lock free
        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
    assert interrupted == [True, True]
    assert read_object(bucket, "a") == b"two"


def test_an_interrupt_while_a_lock_is_taken_leaves_it_free(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = root_of(bucket.storage).bucket(bucket.name).objects
    leaf = tree.leaf_of(sort_key("a"))
    flock = fcntl.flock

    def interrupt(fd: int, kind: int) -> None:
        flock(fd, kind)
        if kind == fcntl.LOCK_EX:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", interrupt)
        with pytest.raises(KeyboardInterrupt):
            leaf.lock()
    assert not _locked(leaf)


def _half_split(storage: Storage, bucket: Bucket) -> Tree:
    """Leave the split of the bucket's only leaf as a crash before its first move does."""
    tree = root_of(storage).bucket(bucket.name).objects
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "_move", lambda *_: None)
        split.grow(tree, sort_key("k0"))
    assert tree.reload().ranges[1].fallback == tree.map.ranges[0].leaf
    return tree


def test_nobody_waits_for_a_map_while_he_holds_a_leaf(open_storage: OpenStorage) -> None:
    storage = open_storage(Limits(leaf_size=4, check_every=10**9))
    bucket = storage.create_bucket("fruit")
    for number in range(6):
        bucket.put(f"k{number}", b"x")
    tree = _half_split(storage, bucket)
    leaf = tree.handles.leaf(tree.map.ranges[0].leaf, tree.leaves_fd)
    waited: list[bool] = []

    def settle() -> None:
        waited.append(_locked(leaf))
        os.rename("map.retired", "map", src_dir_fd=tree.fd, dst_dir_fd=tree.fd)

    tree._settle = settle
    os.rename("map", "map.retired", src_dir_fd=tree.fd, dst_dir_fd=tree.fd)
    bucket.put("k5", b"new")
    assert waited == [False]
    assert read_object(bucket, "k5") == b"new"


def test_a_bucket_is_not_deleted_while_its_records_move_to_a_leaf_found_empty(
    open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(Limits(leaf_size=4, check_every=10**9))
    bucket = storage.create_bucket("fruit")
    for number in range(6):
        bucket.put(f"k{number}", b"x")
    tree = _half_split(storage, bucket)
    for number in range(3):
        bucket.delete(f"k{number}")
    old, new = (one.leaf for one in tree.map.ranges)
    moving, waits = threading.Event(), threading.Event()
    move, listdir, lock = split._move, os.listdir, Leaf.lock

    def slow_move(*args: object) -> None:
        moving.set()
        waits.wait(30)
        move(*args)  # type: ignore[arg-type]

    def new_leaf_first(place: int) -> list[str]:
        names = listdir(place)
        return [new, old] if old in names else names

    def note(leaf: Leaf, kind: int = fcntl.LOCK_EX) -> None:
        if leaf.id == old:
            waits.set()
        lock(leaf, kind)

    monkeypatch.setattr(split, "_move", slow_move)
    mover = threading.Thread(target=split.finish_move, args=(tree, old), daemon=True)
    mover.start()
    moving.wait(30)
    monkeypatch.setattr(os, "listdir", new_leaf_first)
    monkeypatch.setattr(Leaf, "lock", note)
    with pytest.raises(BucketNotEmptyError):
        storage.delete_bucket("fruit")
    mover.join(30)
    assert [item.key for item in bucket.list()] == ["k3", "k4", "k5"]


# --- maps and scans -----------------------------------------------------------------------


def test_an_old_map_in_memory_can_not_damage_the_one_on_disk(
    open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(Limits(leaf_size=4, check_every=10**9))
    bucket = storage.create_bucket("fruit")
    keys = [f"k{number}" for number in range(6)]
    for key in keys:
        bucket.put(key, b"x")
    tree = root_of(storage).bucket("fruit").objects
    old = tree.reload()
    split.grow(tree, sort_key("k5"))
    check = Tree.is_current

    def set_back(self: Tree, seen: Map) -> bool:
        found = check(self, seen)
        self._map = old  # another thread read it before the split and comes late
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Tree, "is_current", set_back)
        split.grow(tree, sort_key("k5"))
        split.shrink(tree, sort_key("k5"))
    assert [one.low for one in tree.reload().ranges] == sorted({one.low for one in tree.map.ranges})
    assert [item.key for item in bucket.list()] == keys


def test_a_map_out_of_order_is_never_stored(bucket: Bucket) -> None:
    tree = root_of(bucket.storage).bucket("fruit").objects
    with pytest.raises(IntegrityError, match="order"):
        tree.change_map(lambda ranges: [*ranges, *ranges])
    assert len(tree.reload().ranges) == 1


@pytest.mark.parametrize("half", [False, True])
def test_a_listing_has_all_long_keys_when_a_split_moves_them_meanwhile(
    open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    storage = open_storage(Limits(leaf_size=4, check_every=10**9))
    bucket = storage.create_bucket("fruit")
    keys = [f"{'k' * 400}{number}" for number in range(8)]
    for key in keys:
        bucket.put(key, b"z" * 300_000)
    opened = root_of(storage).bucket("fruit")
    tree = opened.objects
    if half:
        with monkeypatch.context() as patch:
            patch.setattr(split, "_move", lambda *_: None)
            split.grow(tree, sort_key(keys[0]))
    names, first = Tree._names, [True]

    def moved_meanwhile(self: Tree, *args: object) -> object:
        found = names(self, *args)  # type: ignore[arg-type]
        if first and first.pop():
            if half:
                split.finish_move(tree, tree.map.ranges[0].leaf)
            else:
                split.grow(tree, sort_key(keys[0]))
        return found

    monkeypatch.setattr(Tree, "_names", moved_meanwhile)
    assert [item.key for item in bucket.list()] == keys
    assert len(fsck_data._named_data(opened)) == len(keys)
