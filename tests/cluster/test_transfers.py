"""Transfers on two worker processes of either engine: local disk, a folder that both see, and S3."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_core import Bucket
from storage_core.cluster import copy_tree, sync, verify
from storage_core.cluster.engine import Engine
from storage_core.errors import ConfigError, InvalidKeyError, InvalidRequestError
from storage_core.transfer.options import TransferOptions
from storage_core.transfer.progress import Progress
from storage_core.transfer.report import Outcome, TransferIncompleteError
from tests.cluster.functions import fail, text_of_its_ending
from tests.cluster.trees import call_off, content, fill


def test_a_tree_reaches_s3_and_is_then_left_alone(source: Bucket, on_s3: Bucket, engine: Engine):
    made = fill(source, 21, prefix="raw/")
    source.put("other/kept", b"not below the prefix")
    told: list[Progress] = []
    outcomes: list[Outcome] = []

    first = sync(
        source.tree("raw"),
        on_s3.tree("in/"),
        engine=engine,
        progress=told.append,
        on_outcome=outcomes.append,
    )

    assert content(on_s3, "in/") == made
    assert (first.transferred, first.bytes, first.failures) == (21, 2100, ())
    assert sorted(outcome.key for outcome in outcomes) == sorted(made)
    assert {outcome.action for outcome in outcomes} == {"copy"}
    assert (told[-1].objects, told[-1].total_objects) == (21, 21)
    assert (told[-1].bytes, told[-1].total_bytes) == (2100, 2100)

    # Times of S3 are whole seconds, too coarse for what was made just now.
    again = sync(source.tree("raw"), on_s3.tree("in/"), engine=engine, compare="checksum")
    assert (again.transferred, again.unchanged) == (0, 21)
    assert verify(source.tree("raw"), on_s3.tree("in"), engine=engine).ok


def test_what_is_left_over_is_deleted_at_last(source: Bucket, target: Bucket, engine: Engine):
    made = fill(source, 30)
    for key in ("0/00000.bin.old", "zzz", "3/x"):
        target.put(key, b"left over")
    trees = source.tree(), target.tree()

    dry = sync(*trees, engine=engine, delete=True, dry_run=True)
    assert (dry.dry_run, dry.transferred, dry.deleted) == (True, 30, 3)
    assert len(content(target)) == 3

    report = sync(*trees, engine=engine, delete=True, exclude=["3/*"])
    assert (report.transferred, report.deleted) == (30 - 4, 2)
    report = sync(*trees, engine=engine, delete=True)
    assert (report.transferred, report.deleted, report.unchanged) == (4, 1, 26)
    assert content(target) == made


def test_more_deletions_than_may_be_are_none(source: Bucket, target: Bucket, engine: Engine):
    made = fill(source, 8)
    for number in range(5):
        target.put(f"left-over/{number}", b"")
    trees = source.tree(), target.tree()

    told: list[Outcome] = []
    with pytest.raises(TransferIncompleteError) as caught:
        sync(*trees, engine=engine, delete=True, max_delete=4, dry_run=True, on_outcome=told.append)
    assert (caught.value.report.deleted, caught.value.report.withheld) == (0, 5)
    assert sum(outcome.action == "delete" for outcome in told) == 5

    with pytest.raises(TransferIncompleteError, match="5 to delete are more than max_delete 4"):
        sync(*trees, engine=engine, delete=True, max_delete=4)
    assert len(content(target)) == len(made) + 5
    report = sync(*trees, engine=engine, delete=True, max_delete=5)
    assert (report.unchanged, report.deleted, report.withheld) == (8, 5, 0)
    assert content(target) == made


def test_copies_take_all_and_what_is_said_of_it(source: Bucket, on_s3: Bucket, engine: Engine):
    source.put("a/x", b"1", content_type="text/plain", metadata={"colour": "red"})
    source.put("b", b"2")
    on_s3.put("b", b"2")

    report = copy_tree(source.tree(), on_s3.tree("copy"), engine=engine)

    assert (report.transferred, report.bytes) == (2, 2)
    info = on_s3.head("copy/a/x")
    assert (info.content_type, dict(info.metadata)) == ("text/plain", {"colour": "red"})


def test_folders_that_all_workers_share(tmp_path: Path, on_s3: Bucket, engine: Engine):
    folder = tmp_path / "folder"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/x.txt").write_text("x")
    (folder / "top.bin").write_bytes(b"top")

    up = sync(folder, on_s3.tree(), engine=engine, content_type=text_of_its_ending)
    assert up.transferred == 2
    assert content(on_s3) == {"deep/er/x.txt": b"x", "top.bin": b"top"}
    assert on_s3.head("top.bin").content_type == "text/bin"

    back = tmp_path / "back" / "again"
    down = sync(on_s3.tree(), back, engine=engine)
    assert down.transferred == 2
    assert (back / "deep/er/x.txt").read_text() == "x"
    assert sorted(path.name for path in back.iterdir()) == ["deep", "top.bin"]
    assert sorted(path.name for path in folder.iterdir()) == ["deep", "top.bin"]


def test_differences_are_found(source: Bucket, target: Bucket, engine: Engine):
    fill(source, 40)
    fill(target, 40)
    target.put("1/00001.bin", b"!" * 100)
    target.delete("2/00002.bin")
    target.put("new", b"")

    report = verify(source.tree(), target.tree(), engine=engine)

    assert not report.ok
    assert report.same == 38
    assert report.different == ("1/00001.bin",)
    assert report.only_source == ("2/00002.bin",)
    assert report.only_target == ("new",)


def test_failures_come_back_typed_and_nothing_is_deleted(
    tmp_path: Path, source: Bucket, engine: Engine
):
    fill(source, 20)
    source.put("a//b", b"has no place in a folder")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "left-over").write_text("stays")

    with pytest.raises(TransferIncompleteError) as caught:
        sync(source.tree(), folder, engine=engine, delete=True)

    report = caught.value.report
    assert (report.transferred, report.deleted) == (20, 0)
    ((failure),) = report.failures
    assert failure.key == "a//b"
    assert isinstance(failure.error, InvalidKeyError)
    assert (folder / "left-over").exists()


def test_ranges_do_not_hide_what_is_in_the_way(tmp_path: Path, source: Bucket, engine: Engine):
    """An object and one below it are looked at apart, and a folder has room for one."""
    for key in ("a", "a/b", "a/c/d", "b/c", "c"):
        source.put(key, key.encode())
    with pytest.raises(TransferIncompleteError) as caught:
        sync(source.tree(), tmp_path / "folder", engine=engine)
    failures = caught.value.report.failures
    assert [failure.key for failure in failures] == ["a/b", "a/c/d"]
    assert all(isinstance(failure.error, InvalidKeyError) for failure in failures)
    assert (tmp_path / "folder/a").read_bytes() == b"a"
    # What is excluded is in nobody's way.
    (tmp_path / "folder/a").unlink()
    report = sync(source.tree(), tmp_path / "folder", engine=engine, exclude=["a"])
    assert (report.transferred, report.unchanged) == (2, 2)


def test_what_is_in_the_way_may_come_before_another_folder(
    tmp_path: Path, source: Bucket, engine: Engine
):
    for key in ("x", "x.d/1", "x/b", "x/c/1", "y"):
        source.put(key, b"1")
    with pytest.raises(TransferIncompleteError) as caught:
        sync(source.tree(), tmp_path / "folder", engine=engine, dry_run=True)
    assert [failure.key for failure in caught.value.report.failures] == ["x/b", "x/c/1"]


def test_a_dry_run_needs_no_target(tmp_path: Path, source: Bucket, engine: Engine):
    source.put("x", b"1")
    report = sync(source.tree(), tmp_path / "none", engine=engine, dry_run=True)
    assert (report.dry_run, report.transferred) == (True, 1)
    assert not (tmp_path / "none").exists()


def test_the_large_goes_by_its_parts_and_tells_how_far_it_has_come(
    source: Bucket, on_s3: Bucket, engine: Engine
):
    data = os.urandom(6 * 1024**2)
    source.put("large", data)
    told: list[Progress] = []

    copy_tree(
        source.tree(),
        on_s3.tree(),
        engine=engine,
        options=TransferOptions(part_size=5 * 1024**2, bandwidth=6 * 1024**2),
        progress=told.append,
    )

    assert on_s3.get("large").read() == data
    assert any(0 < progress.bytes < len(data) for progress in told)
    assert (told[-1].bytes, told[-1].objects) == (len(data), 1)


def test_memory_is_out_of_reach(target: Bucket, engine: Engine):
    with storage_core.open(config={"driver": "memory", "name": "of-this-process"}) as storage:
        bucket = storage.create_bucket("mine", exist_ok=True)
        bucket.put("x", b"1")
        with pytest.raises(ConfigError, match=r"worker .* has no such bucket here, 'mine'"):
            sync(bucket.tree(), target.tree(), engine=engine)
        with pytest.raises(ConfigError, match=r"\(memory 'of-this-process'\) has no such bucket"):
            sync(target.tree(), bucket.tree(), engine=engine)


def test_what_can_not_be_sent(tmp_path: Path, target: Bucket, engine: Engine):
    lock = threading.Lock()
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(InvalidRequestError, match="can not be sent"):
        sync(folder, target.tree(), engine=engine, content_type=lambda key: str(lock))
    assert not list(folder.glob("*.storage-part"))


@pytest.mark.parametrize("side", [7, None])
def test_what_is_no_side(side: Any, target: Bucket, engine: Engine):
    with pytest.raises(InvalidRequestError, match="no side of a transfer"):
        sync(side, target.tree(), engine=engine)


def test_copies_need_trees(tmp_path: Path, target: Bucket, engine: Engine):
    with pytest.raises(InvalidRequestError, match="use sync"):
        copy_tree(tmp_path, target.tree(), engine=engine)  # type: ignore[arg-type]


def test_a_bug_is_raised_as_it_is(tmp_path: Path, target: Bucket, engine: Engine):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x").write_text("x")
    with pytest.raises(LookupError, match="a bug"):
        sync(tmp_path / "in", target.tree(), engine=engine, content_type=fail)


def test_an_interruption_calls_the_rest_off(source: Bucket, target: Bucket, engine: Engine):
    fill(source, 200)

    call_off(source, target, engine, bandwidth=20_000)

    report = sync(source.tree(), target.tree(), engine=engine)
    assert report.transferred
    assert report.transferred + report.unchanged == 200
    assert verify(source.tree(), target.tree(), engine=engine).ok
