"""`sync` with ``max_delete``: more deletions than that, and none is done, but all else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage_core import InvalidRequestError, Outcome, TransferIncompleteError, TransferReport
from tests.core.conftest import scripted
from tests.core.drivers import Scripted
from tests.transfer.trees import files_in, fill, make_folder, objects_in, sync

OLD = {f"old/{number}": b"1" for number in range(5)}
NEW = {"a": b"1", "b/c": b"22"}


@pytest.fixture
def bucket(opened: Any) -> Any:
    return opened().create_bucket("fruit")


def braked(source: Any, target: Any, **named: Any) -> tuple[TransferReport, str]:
    with pytest.raises(TransferIncompleteError) as caught:
        sync(source, target, delete=True, **named)
    return caught.value.report, str(caught.value)


def counts(report: TransferReport) -> tuple[int, int, int, int]:
    return report.transferred, report.unchanged, report.deleted, report.withheld


def test_a_source_that_is_not_mounted_empties_nothing(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path / "disk", NEW)
    assert sync(folder, bucket.tree("x"), delete=True, max_delete=0).withheld == 0
    mount_point = tmp_path / "mount-point"
    mount_point.mkdir()
    report, message = braked(mount_point, bucket.tree("x"), max_delete=1)
    assert report == TransferReport(withheld=2)
    assert message == (
        "nothing was deleted: 2 to delete are more than max_delete 1 allows; look at them in a"
        " dry run, and raise the limit if the source is whole"
    )
    assert objects_in(bucket, "x/") == NEW


def test_over_the_limit_all_but_the_deletions_is_done(bucket: Any, tmp_path: Path):
    fill(bucket, OLD)
    folder = make_folder(tmp_path, NEW)
    told: list[Outcome] = []
    report, _ = braked(folder, bucket.tree(), max_delete=4, on_outcome=told.append)
    assert counts(report) == (2, 0, 0, 5)
    assert {outcome.action for outcome in told} == {"upload"}
    assert objects_in(bucket) == {**OLD, **NEW}
    report, _ = braked(folder, bucket.tree(), max_delete=0)
    assert counts(report) == (0, 2, 0, 5)


def test_as_many_as_the_limit_are_deleted(bucket: Any, tmp_path: Path):
    fill(bucket, OLD)
    report = sync(make_folder(tmp_path, NEW), bucket.tree(), delete=True, max_delete=5)
    assert counts(report) == (2, 0, 5, 0)
    assert objects_in(bucket) == NEW


def test_without_anything_to_delete_none_is_too_many(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path, NEW)
    assert counts(sync(folder, bucket.tree(), delete=True, max_delete=0)) == (2, 0, 0, 0)


def test_files_of_a_folder_stay_as_well(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path, OLD)
    fill(bucket, NEW)
    report, _ = braked(bucket.tree(), folder, max_delete=4)
    assert counts(report) == (2, 0, 0, 5)
    assert files_in(folder) == {**OLD, **NEW}
    assert counts(sync(bucket.tree(), folder, delete=True, max_delete=5)) == (0, 2, 5, 0)
    assert files_in(folder) == NEW


def test_what_waits_for_a_deletion_that_is_withheld_is_a_failure(bucket: Any, tmp_path: Path):
    """Files are in the way of `old`, and stay there."""
    folder = make_folder(tmp_path, OLD)
    fill(bucket, {"a": b"1", "old": b"2"})
    report, message = braked(bucket.tree(), folder, max_delete=4)
    assert counts(report) == (1, 0, 0, 5)
    assert [outcome.key for outcome in report.failures] == ["old"]
    assert "5 to delete" in message
    assert "1 of 2 failed: download of 'old'" in message
    assert files_in(folder) == {**OLD, "a": b"1"}


def test_a_dry_run_tells_what_would_be_withheld(bucket: Any, tmp_path: Path):
    fill(bucket, OLD)
    folder = make_folder(tmp_path, NEW)
    told: list[Outcome] = []
    report, message = braked(
        folder, bucket.tree(), max_delete=4, dry_run=True, on_outcome=told.append
    )
    assert report == TransferReport(2, 3, dry_run=True, withheld=5)
    assert [(outcome.action, outcome.key) for outcome in told] == [
        *(("upload", key) for key in NEW),
        *(("delete", key) for key in OLD),
    ]
    assert message.startswith("nothing would be deleted: 5 to delete are more than max_delete 4 ")
    assert objects_in(bucket) == OLD
    report = sync(folder, bucket.tree(), delete=True, max_delete=5, dry_run=True)
    assert (counts(report), report.dry_run) == ((2, 0, 5, 0), True)


def test_what_is_left_out_does_not_count(bucket: Any, tmp_path: Path):
    fill(bucket, OLD)
    folder = make_folder(tmp_path, NEW)
    report, _ = braked(folder, bucket.tree(), exclude=("old/1",), max_delete=3)
    assert report.withheld == 4
    sync(folder, bucket.tree(), exclude=("old/1",), delete=True, max_delete=4)
    assert objects_in(bucket) == {**NEW, "old/1": b"1"}


def test_after_a_failure_nothing_is_deleted_whatever_the_limit(opened: Any, tmp_path: Path):
    bucket = opened(Scripted(max_key_bytes=10)).create_bucket("fruit")
    fill(bucket, OLD)
    folder = make_folder(tmp_path, {"a": b"1", "longer-than-that": b"2"})
    for limit, withheld in ((5, 0), (4, 5)):
        report, message = braked(folder, bucket.tree(), max_delete=limit)
        assert (len(report.failures), counts(report)[2:]) == (1, (0, withheld))
        assert ("nothing was deleted" in message) == bool(withheld)
        assert "failed: upload of 'longer-than-that'" in message
    assert objects_in(bucket) == {**OLD, "a": b"1"}


def test_nothing_is_asked_when_the_limit_makes_no_sense(opened: Any, tmp_path: Path):
    bucket = opened().create_bucket("fruit")
    tree, folder = bucket.tree(), make_folder(tmp_path, NEW)
    asked = len(scripted(bucket).calls)
    with pytest.raises(InvalidRequestError, match="max_delete goes with delete=True"):
        sync(folder, tree, max_delete=1)
    for wrong in (-1, True, 1.0, "1"):
        with pytest.raises(InvalidRequestError, match="not a number of objects, 0 or more"):
            sync(folder, tree, delete=True, max_delete=wrong)
    assert len(scripted(bucket).calls) == asked
    assert objects_in(bucket) == {}


def test_reports_add_up():
    one = TransferReport(1, 2, withheld=3)
    assert one.merged(TransferReport(withheld=4)) == TransferReport(1, 2, withheld=7)
