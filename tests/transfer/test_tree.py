"""`upload_tree`, `download_tree` and `copy_tree`, on every carrier."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_core import (
    BucketNotFoundError,
    InvalidKeyError,
    InvalidRequestError,
    Outcome,
    PreconditionFailedError,
    Progress,
    TransferIncompleteError,
    TransferOptions,
    UnavailableError,
)
from storage_core.transfer.moving import TOGETHER
from storage_core.transfer.tally import IN_A_ROW
from tests.core.conftest import scripted
from tests.core.drivers import Before, Scripted
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

FILES = {
    "a": b"",
    "a-b": b"1",
    "a.txt": b"apple",
    "b/a": b"2",
    "b/c/d/e": b"deep",
    "b0": b"3",
    "ü/ñ 𝄞": b"odd",
    **{f"many/{number:03}": b"%d" % number for number in range(150)},
}
SMALL_PARTS = TransferOptions(part_size=PART)


@pytest.fixture
def bucket(opened: Any) -> Any:
    return opened().create_bucket("fruit")


def test_up_and_down_again(bucket: Any, tmp_path: Path):
    report = bucket.upload_tree(make_folder(tmp_path / "up", FILES), "x")
    assert (report.transferred, report.bytes) == (len(FILES), sum(map(len, FILES.values())))
    assert report.failures == report.skipped == ()
    assert objects_in(bucket, "x/") == FILES
    again = bucket.download_tree("x/", tmp_path / "down")
    assert (again.transferred, again.bytes) == (report.transferred, report.bytes)
    assert files_in(tmp_path / "down") == FILES


def test_a_prefix_takes_no_neighbours(bucket: Any, tmp_path: Path):
    fill(bucket, {"logs/a": b"1", "logs2/b": b"2", "logs": b"3"})
    bucket.download_tree("logs", tmp_path / "down")
    assert files_in(tmp_path / "down") == {"a": b"1"}


def test_large_ones_go_in_parts_and_small_ones_in_one_request(opened: Any, tmp_path: Path):
    bucket = opened(Scripted(min_part_size=PART)).create_bucket("fruit")
    files = {"big": content(5 * PART + 1), "fits": content(PART, 2), "small": b"1"}
    bucket.upload_tree(make_folder(tmp_path / "up", files), options=SMALL_PARTS)
    assert objects_in(bucket) == files
    puts = [request.key for request in scripted(bucket).requests("put")]
    assert sorted(puts) == ["fits", "small"]
    assert len(scripted(bucket).requests("put_part")) == 6
    bucket.download_tree("", tmp_path / "down", options=SMALL_PARTS)
    assert files_in(tmp_path / "down") == files


def test_files_get_the_times_of_the_objects(bucket: Any, tmp_path: Path):
    fill(bucket, {"a": b"1", "big": content(3 * PART)})
    bucket.download_tree("", tmp_path, options=SMALL_PARTS)
    for item in bucket.list():
        modified = os.stat(tmp_path / item.key).st_mtime_ns // 1000
        assert modified == round(item.modified.timestamp() * 1e6)


def test_what_is_no_file_is_skipped(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path / "up", {"a": b"1", "b/c": b"2"})
    (folder / "link").symlink_to(folder / "a")
    (folder / "b" / "folder").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    report = bucket.upload_tree(folder)
    assert report.skipped == ("b/folder", "link", "pipe")
    assert set(objects_in(bucket)) == {"a", "b/c"}


def test_what_an_interrupted_download_left_is_not_uploaded(bucket: Any, tmp_path: Path):
    left = {".a.storage-part": b"1", "b/.a.storage-part.journal": b"2", "x.storage-part": b"3"}
    bucket.upload_tree(make_folder(tmp_path, left))
    assert set(objects_in(bucket)) == {"x.storage-part"}


def test_what_can_not_be_read_is_a_failure_of_its_own(opened: Any, tmp_path: Path):
    bucket = opened().create_bucket("fruit")
    # Enough before it that it is read after the first one was sent.
    before = {f"a{number:02}": b"1" for number in range(2 * TOGETHER)}
    folder = make_folder(tmp_path, {**before, "gone": b"2", "z": b"3"})
    # Too deep to be named by a path, so nobody can list it.
    name, descriptor = "d" * 250, os.open(folder, os.O_RDONLY)
    for _ in range(17):
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    scripted(bucket).script["put"] = [Before(lambda _: (folder / "gone").unlink())]
    with pytest.raises(TransferIncompleteError) as failed:
        bucket.upload_tree(folder, options=TransferOptions(concurrency=1))
    deep, gone = failed.value.report.failures
    assert deep.key.startswith(f"{name}/")
    assert isinstance(deep.error, OSError)
    assert (gone.key, type(gone.error)) == ("gone", FileNotFoundError)
    assert set(objects_in(bucket)) == {*before, "z"}


def test_a_name_that_is_no_utf8_is_a_failure_and_the_others_go(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path, {"a": b"1", "z": b"2"})
    Path(os.fsdecode(os.fsencode(folder) + b"/b\xff")).write_bytes(b"3")
    (folder / "new\nline").write_bytes(b"4")
    with pytest.raises(TransferIncompleteError) as failed:
        bucket.upload_tree(folder)
    report = failed.value.report
    assert [type(found.error) for found in report.failures] == [InvalidKeyError] * 2
    assert report.transferred == 2
    assert set(objects_in(bucket)) == {"a", "z"}


def test_all_others_are_tried_and_the_error_survives_pickling(opened: Any, tmp_path: Path):
    import pickle

    bucket = opened(retry=storage_core.RetryPolicy(attempts=1)).create_bucket("fruit")
    scripted(bucket).script["put"] = [UnavailableError("gone"), None, UnavailableError("again")]
    folder = make_folder(tmp_path, dict.fromkeys("abcdef", b"1"))
    with pytest.raises(TransferIncompleteError, match="2 of 6 failed: upload of") as failed:
        bucket.upload_tree(folder, options=TransferOptions(concurrency=1))
    report = failed.value.report
    assert [found.key for found in report.failures] == ["a", "c"]
    assert report.transferred == 4
    again = pickle.loads(pickle.dumps(failed.value))
    assert [found.key for found in again.report.failures] == ["a", "c"]
    assert str(again) == str(failed.value)


def test_what_all_would_fail_by_ends_it_at_once(opened: Any, tmp_path: Path):
    storage = opened()
    folder = make_folder(tmp_path, {f"{number}": b"1" for number in range(200)})
    bucket = storage.bucket("missing")
    with pytest.raises(BucketNotFoundError):
        bucket.upload_tree(folder)
    assert len(scripted(bucket).requests("put")) < 200


def test_an_outage_ends_it_after_a_while(opened: Any, tmp_path: Path):
    bucket = opened(retry=storage_core.RetryPolicy(attempts=1)).create_bucket("fruit")
    scripted(bucket).script["put"] = [UnavailableError("out of order")] * 500
    folder = make_folder(tmp_path, {f"{number}": b"1" for number in range(500)})
    with pytest.raises(UnavailableError, match="out of order"):
        bucket.upload_tree(folder)
    assert IN_A_ROW <= len(scripted(bucket).requests("put")) < 500


def test_outcomes_are_told_one_at_a_time(bucket: Any, tmp_path: Path):
    told: list[Outcome] = []
    busy = threading.Lock()

    def on_outcome(outcome: Outcome) -> None:
        assert busy.acquire(blocking=False)
        told.append(outcome)
        busy.release()

    bucket.upload_tree(make_folder(tmp_path / "up", FILES), on_outcome=on_outcome)
    assert {found.key for found in told} == set(FILES)
    etags = {item.key: item.etag for item in bucket.list()}
    assert {found.key: found.etag for found in told} == etags
    told.clear()
    bucket.download_tree("", tmp_path / "down", on_outcome=on_outcome)
    assert {found.key: found.etag for found in told} == etags


def test_progress_ends_with_all_of_it(bucket: Any, tmp_path: Path):
    told: list[Progress] = []
    files = {**FILES, "big": content(4 * PART)}
    folder = make_folder(tmp_path / "up", files)
    bucket.upload_tree(folder, progress=told.append, options=SMALL_PARTS)
    total = sum(map(len, files.values()))
    assert (told[-1].bytes, told[-1].total_bytes) == (total, total)
    assert (told[-1].objects, told[-1].total_objects) == (len(files), len(files))
    bucket.download_tree("", tmp_path / "down", progress=told.append, options=SMALL_PARTS)
    assert (told[-1].bytes, told[-1].objects) == (total, len(files))


def test_attributes_of_uploads(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path, {"a.txt": b"1", "b.bin": b"2", "c.txt": content(2 * PART)})
    bucket.upload_tree(
        folder,
        content_type=lambda key: "text/plain" if key.endswith(".txt") else None,
        cache_control="no-store",
        metadata={"by": "me"},
        options=SMALL_PARTS,
    )
    found = {key: bucket.head(key) for key in ("a.txt", "b.bin", "c.txt")}
    types = [info.content_type for info in found.values()]
    assert types[0] == types[2] == "text/plain"
    assert types[1] != "text/plain"
    assert {info.cache_control for info in found.values()} == {"no-store"}
    assert all(info.metadata == {"by": "me"} for info in found.values())


def test_what_is_there_can_be_kept(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path / "up", {"a": b"new", "b": b"new"})
    fill(bucket, {"a": b"old"})
    with pytest.raises(TransferIncompleteError) as failed:
        bucket.upload_tree(folder, if_absent=True)
    (failure,) = failed.value.report.failures
    assert (failure.key, type(failure.error)) == ("a", PreconditionFailedError)
    assert objects_in(bucket) == {"a": b"old", "b": b"new"}
    make_folder(tmp_path / "down", {"a": b"mine"})
    with pytest.raises(TransferIncompleteError) as failed:
        bucket.download_tree("", tmp_path / "down", replace=False)
    (failure,) = failed.value.report.failures
    assert (failure.key, type(failure.error)) == ("a", FileExistsError)
    assert files_in(tmp_path / "down") == {"a": b"mine", "b": b"new"}


def test_patterns(bucket: Any, tmp_path: Path):
    files = {"a.txt": b"1", "b/a.txt": b"2", "b/c.log": b"3", "d.log": b"4"}
    folder = make_folder(tmp_path / "up", files)
    bucket.upload_tree(folder, "x", include=("*.txt", "d*"), exclude=["b/*"])
    assert set(objects_in(bucket, "x/")) == {"a.txt", "d.log"}
    bucket.upload_tree(folder, "y")
    bucket.download_tree("y", tmp_path / "down", include=("[ab]*",))
    assert set(files_in(tmp_path / "down")) == {"a.txt", "b/a.txt", "b/c.log"}
    with pytest.raises(InvalidRequestError, match=r"include is a sequence.*\('\*\.txt',\)"):
        bucket.upload_tree(folder, include="*.txt")


def test_a_folder_that_is_none(bucket: Any, tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        bucket.upload_tree(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(NotADirectoryError):
        bucket.upload_tree(tmp_path / "file")
    assert bucket.upload_tree(make_folder(tmp_path / "empty", {})).transferred == 0


def test_a_file_that_grows_meanwhile_is_uploaded_as_it_is_then(opened: Any, tmp_path: Path):
    bucket = opened().create_bucket("fruit")
    # Enough before them that they are read after the first one was sent.
    before = {f"a{number:02}": b"1" for number in range(2 * TOGETHER)}
    folder = make_folder(tmp_path, {**before, "b": b"2", "c": b"3"})
    after = content(3 * PART)

    def grow(_: object) -> None:
        (folder / "b").write_bytes(b"longer")
        (folder / "c").write_bytes(after)

    scripted(bucket).script["put"] = [Before(grow)]
    bucket.upload_tree(folder, options=TransferOptions(concurrency=1, part_size=PART))
    assert objects_in(bucket) == {**before, "b": b"longer", "c": after}


def test_a_bandwidth_limit_is_kept_to(bucket: Any, tmp_path: Path):
    files = {f"{number}": bytes(1000) for number in range(20)}
    options = TransferOptions(bandwidth=1e9)
    bucket.upload_tree(make_folder(tmp_path, files), options=options)
    assert objects_in(bucket) == files


def test_trees_larger_than_one_batch(bucket: Any, tmp_path: Path):
    files = {f"{number % 13}/{number:05}": b"%d" % number for number in range(2300)}
    folder = make_folder(tmp_path / "up", files, modified=LONG_AGO)
    assert bucket.upload_tree(folder).transferred == 2300
    assert sync(folder, bucket.tree()).unchanged == 2300
    assert bucket.download_tree("", tmp_path / "down").transferred == 2300
    assert files_in(tmp_path / "down") == files
    assert folders_in(tmp_path / "down") == {str(number) for number in range(13)}
