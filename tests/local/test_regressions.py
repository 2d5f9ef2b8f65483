"""Faults found once, each with what showed it."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from pathlib import Path

import pytest

from storage_core import Bucket, Storage
from storage_local.layout import Root
from storage_local.tree import Tree
from tests.local.conftest import OpenStorage, root_of

LARGE = b"z" * 300_000  # has a data file whatever the profile


def test_a_forked_child_does_not_keep_a_lock_that_its_parent_has_left(
    storage: Storage, bucket: Bucket, place: Path
) -> None:
    opened = root_of(storage).bucket(bucket.name)
    inside, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with opened.lock():
            inside.set()
            forked.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()
    child = os.fork()
    if not child:
        signal.pause()
        os._exit(0)
    try:
        forked.set()
        holder.join()
        fd = os.open(place / "buckets" / bucket.name / "lock", os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_inline_objects_are_whole_in_a_profile_that_inlines_nothing(
    open_storage: OpenStorage,
) -> None:
    open_storage().create_bucket("fruit").put("a", b"x" * 5000)
    with open_storage(inline_size=0).bucket("fruit").get("a") as reader:
        assert reader.read() == b"x" * 5000


def test_a_move_inside_a_bucket_keeps_its_data_when_the_bucket_is_evicted_meanwhile(
    storage: Storage, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a", LARGE)
    look_up = Root.bucket

    def evicted(self: Root, name: str) -> object:
        found = look_up(self, name)
        self.forget(name)
        return found

    monkeypatch.setattr(Root, "bucket", evicted)
    bucket.move("a", "b")
    with bucket.get("b") as reader:
        assert reader.read() == LARGE


def test_a_move_inside_a_leaf_does_not_wait_for_itself_when_the_leaf_is_evicted_meanwhile(
    storage: Storage, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a", b"x")
    look_up = Tree.leaf_of

    def evicted(self: Tree, sort: str) -> object:
        found = look_up(self, sort)
        self.handles.drop(found.id)
        return found

    monkeypatch.setattr(Tree, "leaf_of", evicted)
    mover = threading.Thread(target=bucket.move, args=("a", "b"), daemon=True)
    mover.start()
    mover.join(30)
    assert not mover.is_alive()
    assert bucket.exists("b")
