"""Workers of a Dask cluster that are lost."""

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
from storage_core.cluster import DaskEngine, sync
from storage_core.errors import UnavailableError
from storage_core.transfer.options import TransferOptions
from storage_core.transfer.report import Outcome, TransferIncompleteError
from tests.cluster.trees import content, files, fill
from tests.waiting import PATIENCE


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
    dask: DaskEngine,
    scheduler: Any,
):
    made = fill(source, 300, size=2000)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "left-over").touch()
    target.put("left-over", b"")
    pids = dask.client.run(os.getpid)
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
        engine=dask,
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
def killing(scheduler: Any, dask: DaskEngine, kind: str) -> Iterator[None]:
    dask.client.wait_for_workers(1, timeout=PATIENCE)
    killer = Killer(scheduler, dask.client, kind)
    scheduler.add_plugin(killer)
    yield
    scheduler.remove_plugin("killer")
    assert killer.killed


def test_a_worker_may_be_lost_while_it_lists_or_deletes(
    source: Bucket, target: Bucket, dask: DaskEngine, scheduler: Any
):
    made = fill(source, 40)
    trees = source.tree(), target.tree()
    with killing(scheduler, dask, "look"):
        report = sync(*trees, engine=dask)
    assert (report.transferred, report.bytes) == (40, 4000)

    for number in range(30):
        target.put(f"left-over/{number}", b"")
    with killing(scheduler, dask, "carry"):
        report = sync(*trees, engine=dask, delete=True)
    assert (report.unchanged, report.transferred, report.deleted) == (40, 0, 30)
    assert content(target) == made


def test_work_that_kills_its_workers_is_a_failure(
    tmp_path: Path, target: Bucket, dask: DaskEngine, scheduler: Any
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
            sync(folder, target.tree(), engine=dask, delete=True, content_type=content_type)
    finally:
        scheduler.allowed_failures = before

    ((failure),) = caught.value.report.failures
    assert (failure.key, failure.action) == ("deadly", "upload")
    assert isinstance(failure.error, UnavailableError)
    assert "lost" in str(failure.error)
    assert target.exists("left-over")
