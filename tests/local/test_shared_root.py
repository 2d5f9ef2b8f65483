"""A root that others touch too: symbolic links, other roots, threads and forked children."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading

import pytest

import storage_core
from storage_core import (
    BucketExistsError,
    BucketNotFoundError,
    IntegrityError,
    PermissionDeniedError,
)
from storage_local.tree import Limits
from tests.local.conftest import driver_of, open_files, root_of

LARGE = os.urandom(100_000)


# --- symbolic links -------------------------------------------------------------------


def test_no_symbolic_link_leads_out(bucket, storage, place, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "small!").write_bytes(b"secret")
    bucket.put("small", b"apple")
    bucket.put("big", LARGE)
    fruit = place / "buckets/fruit"
    (record,) = (fruit / "objects/leaves").glob("*/small!")
    record.unlink()
    record.symlink_to(secret / "small!")
    for act in (bucket.get, bucket.head, bucket.delete):
        with pytest.raises(PermissionDeniedError, match="symbolic link"):
            act("small")
    (data,) = (fruit / "data").glob("*/*")
    data.unlink()
    data.symlink_to(secret / "small!")
    with pytest.raises(PermissionDeniedError, match="symbolic link"):
        bucket.get("big")
    (place / "buckets/linked").symlink_to(secret)
    with pytest.raises(BucketNotFoundError):
        storage.bucket("linked").info()
    with pytest.raises(BucketExistsError):
        storage.create_bucket("linked")
    assert (secret / "small!").read_bytes() == b"secret"
    assert os.listdir(secret) == ["small!"]


@pytest.mark.parametrize("part", ["objects", "objects/leaves", "data", "tmp", "uploads"])
def test_no_swapped_directory_leads_out(open_storage, place, tmp_path, part):
    with open_storage() as storage:
        storage.create_bucket("fruit").put("big", LARGE)
    inner = place / "buckets/fruit" / part
    outside = tmp_path / "outside"
    inner.rename(outside)
    inner.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    bucket = open_storage().bucket("fruit")
    for act in (lambda: bucket.put("new", LARGE), lambda: bucket.get("big"), bucket.info):
        with pytest.raises((PermissionDeniedError, BucketNotFoundError, IntegrityError)):
            act()
    assert sorted(outside.rglob("*")) == before


# --- buckets --------------------------------------------------------------------------


def test_a_bucket_deleted_and_made_again_elsewhere(open_storage):
    here, elsewhere = open_storage(), open_storage()
    bucket = here.create_bucket("fruit")
    bucket.put("a", b"1")
    other = elsewhere.bucket("fruit")
    other.delete("a")
    elsewhere.delete_bucket("fruit")
    for act in (
        lambda: bucket.put("a", b"2"),
        lambda: bucket.put("a", LARGE),
        lambda: bucket.get("a"),
        lambda: bucket.delete("a"),
        lambda: list(bucket.list()),
        lambda: bucket.create_upload("a"),
        bucket.info,
    ):
        with pytest.raises(BucketNotFoundError):
            act()
    elsewhere.create_bucket("fruit")
    bucket.put("a", b"3")
    with other.get("a") as reader:
        assert reader.read() == b"3"


def test_put_and_delete_bucket_race(open_storage):
    """A put is acknowledged into a bucket that stays, or finds none."""
    storage, other = open_storage(), open_storage()
    for _ in range(60):
        storage.create_bucket("fruit", exist_ok=True)
        bucket = other.bucket("fruit")
        bucket.exists("a")
        outcome: list[str] = []

        def put(bucket=bucket, outcome=outcome):
            try:
                bucket.put("a", b"1")
                outcome.append("put")
            except BucketNotFoundError:
                outcome.append("gone")

        thread = threading.Thread(target=put)
        thread.start()
        try:
            storage.delete_bucket("fruit")
            deleted = True
        except storage_core.BucketNotEmptyError:
            deleted = False
        thread.join()
        assert outcome == (["gone"] if deleted else ["put"])
        if not deleted:
            assert storage.bucket("fruit").exists("a")
            storage.delete_bucket("fruit", force=True)


# --- processes ------------------------------------------------------------------------


def test_pickled_and_described(storage, place):
    driver = driver_of(storage)
    again = pickle.loads(pickle.dumps(driver))
    assert again.settings == driver.settings
    assert str(place) in repr(driver)


def test_descriptors_are_given_back(open_storage, place):
    with open_storage(Limits(4, 1)) as storage:
        bucket = storage.create_bucket("fruit")
        for number in range(50):
            bucket.put(f"{number}", LARGE)
        readers = [bucket.get(f"{number}") for number in range(10)]
        assert len(open_files(place)) > 10
        del readers
    gc.collect()
    assert open_files(place) == []


def _in_child(bucket: storage_core.Bucket, number: int) -> None:
    for one in range(100):
        bucket.put(f"{number}/{one}", b"x")
        bucket.put("shared", b"y")


def test_a_forked_child_has_locks_of_its_own(open_storage):
    bucket = open_storage(Limits(8, 4)).create_bucket("fruit")
    bucket.put("shared", b"")
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_in_child, args=(bucket, one)) for one in range(4)]
    for child in children:
        child.start()
    _in_child(bucket, 9)
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert sum(1 for _ in bucket.list()) == 501
    assert driver_of(bucket.storage).fsck(deep=True).findings == []


def test_importing_the_driver_loads_no_pydantic_and_no_asyncio():
    code = (
        "import sys, storage_local.driver;"
        "print([m for m in ('pydantic', 'asyncio', 'ssl') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_many_buckets_keep_few_descriptors_open(open_storage, place):
    storage = open_storage()
    for number in range(60):
        storage.create_bucket(f"bucket-{number:02}").put("a", b"1")
    for number in range(60):
        assert storage.bucket(f"bucket-{number:02}").exists("a")
    assert len(root_of(storage)._buckets) <= 32
    assert len(open_files(place)) < 500
