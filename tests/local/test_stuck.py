"""Wrong errors and states nobody could get out of, each with what showed it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_core import (
    Bucket,
    BucketNotEmptyError,
    BucketNotFoundError,
    InvalidRequestError,
    ObjectNotFoundError,
    PermissionDeniedError,
    Storage,
)
from storage_local import (
    copying,
    fsck,
    fsck_data,
    fsck_tree,
    listing,
    split,
    syscalls,
)
from storage_local import import_tree as importing
from storage_local.record import Record, new_id, pack
from storage_local.tree import Limits, Tree
from tests.local.conftest import OpenStorage, damage_record, driver_of, read_object, root_of

LARGE = b"z" * 300_000
TINY = Limits(leaf_size=4, check_every=1)


# --- directories that are filled while they are removed ---------------------------------


def fill_before_rmdir(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Put a file into each directory that is about to be removed, that many times."""
    left = [times]

    def rmdir(name: str, *, dir_fd: int) -> None:
        if left[0]:
            left[0] -= 1
            inner = os.open(name, os.O_RDONLY, dir_fd=dir_fd)
            os.close(os.open("#late", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
            os.close(inner)
        os.rmdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(syscalls, "rmdir", rmdir)


@pytest.mark.parametrize("times", [1, 10_000])
def test_a_completion_is_done_though_a_part_is_begun_meanwhile(
    bucket: Bucket, fruit: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    upload = bucket.create_upload("a")
    part = upload.put_part(1, b"x")
    fill_before_rmdir(monkeypatch, times)
    upload.complete([part])
    monkeypatch.undo()
    assert read_object(bucket, "a") == b"x"
    assert list(bucket.list_uploads()) == []
    assert driver_of(bucket.storage).fsck(repair=True).clean
    assert os.listdir(fruit / "uploads") == []


@pytest.mark.parametrize("times", [1, 10_000])
def test_a_bucket_is_deleted_though_a_put_is_begun_meanwhile(
    storage: Storage, bucket: Bucket, place: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    fill_before_rmdir(monkeypatch, times)
    storage.delete_bucket(bucket.name)
    monkeypatch.undo()
    assert not storage.bucket_exists(bucket.name)
    assert driver_of(storage).fsck(repair=True).clean
    assert os.listdir(place / "staging") == []


# --- buckets that could not be deleted --------------------------------------------------


def test_an_expired_object_does_not_keep_its_bucket(
    storage: Storage, bucket: Bucket, put_clock_forward: Callable[[float], None]
) -> None:
    bucket.put("a", b"x", expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert bucket.exists("a")
    put_clock_forward(3601)
    assert not bucket.exists("a")
    storage.delete_bucket(bucket.name)
    assert not storage.bucket_exists(bucket.name)


def test_kept_versions_are_not_lost_by_a_profile_that_shows_none(
    open_storage: OpenStorage,
) -> None:
    bucket = open_storage(versions=True).create_bucket("fruit")
    bucket.put("a", b"1")
    bucket.put("a", b"2")
    bucket.put("b", b"1")
    bucket.delete("b")
    with pytest.raises(BucketNotEmptyError):
        bucket.storage.delete_bucket("fruit")
    bucket.delete("a")
    with pytest.raises(BucketNotEmptyError):  # markers and versions count where they show
        bucket.storage.delete_bucket("fruit")
    with pytest.raises(BucketNotEmptyError, match="versions = true"):
        open_storage().delete_bucket("fruit", force=True)
    assert len(list(bucket.list_versions())) == 5
    bucket.storage.delete_bucket("fruit", force=True)
    assert not bucket.storage.bucket_exists("fruit")


def test_a_half_removed_upload_does_not_keep_its_bucket(
    storage: Storage, bucket: Bucket, fruit: Path
) -> None:
    (fruit / "uploads/#0123").mkdir()
    storage.delete_bucket(bucket.name)
    assert not storage.bucket_exists(bucket.name)


def test_a_refused_deletion_leaves_the_bucket_in_order(
    storage: Storage, bucket: Bucket, fruit: Path
) -> None:
    bucket.put("a", b"x")
    damage_record(fruit, "a")
    with pytest.raises(BucketNotEmptyError):
        storage.delete_bucket(bucket.name)
    bucket.put("a", b"new")
    assert read_object(bucket, "a") == b"new"


# --- buckets that go away while they are used -------------------------------------------


@pytest.mark.parametrize("again", [False, True])
def test_a_large_put_into_a_bucket_that_is_deleted_meanwhile(
    storage: Storage, bucket: Bucket, again: bool
) -> None:
    def body() -> Iterator[bytes]:
        yield LARGE
        storage.delete_bucket(bucket.name)
        if again:
            storage.create_bucket(bucket.name)
        yield LARGE

    with pytest.raises(BucketNotFoundError, match="fruit"):
        bucket.put("a", body())
    assert storage.bucket_exists(bucket.name) == again


@pytest.mark.parametrize("size", [1, len(LARGE)])
@pytest.mark.parametrize("gone", ["fruit", "basket"])
@pytest.mark.parametrize("operation", ["copy", "move"])
def test_a_copy_or_move_between_buckets_of_which_one_is_deleted_meanwhile(
    storage: Storage,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    gone: str,
    size: int,
) -> None:
    bucket.put("a", LARGE[:size])
    basket = storage.create_bucket("basket")
    look = copying._itself  # called for the source, then for the target
    found: list[str] = []

    def then_gone(opened: Any) -> Any:
        found.append(opened.name)
        there = look(opened)
        if found == ["fruit", "basket"]:
            bucket.delete("a") if gone == "fruit" else None
            storage.delete_bucket(gone)
        return there

    monkeypatch.setattr(copying, "_itself", then_gone)
    with pytest.raises(BucketNotFoundError, match=gone):
        getattr(bucket, operation)("a", "a", target=basket)


def test_an_import_into_a_bucket_that_is_deleted_meanwhile(
    storage: Storage, bucket: Bucket, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_bytes(LARGE)
    with pytest.raises(BucketNotFoundError, match="fruit"):
        driver_of(storage).import_tree(
            bucket.name,
            str(source),
            progress=lambda report: storage.delete_bucket(bucket.name, force=True),
        )


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize("step", ["_check_bucket_files", "check_trees", "check_uploads"])
def test_fsck_of_a_bucket_that_is_deleted_meanwhile(
    storage: Storage, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, step: str, repair: bool
) -> None:
    module = {"check_trees": fsck_tree, "check_uploads": fsck_data}.get(step, fsck)
    real = getattr(module, step)

    def gone(*args: Any) -> Any:
        storage.delete_bucket("fruit")
        return real(*args)

    monkeypatch.setattr(module, step, gone)
    assert driver_of(storage).fsck(repair=repair).findings == []
    with pytest.raises(BucketNotFoundError):
        driver_of(storage).fsck(bucket="fruit")


# --- sources that are replaced while they are read --------------------------------------


def test_a_part_is_copied_from_an_object_that_is_replaced_meanwhile(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage_local import multipart, reader

    bucket.put("a", LARGE)
    upload = bucket.create_upload("b")
    new = LARGE[::-1] + b"new"
    replaced: list[bool] = []

    for module in (reader, multipart):
        if (real := getattr(module, "open_data", None)) is None:
            continue

        def replace(*args: Any, real: Callable[..., int] = real) -> int:
            if not replaced:
                replaced.append(True)
                bucket.put("a", new)
            return real(*args)

        monkeypatch.setattr(module, "open_data", replace)
    part = upload.copy_part(1, "a")
    assert replaced
    upload.complete([part])
    assert read_object(bucket, "b") == new


@pytest.mark.parametrize("size", [0, 10, len(LARGE)])
def test_a_range_of_any_object_can_be_a_part(bucket: Bucket, size: int) -> None:
    bucket.put("a", LARGE[:size])
    upload = bucket.create_upload("b")
    upload.complete([upload.copy_part(1, "a")])
    assert read_object(bucket, "b") == LARGE[:size]


# --- times ------------------------------------------------------------------------------


@pytest.mark.parametrize("year", [2555, 9999])
def test_an_expiry_beyond_what_a_record_holds_is_refused(bucket: Bucket, year: int) -> None:
    moment = datetime(year, 1, 1, tzinfo=UTC)
    for write in (
        lambda: bucket.put("a", b"x", expires_at=moment),
        lambda: bucket.put("a", LARGE, expires_at=moment),
        lambda: bucket.create_upload("a", expires_at=moment),
    ):
        with pytest.raises(InvalidRequestError, match="can not expire at"):
            write()
    bucket.put("a", b"x", expires_at=datetime(2554, 1, 1, tzinfo=UTC))
    assert bucket.head("a").expires_at == datetime(2554, 1, 1, tzinfo=UTC)
    with pytest.raises(InvalidRequestError, match="can not expire at"):
        bucket.update_metadata("a", expires_at=moment)


# --- and the rest -----------------------------------------------------------------------


def test_a_delete_needs_no_room_though_a_split_was_interrupted(
    open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = open_storage(TINY).create_bucket("fruit")
    tree = root_of(bucket.storage).bucket("fruit").objects
    rename = os.rename
    moved: list[str] = []

    def full(name: str, new: str, **places: int) -> None:
        if name == new and "#" not in name:  # a record that moves to another leaf
            if moved:
                raise OSError(errno.ENOSPC, "full")
            moved.append(name)
        rename(name, new, **places)

    monkeypatch.setattr(syscalls, "rename", full)
    # Not ascending, or the leaf would not be halved.
    for key in "edcba":
        bucket.put(key, b"x")
    assert [one.fallback is not None for one in tree.map.ranges] == [False, True]
    with pytest.raises(storage_core.QuotaExceededError):
        bucket.put("d", b"y")
    assert moved == ["c!"]
    for key in "abcde":
        bucket.delete(key)
        with pytest.raises(ObjectNotFoundError):
            bucket.head(key)
    assert list(bucket.list()) == []
    monkeypatch.undo()
    assert driver_of(bucket.storage).fsck(repair=True).clean
    split.grow(tree, "a!")


@pytest.mark.parametrize("size", [1, len(LARGE)])
def test_an_import_does_not_pass_over_errors_of_the_target(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(LARGE[:size])

    def fail(*args: Any) -> Any:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(importing, "publish" if size == 1 else "publish_data", fail)
    with pytest.raises(PermissionDeniedError):
        driver_of(bucket.storage).import_tree(bucket.name, str(source))


def test_a_time_beyond_what_a_record_holds_does_not_hinder_an_import() -> None:
    raw = pack(identity=new_id(), size=0, crc=0, modified=1, order=1, data=b"")
    assert Record(importing._dated(raw, 2**70)).modified == 2**64 - 1


@pytest.mark.parametrize("then_put", [False, True])
def test_versions_that_change_places_while_they_are_listed_are_listed_once(
    open_storage: OpenStorage, monkeypatch: pytest.MonkeyPatch, then_put: bool
) -> None:
    bucket = open_storage(versions=True).create_bucket("fruit")
    first, second = (bucket.put("a", data).version for data in (b"1", b"2"))
    real = listing.iterate
    done: list[str] = []

    def iterate(tree: Tree, start: str, stop: str) -> Any:
        if tree.name == "versions" and not done:
            done.append("the second version is current in what was listed so far")
            if then_put:
                bucket.put("a", b"3")
            else:
                bucket.delete("a", version=second)
        return real(tree, start, stop)

    monkeypatch.setattr(listing, "iterate", iterate)
    listed = list(bucket.list_versions())
    found = [one.version for one in listed]
    assert len(found) == len(set(found))
    assert {first, second} <= set(found)
    assert [one.is_latest for one in listed] == [True] + [False] * (len(listed) - 1)
    assert listed[0].version == (first if not then_put else bucket.head("a").version)
