"""Transfers on two worker processes: local disk, a folder that both see, and S3."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed.diagnostics.plugin import SchedulerPlugin

from storage_core import Bucket
from storage_core.cluster import DaskEngine, copy_tree, sync, verify
from storage_core.errors import InvalidKeyError, UnavailableError
from storage_core.transfer.options import TransferOptions
from storage_core.transfer.progress import Progress
from storage_core.transfer.report import Outcome, TransferIncompleteError
from tests.cluster.trees import content, files, fill
from tests.waiting import PATIENCE


def test_a_tree_reaches_s3_and_is_then_left_alone(
    source: Bucket, on_s3: Bucket, engine: DaskEngine
):
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


def test_what_is_left_over_is_deleted_at_last(source: Bucket, target: Bucket, engine: DaskEngine):
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


def test_copies_take_all_and_what_is_said_of_it(source: Bucket, on_s3: Bucket, engine: DaskEngine):
    source.put("a/x", b"1", content_type="text/plain", metadata={"colour": "red"})
    source.put("b", b"2")
    on_s3.put("b", b"2")

    report = copy_tree(source.tree(), on_s3.tree("copy"), engine=engine)

    assert (report.transferred, report.bytes) == (2, 2)
    info = on_s3.head("copy/a/x")
    assert (info.content_type, dict(info.metadata)) == ("text/plain", {"colour": "red"})


def test_folders_that_all_workers_share(tmp_path: Path, on_s3: Bucket, engine: DaskEngine):
    folder = tmp_path / "folder"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/x.txt").write_text("x")
    (folder / "top.bin").write_bytes(b"top")

    up = sync(folder, on_s3.tree(), engine=engine, content_type=lambda key: f"text/{key[-3:]}")
    assert up.transferred == 2
    assert content(on_s3) == {"deep/er/x.txt": b"x", "top.bin": b"top"}
    assert on_s3.head("top.bin").content_type == "text/bin"

    back = tmp_path / "back" / "again"
    down = sync(on_s3.tree(), back, engine=engine)
    assert down.transferred == 2
    assert (back / "deep/er/x.txt").read_text() == "x"
    assert sorted(path.name for path in back.iterdir()) == ["deep", "top.bin"]
    assert sorted(path.name for path in folder.iterdir()) == ["deep", "top.bin"]


def test_differences_are_found(source: Bucket, target: Bucket, engine: DaskEngine):
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
    tmp_path: Path, source: Bucket, engine: DaskEngine
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


def test_ranges_do_not_hide_what_is_in_the_way(tmp_path: Path, source: Bucket, engine: DaskEngine):
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
    tmp_path: Path, source: Bucket, engine: DaskEngine
):
    for key in ("x", "x.d/1", "x/b", "x/c/1", "y"):
        source.put(key, b"1")
    with pytest.raises(TransferIncompleteError) as caught:
        sync(source.tree(), tmp_path / "folder", engine=engine, dry_run=True)
    assert [failure.key for failure in caught.value.report.failures] == ["x/b", "x/c/1"]


def test_a_dry_run_needs_no_target(tmp_path: Path, source: Bucket, engine: DaskEngine):
    source.put("x", b"1")
    report = sync(source.tree(), tmp_path / "none", engine=engine, dry_run=True)
    assert (report.dry_run, report.transferred) == (True, 1)
    assert not (tmp_path / "none").exists()


class Sent(SchedulerPlugin):
    """Counts how often each task went to a worker."""

    name = "sent"

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()

    def transition(self, key, start, finish, *args, **kwargs):
        if finish == "processing":
            self.times[key] += 1


@pytest.mark.parametrize("into", ["bucket", "folder"])
def test_the_share_of_a_killed_worker_is_done_again_and_counted_once(
    into: str,
    tmp_path: Path,
    source: Bucket,
    target: Bucket,
    engine: DaskEngine,
    scheduler: Any,
):
    made = fill(source, 300, size=2000)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "left-over").touch()
    target.put("left-over", b"")
    pids = engine.client.run(os.getpid)
    sent = Sent()
    scheduler.add_plugin(sent)
    killed: list[str] = []
    outcomes: list[str] = []

    def kill_one(outcome: Outcome) -> None:
        outcomes.append(outcome.key)
        if killed:
            return
        for address, worker in list(scheduler.workers.items()):
            if any("carry" in str(task.key) for task in list(worker.processing)):
                killed.append(address)
                os.kill(pids[address], signal.SIGKILL)
                return

    report = sync(
        source.tree(),
        target.tree() if into == "bucket" else folder,
        engine=engine,
        delete=True,
        # Slow enough for a worker to be in the middle of it.
        options=TransferOptions(bandwidth=600_000),
        on_outcome=kill_one,
    )

    scheduler.remove_plugin("sent")
    assert killed
    assert max(times for key, times in sent.times.items() if "carry" in key) > 1
    assert (report.transferred, report.bytes, report.deleted) == (300, 600_000, 1)
    assert sorted(outcomes) == sorted([*made, "left-over"])
    if into == "bucket":
        assert content(target) == made
    else:
        assert files(folder) == made


class Killer(SchedulerPlugin):
    """Kills the worker that gets the first task of a kind, as soon as it has it."""

    name = "killer"

    def __init__(self, scheduler: Any, client: Any, kind: str) -> None:
        self._scheduler = scheduler
        self._kind = f"storage-{kind}-"
        self._pids = client.run(os.getpid)
        self.killed: list[str] = []

    def transition(self, key, start, finish, *args, **kwargs):
        if finish == "processing" and str(key).startswith(self._kind) and not self.killed:
            address = self._scheduler.tasks[key].processing_on.address
            if address in self._pids:
                self.killed.append(address)
                os.kill(self._pids[address], signal.SIGKILL)


@contextmanager
def killing(scheduler: Any, engine: DaskEngine, kind: str) -> Iterator[None]:
    engine.client.wait_for_workers(1, timeout=PATIENCE)
    killer = Killer(scheduler, engine.client, kind)
    scheduler.add_plugin(killer)
    yield
    scheduler.remove_plugin("killer")
    assert killer.killed


def test_a_worker_may_be_lost_while_it_lists_or_deletes(
    source: Bucket, target: Bucket, engine: DaskEngine, scheduler: Any
):
    made = fill(source, 40)
    trees = source.tree(), target.tree()
    with killing(scheduler, engine, "look"):
        report = sync(*trees, engine=engine)
    assert (report.transferred, report.bytes) == (40, 4000)

    for number in range(30):
        target.put(f"left-over/{number}", b"")
    with killing(scheduler, engine, "carry"):
        report = sync(*trees, engine=engine, delete=True)
    assert (report.unchanged, report.transferred, report.deleted) == (40, 0, 30)
    assert content(target) == made


def test_work_that_kills_its_workers_is_a_failure(
    tmp_path: Path, target: Bucket, engine: DaskEngine, scheduler: Any
):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "deadly").write_text("x")
    target.put("left-over", b"")

    def content_type(key: str) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"

    before, scheduler.allowed_failures = scheduler.allowed_failures, 0
    try:
        with pytest.raises(TransferIncompleteError) as caught:
            sync(folder, target.tree(), engine=engine, delete=True, content_type=content_type)
    finally:
        scheduler.allowed_failures = before

    ((failure),) = caught.value.report.failures
    assert (failure.key, failure.action) == ("deadly", "upload")
    assert isinstance(failure.error, UnavailableError)
    assert "lost" in str(failure.error)
    assert target.exists("left-over")


def test_the_large_goes_by_its_parts_and_tells_how_far_it_has_come(
    source: Bucket, on_s3: Bucket, engine: DaskEngine
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
