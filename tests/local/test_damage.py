"""Damage from outside: told as what it is, removed when asked, and fsck beside writers."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage_core import (
    Bucket,
    IntegrityError,
    Storage,
)
from storage_local import (
    fsck_records,
    record_file,
    syscalls,
)
from storage_local.fsck import Check
from tests.local.conftest import OpenStorage, damage_record, driver_of, read_object

LARGE = b"z" * 300_000


# --- damage ------------------------------------------------------------------------------


@pytest.mark.parametrize("versions", [False, True])
def test_a_damaged_record_is_named_and_can_be_deleted(
    open_storage: OpenStorage, fruit: Path, versions: bool
) -> None:
    bucket = open_storage(versions=versions).create_bucket("fruit")
    for key in "abc":
        bucket.put(key, b"x")
    damage_record(fruit, "b")
    looks: list[Callable[[], object]] = [
        lambda: list(bucket.list()),
        lambda: list(bucket.list(delimiter="/")),
    ]
    if versions:
        looks.append(lambda: list(bucket.list_versions()))
    for look in looks:
        with pytest.raises(IntegrityError, match=r"fruit/b: .*damaged"):
            look()
    etag = bucket.head("a").etag
    with pytest.raises(IntegrityError):  # whether it has that etag nobody knows
        bucket.delete("b", if_match=etag)
    bucket.delete("b")
    assert not bucket.exists("b")
    assert [item.key for item in bucket.list()] == ["a", "c"]


def test_one_damaged_record_does_not_hold_up_the_deletion_of_others(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in "abc":
        bucket.put(key, b"x")
    unlink = os.unlink

    def fail(name: str, *, dir_fd: int) -> None:
        if name == "b!":
            raise IntegrityError("the record is damaged")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(syscalls, "unlink", fail)
    results = bucket.delete_many(["a", "b", "c"])
    assert [(one.key, one.error is None) for one in results] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]
    assert results[1].error is not None
    assert results[1].error.key == "b"


@pytest.mark.parametrize("fallback", [False, True])
def test_a_missing_leaf_is_told(
    open_storage: OpenStorage, place: Path, fruit: Path, fallback: bool
) -> None:
    open_storage().create_bucket("fruit").put("a", b"x")
    (leaf,) = (fruit / "objects/leaves").iterdir()
    if fallback:
        store_with_fallback(fruit, leaf.name, "0123456789abcdef")
        leaf.joinpath("a!").unlink()
    else:
        leaf.rename(place.parent / "gone")
    bucket = open_storage().bucket("fruit")
    for look in (
        lambda: bucket.get("a"),
        lambda: bucket.exists("a"),
        lambda: bucket.delete("a"),
        lambda: bucket.put("a", b"y"),
        lambda: list(bucket.list()),
    ):
        with pytest.raises(IntegrityError, match="leaf that the map names is missing"):
            look()
    report = driver_of(bucket.storage).fsck(repair=True)
    assert (report.findings[0].kind, report.findings[0].repaired) == ("damaged-map", True)
    bucket.put("a", b"y")
    assert read_object(bucket, "a") == b"y"


def store_with_fallback(fruit: Path, leaf: str, fallback: str) -> None:
    from storage_local.tree_map import Range, store

    tree_fd = os.open(fruit / "objects", os.O_RDONLY)
    store(tree_fd, [Range("", leaf, fallback)], durable=False)
    os.close(tree_fd)


def test_a_pipe_in_place_of_a_file_makes_nobody_wait(
    storage: Storage, bucket: Bucket, fruit: Path
) -> None:
    bucket.put("a", b"x")
    bucket.put("b", LARGE)
    (record,) = fruit.glob("objects/leaves/*/a!")
    (data,) = fruit.glob("data/*/*")
    for file in (record, data):
        file.unlink()
        os.mkfifo(file)
    told: list[type[BaseException]] = []

    def look() -> None:
        for key in "ab":
            try:
                bucket.get(key)
            except IntegrityError as error:
                told.append(type(error))

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    looker.join(30)
    assert told == [IntegrityError, IntegrityError]
    report = driver_of(storage).fsck(repair=True)
    assert sorted(one.kind for one in report.findings) == ["damaged-record", "wrong-size"]


def test_a_link_in_place_of_a_directory_of_a_bucket_is_damage(
    open_storage: OpenStorage, place: Path, fruit: Path
) -> None:
    open_storage().create_bucket("fruit")
    (fruit / "data").rename(place.parent / "elsewhere")
    (fruit / "data").symlink_to(place.parent / "elsewhere")
    storage = open_storage()
    with pytest.raises(IntegrityError, match="'fruit'"):
        list(storage.bucket("fruit").list())
    assert [one.kind for one in driver_of(storage).fsck().findings] == ["damaged-bucket"]


def test_a_bucket_without_its_date_can_be_mended(open_storage: OpenStorage, fruit: Path) -> None:
    bucket = open_storage().create_bucket("fruit")
    bucket.put("a", b"x")
    (fruit / "bucket.json").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"bucket\.json"):
        bucket.info()
    report = driver_of(bucket.storage).fsck(repair=True)
    assert [(one.kind, one.repaired) for one in report.findings] == [("damaged-file", True)]
    assert bucket.info().name == "fruit"
    assert json.loads((fruit / "bucket.json").read_bytes()) == {"created": 0}


# --- fsck beside writers ----------------------------------------------------------------


def test_fsck_does_not_take_a_record_away_that_was_written_since_it_looked(
    bucket: Bucket, fruit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a", b"old")
    damage_record(fruit, "a")
    note = Check.damage

    def late(self: Check, *args: Any, **kwargs: Any) -> None:
        bucket.put("a", b"new")
        note(self, *args, **kwargs)

    monkeypatch.setattr(Check, "damage", late)
    report = driver_of(bucket.storage).fsck(repair=True)
    assert [(one.kind, one.repaired) for one in report.findings] == [("damaged-record", False)]
    assert read_object(bucket, "a") == b"new"


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_fsck_takes_no_trouble_of_the_disk_or_process_for_damage(
    bucket: Bucket, fruit: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    bucket.put("a", LARGE)
    real = record_file.read_record

    def fail(name: str, *args: Any) -> Any:
        if name == "a!":
            raise OSError(code, os.strerror(code))
        return real(name, *args)

    with monkeypatch.context() as patch:
        patch.setattr(fsck_records, "read_record", fail)
        report = driver_of(bucket.storage).fsck(repair=True)
        assert [(one.kind, one.repaired) for one in report.findings] == [
            ("unreadable-record", False)
        ]
    assert read_object(bucket, "a") == LARGE


WRITES: dict[str, Callable[[Bucket], object]] = {
    "small": lambda bucket: bucket.put("b", b"x"),
    "large": lambda bucket: bucket.put("b", LARGE),
    "tags": lambda bucket: bucket.put_tags("a", {"x": "y"}),
    "part": lambda bucket: bucket.create_upload("b").put_part(1, b"x"),
    "bucket": lambda bucket: bucket.storage.create_bucket("basket"),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_temporary_that_fsck_takes_away_before_it_is_locked_is_made_again(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    bucket.put("a", b"x")
    taken: list[str] = []

    def create(name: str, flags: int, mode: int = 0o666, *, dir_fd: int) -> int:
        fd = os.open(name, flags, mode, dir_fd=dir_fd)
        if not taken and name not in {"session", "lock", "bucket.json", "map"}:
            taken.append(name)
            os.unlink(name, dir_fd=dir_fd)
        return fd

    def mkdir(name: str, *, dir_fd: int) -> None:
        os.mkdir(name, dir_fd=dir_fd)
        if not taken:
            taken.append(name)
            os.rmdir(name, dir_fd=dir_fd)

    if write == "bucket":
        monkeypatch.setattr(syscalls, "mkdir", mkdir)
    else:
        monkeypatch.setattr(syscalls, "create", create)
    WRITES[write](bucket)
    assert len(taken) == 1
    monkeypatch.undo()
    assert driver_of(bucket.storage).fsck(deep=True).findings == []


def test_fsck_holds_the_lock_of_a_temporary_while_it_removes_it(
    bucket: Bucket, fruit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fruit / "tmp/x").write_bytes(b"half")
    held: list[bool] = []

    def unlink(name: str, *, dir_fd: int) -> None:
        with (fruit / "tmp/x").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(True)
        os.unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(syscalls, "unlink", unlink)
    driver_of(bucket.storage).fsck(repair=True)
    assert held == [True]
