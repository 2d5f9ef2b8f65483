"""`sync`: one-way mirrors, on every carrier, and between real backends."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_core import (
    InvalidRequestError,
    Outcome,
    TransferIncompleteError,
    TransferReport,
    UnavailableError,
)
from tests.core.conftest import scripted
from tests.core.drivers import Scripted
from tests.transfer.downloads import PART, content
from tests.transfer.trees import (
    LONG_AGO,
    files_in,
    fill,
    folders_in,
    make_folder,
    objects_in,
    sync,
)

FILES = {"a": b"1", "a.txt": b"22", "b/c": b"333", "b/d/e": b"", "z": b"55555"}
LATER = int(datetime.now(UTC).timestamp()) + 10_000_000


@pytest.fixture
def bucket(opened: Any) -> Any:
    return opened().create_bucket("fruit")


def counts(report: TransferReport) -> tuple[int, int, int]:
    return report.transferred, report.unchanged, report.deleted


# -- comparing -----------------------------------------------------------------


@pytest.mark.parametrize("compare", ["time", "etag", "checksum"])
def test_a_second_run_has_nothing_to_do(bucket: Any, tmp_path: Path, compare: str):
    folder = make_folder(tmp_path / "up", FILES)
    tree = bucket.tree("x")
    assert counts(sync(folder, tree, compare=compare)) == (5, 0, 0)
    assert counts(sync(tree, tmp_path / "down", compare=compare)) == (5, 0, 0)
    assert files_in(tmp_path / "down") == FILES
    if compare == "etag":
        return  # the etags of this driver are no digests of the bytes
    assert counts(sync(folder, tree, compare=compare)) == (0, 5, 0)
    assert counts(sync(tree, tmp_path / "down", compare=compare)) == (0, 5, 0)


def test_by_time_what_is_newer_or_of_another_size_is_taken(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path, FILES)
    tree = bucket.tree()
    sync(folder, tree)
    make_folder(folder, {"a": b"9"}, modified=LATER)  # newer
    make_folder(folder, {"z": b"other"})  # the same size, and not newer
    make_folder(folder, {"a.txt": b"longer"})  # not newer
    assert counts(sync(folder, tree)) == (2, 3, 0)
    assert objects_in(bucket) == {**FILES, "a": b"9", "a.txt": b"longer"}
    assert counts(sync(folder, tree, compare="checksum")) == (1, 4, 0)
    assert objects_in(bucket) == files_in(folder)


def test_a_file_changed_since_its_download_is_put_right_when_the_object_is_newer(
    bucket: Any, tmp_path: Path
):
    fill(bucket, FILES)
    sync(bucket.tree(), tmp_path)
    make_folder(tmp_path, {"a": b"8"}, modified=LATER)
    assert counts(sync(bucket.tree(), tmp_path)) == (0, 5, 0)
    make_folder(tmp_path, {"a": b"8"}, modified=LONG_AGO)
    assert counts(sync(bucket.tree(), tmp_path)) == (1, 4, 0)
    assert files_in(tmp_path) == FILES


def test_by_checksum_no_object_is_read_where_a_digest_is_known(opened: Any, tmp_path: Path):
    bucket = opened().create_bucket("fruit")
    folder = make_folder(tmp_path, FILES)
    sync(folder, bucket.tree())
    assert counts(sync(folder, bucket.tree(), compare="checksum")) == (0, 5, 0)
    assert scripted(bucket).requests("get") == []


def test_by_checksum_an_object_without_digest_is_read(opened: Any, tmp_path: Path):
    none = Scripted(checksums=frozenset(), default_checksum=None)
    bucket = opened(none).create_bucket("fruit")
    folder = make_folder(tmp_path, {**FILES, "big": content(3 * PART)})
    sync(folder, bucket.tree())
    make_folder(folder, {"z": b"other"})
    assert counts(sync(folder, bucket.tree(), compare="checksum")) == (1, 5, 0)
    assert objects_in(bucket) == files_in(folder)


def test_by_etag_between_buckets(opened: Any):
    bucket, other = opened().create_bucket("fruit"), opened().create_bucket("other")
    fill(bucket, FILES)
    assert counts(sync(bucket.tree(), other.tree("x"), compare="etag")) == (5, 0, 0)
    assert objects_in(other, "x/") == FILES


def test_by_etag_a_file_is_held_against_an_md5(tmp_path: Path):
    config = {"driver": "local", "root": str(tmp_path / "root"), "etag": "md5"}
    folder = make_folder(tmp_path / "up", FILES)
    with storage_core.open(config=config) as storage:
        bucket = storage.create_bucket("fruit")
        sync(folder, bucket.tree())
        assert bucket.head("z").etag == hashlib.md5(FILES["z"]).hexdigest()
        assert counts(sync(folder, bucket.tree(), compare="etag")) == (0, 5, 0)
        make_folder(folder, {"z": b"other"})
        assert counts(sync(folder, bucket.tree(), compare="etag")) == (1, 4, 0)
        assert counts(sync(bucket.tree(), folder, compare="etag")) == (0, 5, 0)


def test_an_unknown_way_to_compare_is_refused(bucket: Any, tmp_path: Path):
    with pytest.raises(InvalidRequestError, match="'size' is not one of 'time', 'etag'"):
        sync(tmp_path, bucket.tree(), compare="size")


def test_two_folders_are_refused(tmp_path: Path):
    with pytest.raises(InvalidRequestError, match="both sides are folders"):
        storage_core.sync(tmp_path / "a", tmp_path / "b")


# -- deleting ------------------------------------------------------------------


def test_nothing_is_deleted_unless_asked(bucket: Any, tmp_path: Path):
    fill(bucket, {"x/old": b"1"})
    folder = make_folder(tmp_path, FILES)
    assert counts(sync(folder, bucket.tree("x"))) == (5, 0, 0)
    assert counts(sync(folder, bucket.tree("x"))) == (0, 5, 0)
    assert counts(sync(folder, bucket.tree("x"), compare="checksum")) == (0, 5, 0)
    assert objects_in(bucket, "x/") == {**FILES, "old": b"1"}


def test_what_the_source_does_not_have_is_deleted(bucket: Any, tmp_path: Path):
    fill(bucket, {"x/old": b"1", "x/b/old": b"2", "y": b"3", "x2/old": b"4", "xx": b"5"})
    told: list[Outcome] = []
    folder = make_folder(tmp_path / "up", FILES)
    report = sync(folder, bucket.tree("x"), delete=True, on_outcome=told.append)
    assert counts(report) == (5, 0, 2)
    assert [found.key for found in told if found.action == "delete"] == ["b/old", "old"]
    assert objects_in(bucket, "x/") == FILES
    assert set(objects_in(bucket)) - {f"x/{key}" for key in FILES} == {"y", "x2/old", "xx"}


def test_from_a_folder_with_the_folders_that_are_empty_then(bucket: Any, tmp_path: Path):
    fill(bucket, FILES)
    old = {"old/1": b"", "old/deep/er/2": b"", "b/d/old": b"", "kept/x": b""}
    make_folder(tmp_path, old)
    report = sync(bucket.tree(), tmp_path, delete=True, exclude=("kept/*",))
    assert counts(report) == (5, 0, 3)
    assert files_in(tmp_path) == {**FILES, "kept/x": b""}
    assert folders_in(tmp_path) == {"b", "b/d", "kept"}


def test_what_is_left_out_is_not_deleted(bucket: Any, tmp_path: Path):
    fill(bucket, {"old.log": b"1", "old.txt": b"2"})
    folder = make_folder(tmp_path, {"a.txt": b"3", "a.log": b"4"})
    sync(folder, bucket.tree(), delete=True, exclude=("*.log",))
    assert objects_in(bucket) == {"a.txt": b"3", "old.log": b"1"}
    sync(folder, bucket.tree(), delete=True, include=("b*",))
    assert objects_in(bucket) == {"a.txt": b"3", "old.log": b"1"}


def test_links_are_neither_taken_nor_deleted(bucket: Any, tmp_path: Path):
    up = make_folder(tmp_path / "up", FILES)
    (up / "link").symlink_to(up / "a")
    fill(bucket, {"link": b"an object"})
    report = sync(up, bucket.tree(), delete=True)
    assert (report.skipped, report.deleted) == (("link",), 0)
    assert objects_in(bucket) == {**FILES, "link": b"an object"}
    down = make_folder(tmp_path / "down", {})
    (down / "mine").symlink_to(up / "a")
    report = sync(bucket.tree(), down, delete=True)
    assert (report.skipped, report.deleted) == (("mine",), 0)
    assert (down / "mine").is_symlink()


def test_nothing_is_deleted_when_something_failed(opened: Any, tmp_path: Path):
    bucket = opened(retry=storage_core.RetryPolicy(attempts=1)).create_bucket("fruit")
    fill(bucket, {"old": b"1"})
    scripted(bucket).script["put"] = [UnavailableError("gone")]
    folder = make_folder(tmp_path, FILES)
    with pytest.raises(TransferIncompleteError) as failed:
        sync(folder, bucket.tree(), delete=True)
    report = failed.value.report
    assert (len(report.failures), report.transferred, report.deleted) == (1, 4, 0)
    assert "old" in objects_in(bucket)
    assert counts(sync(folder, bucket.tree(), delete=True)) == (1, 4, 1)


def test_nothing_is_deleted_when_a_listing_breaks(opened: Any, tmp_path: Path):
    bucket = opened(retry=storage_core.RetryPolicy(attempts=1)).create_bucket("fruit")
    make_folder(tmp_path, {"old": b"1"})
    fill(bucket, FILES)
    scripted(bucket).script["list_page"] = [UnavailableError("the listing broke")]
    with pytest.raises(UnavailableError, match="the listing broke"):
        sync(bucket.tree(), tmp_path, delete=True)
    assert "old" in files_in(tmp_path)


def test_a_listing_out_of_order_decides_nothing(opened: Any, tmp_path: Path):
    class Disordered(Scripted):
        async def list_page(self, request: Any) -> Any:
            page = await super().list_page(request)
            return type(page)(list(reversed(page.items)), page.next_token)

    bucket = opened(Disordered()).create_bucket("fruit")
    fill(bucket, FILES)
    folder = make_folder(tmp_path, FILES)
    with pytest.raises(storage_core.StorageError, match="out of order"):
        sync(folder, bucket.tree(), delete=True)
    assert len(scripted(bucket).requests("delete_many")) == 0


def test_a_service_that_lists_in_no_order(opened: Any, tmp_path: Path):
    bucket = opened(Scripted(ordered_listing=False)).create_bucket("fruit")
    fill(bucket, {"old": b"1"})
    folder = make_folder(tmp_path, FILES)
    assert counts(sync(folder, bucket.tree(), delete=True)) == (5, 0, 1)
    assert counts(sync(folder, bucket.tree(), delete=True)) == (0, 5, 0)


def test_a_file_becomes_a_folder_and_the_other_way_round(bucket: Any, tmp_path: Path):
    make_folder(tmp_path, {"a": b"a file", "b/c/d": b"in a folder", "b/e": b""})
    new = {"a/x": b"1", "a/y/z": b"2", "b": b"3", "c": b"4"}
    fill(bucket, new)
    with pytest.raises(TransferIncompleteError) as failed:
        sync(bucket.tree(), tmp_path)
    assert [found.key for found in failed.value.report.failures] == ["a/x", "a/y/z", "b"]
    report = sync(bucket.tree(), tmp_path, delete=True)
    assert counts(report) == (3, 1, 3)
    assert files_in(tmp_path) == new


def test_markers_of_folders_stay(bucket: Any, tmp_path: Path):
    fill(bucket, {"x/": b"", "x/sub/": b"", "x/a": b"1", "x/old": b"2"})
    folder = make_folder(tmp_path, {"a": b"1"})
    report = sync(folder, bucket.tree("x"), delete=True)
    assert (report.skipped, report.deleted) == (("", "sub/"), 1)
    assert set(objects_in(bucket)) == {"x/", "x/sub/", "x/a"}


def test_deleting_very_many(bucket: Any, tmp_path: Path):
    for number in range(2500):
        bucket.put(f"old/{number:05}", b"")
    assert sync(make_folder(tmp_path, FILES), bucket.tree(), delete=True).deleted == 2500
    assert objects_in(bucket) == FILES


# -- dry runs ------------------------------------------------------------------


def test_a_dry_run_tells_all_in_order_and_does_nothing(bucket: Any, tmp_path: Path):
    fill(bucket, {"a": b"1", "b/old": b"2", "old": b"3"})
    folder = make_folder(tmp_path, {**FILES, "new\n": b"6"})
    told: list[Outcome] = []
    with pytest.raises(TransferIncompleteError) as failed:
        sync(folder, bucket.tree(), delete=True, dry_run=True, on_outcome=told.append)
    report = failed.value.report
    assert report.dry_run
    assert counts(report) == (4, 1, 0)  # it would delete nothing either
    assert [(found.key, found.action) for found in told] == [
        ("a.txt", "upload"),
        ("b/c", "upload"),
        ("b/d/e", "upload"),
        ("new\n", "upload"),
        ("z", "upload"),
    ]
    assert [found.key for found in told if found.error] == ["new\n"]
    assert objects_in(bucket) == {"a": b"1", "b/old": b"2", "old": b"3"}
    (folder / "new\n").unlink()
    told.clear()
    assert counts(sync(folder, bucket.tree(), delete=True, dry_run=True)) == (4, 1, 2)
    sync(folder, bucket.tree(), delete=True, dry_run=True, on_outcome=told.append)
    assert [found.key for found in told] == ["a.txt", "b/c", "b/d/e", "z", "b/old", "old"]
    assert counts(sync(folder, bucket.tree(), delete=True)) == (4, 1, 2)


def test_a_dry_run_makes_no_folder(bucket: Any, tmp_path: Path):
    fill(bucket, FILES)
    assert counts(sync(bucket.tree(), tmp_path / "down", dry_run=True, delete=True)) == (5, 0, 0)
    assert not (tmp_path / "down").exists()
