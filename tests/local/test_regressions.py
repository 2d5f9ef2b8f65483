"""Faults found once, each with what showed it."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
from pathlib import Path

import pytest

from storage_core import (
    Bucket,
    PreconditionFailedError,
    QuotaExceededError,
    Storage,
    UnavailableError,
)
from storage_local import copying, split, syscalls, tree_map
from storage_local.layout import Root
from storage_local.tree import Limits, Tree
from tests.local.conftest import OpenStorage, data_files, driver_of, read_object, root_of

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


# --- a write that fails after its record is in place ------------------------------------


def _fail_sync_of_leaf(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fsync(fd: int) -> None:
        place = os.readlink(f"/proc/self/fd/{fd}")
        if "/objects/leaves/" in place and os.path.isdir(place):
            raise error
        os.fsync(fd)

    monkeypatch.setattr(syscalls, "fsync", fsync)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "broken")])
@pytest.mark.parametrize("write", ["put", "copy"])
def test_an_object_is_whole_when_its_write_is_cut_short_after_the_rename(
    open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch, write: str, error: BaseException
) -> None:
    bucket = open_storage(fsync=True).create_bucket("fruit")
    bucket.put("a", b"old" * 100_000)
    bucket.put("b", LARGE)
    with monkeypatch.context() as patch:
        _fail_sync_of_leaf(patch, error)
        with pytest.raises((KeyboardInterrupt, UnavailableError)):
            bucket.put("a", LARGE) if write == "put" else bucket.copy("b", "a")
    assert read_object(bucket, "a") == LARGE


@pytest.mark.parametrize("size", [10, 300_000])
def test_what_follows_a_write_can_not_fail_it(
    open_storage: OpenStorage, place: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    bucket = open_storage(Limits(leaf_size=2, check_every=1)).create_bucket("fruit")
    for key in ("a", "b", "c"):
        bucket.put(key, LARGE)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(tree_map, "make_leaf", full)
        patch.setattr(split, "make_leaf", full)
        patch.setattr(split, "shrink", full)
        bucket.put("d", b"n" * size)  # would split its leaf
        drop = syscalls.unlink

        def keep_data(name: str, **options: int) -> None:
            if "/data/" in os.readlink(f"/proc/self/fd/{options['dir_fd']}"):
                full()
            drop(name, **options)

        patch.setattr(syscalls, "unlink", keep_data)
        bucket.put("a", b"n" * size)  # would remove the data file of the former
        bucket.delete("b")
    assert read_object(bucket, "a") == read_object(bucket, "d") == b"n" * size
    assert [item.key for item in bucket.list()] == ["a", "c", "d"]
    assert {found.kind for found in driver_of(bucket.storage).fsck(repair=True).findings} <= {
        "orphan-data"
    }


def test_a_write_that_is_refused_leaves_no_data_file(
    bucket: Bucket, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a", b"there")
    bucket.put("b", LARGE)
    before = data_files(place, bucket.name)
    with pytest.raises(PreconditionFailedError):
        bucket.put("a", LARGE, if_absent=True)
    with pytest.raises(PreconditionFailedError):
        bucket.copy("b", "a", if_absent=True)
    create = syscalls.create

    def full(name: str, flags: int, mode: int, *, dir_fd: int) -> int:
        if "/leaves/" in os.readlink(f"/proc/self/fd/{dir_fd}"):
            raise OSError(errno.ENOSPC, "no space")
        return create(name, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(syscalls, "create", full)
    with pytest.raises(QuotaExceededError):
        bucket.put("a", LARGE)
    assert data_files(place, bucket.name) == before


def test_a_version_keeps_the_tags_given_after_a_crash_left_its_twin(
    open_storage: OpenStorage,
) -> None:
    bucket = open_storage(versions=True).create_bucket("fruit")
    made = bucket.put("a", b"one")
    child = os.fork()
    if not child:
        syscalls.rename = lambda *_, **__: os._exit(0)
        bucket.put("a", b"two")
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    bucket.put_tags("a", {"legal": "hold"})
    bucket.update_metadata("a", metadata={"m": "1"})
    bucket.put("a", b"three")
    assert dict(bucket.get_tags("a", version=made.version)) == {"legal": "hold"}
    assert dict(bucket.head("a", version=made.version).metadata) == {"m": "1"}


# --- moves between buckets --------------------------------------------------------------


def test_a_move_that_loses_to_another_leaves_the_data_of_the_winner(
    storage: Storage, bucket: Bucket, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = storage.create_bucket("other")
    bucket.put("a", LARGE)
    rename, first = copying._rename, [True]

    def overtaken(*args: object) -> object:
        if first and first.pop():
            bucket.move("a", "won", target=other)
            bucket.put("a", b"new" * 100_000)
        return rename(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "_rename", overtaken)
    bucket.move("a", "second", target=other)
    assert read_object(other, "won") == LARGE
    assert read_object(other, "second") == b"new" * 100_000
    assert data_files(place, "fruit") == []
    assert driver_of(storage).fsck().findings == []


def test_a_move_that_is_refused_leaves_no_data_file(
    storage: Storage, bucket: Bucket, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = storage.create_bucket("other")
    bucket.put("a", LARGE)
    other.put("b", b"there")
    with pytest.raises(PreconditionFailedError):
        bucket.move("a", "b", target=other, if_absent=True)
    assert data_files(place, "other") == []
    assert read_object(bucket, "a") == LARGE


def test_a_move_that_has_to_copy_does_so_whatever_a_crash_left(
    storage: Storage, bucket: Bucket, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = storage.create_bucket("other")
    bucket.put("a", LARGE)
    (name,) = data_files(place, "fruit")
    (place / "buckets" / "other" / "tmp" / name).write_bytes(b"cut")
    monkeypatch.setattr(copying, "link_data", lambda *_: False)
    bucket.move("a", "b", target=other)
    assert read_object(other, "b") == LARGE
    assert driver_of(storage).fsck().findings == []


def test_a_long_key_put_anew_during_a_move_is_known_by_its_new_name(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("K" * 300, b"one")
    rename, first = copying._rename, [True]

    def overtaken(*args: object) -> object:
        if first and first.pop():
            bucket.put("K" * 300, b"two")
        return rename(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "_rename", overtaken)
    bucket.move("K" * 300, "L" * 300)
    assert [item.key for item in bucket.list()] == ["L" * 300]
    assert read_object(bucket, "L" * 300) == b"two"
