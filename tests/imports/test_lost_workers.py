"""Workers that die, hang or lose a database: every job ends once nevertheless."""

from __future__ import annotations

import functools
import signal
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage_core import imports
from storage_core.errors import ConfigError, TransientError, UnavailableError
from storage_core.imports import ImportJob, Sink, leases, running
from storage_core.imports.queue import JobQueue
from storage_core.state.tables import import_jobs
from tests.imports.world import (
    THREE,
    Clock,
    World,
    keys,
    reached,
    sweep,
    wait_until,
    worker_process,
)
from tests.waiting import PATIENCE


def test_what_fails_for_a_while_is_tried_again(world, tmp_path, clock):
    metadata = {"tries": str(tmp_path / "tries"), "failures": 2}
    job = world.submit(THREE, "flaky", metadata=metadata)
    world.work()
    pass_pauses(world, job, clock, (1, 2))
    done = world.ended(job)
    assert (done.state, done.attempts, done.rows_ok) == ("imported", 3, 1)
    assert (done.error, done.error_code) == (None, None)


def pass_pauses(world: World, job: ImportJob, clock: Clock, attempts: tuple[int, ...]) -> None:
    """Let the pauses pass that failed attempts are followed by."""
    for attempt in attempts:
        wait_until(functools.partial(is_back, world, job, attempt), f"attempt {attempt}")
        clock.ahead += timedelta(seconds=61)
        sweep(world)


def is_back(world: World, job: ImportJob, attempts: int) -> bool:
    found = world.job(job)
    return found.worker is None and found.attempts == attempts


def test_tries_are_counted(world, tmp_path, caplog, clock):
    metadata: dict[str, Any] = {"tries": str(tmp_path / "tries"), "failures": 99}
    job = world.submit(THREE, "flaky", metadata=metadata)
    world.work()
    pass_pauses(world, job, clock, (1, 2, 3))
    done = world.ended(job)  # a fourth one only looks whether a commit went through
    assert (done.state, done.error_code) == ("failed", "Unavailable")
    assert len(Path(metadata["tries"]).read_text()) == 3
    assert "10.11.12.13" not in (done.error or "")
    assert "10.11.12.13" in caplog.text
    assert world.rows() == {}


def test_a_killed_worker_process_leaves_its_job_to_another(world, gate, distribution, clock):
    job = world.submit(THREE, "gated", metadata=gate)
    with ExitStack() as stack:
        process = worker_process(world, distribution, stack)
        wait_until(lambda: reached(gate), "the importer")
        assert world.job(job).state == "processing"
        assert world.rows() == {}  # nothing is seen of what it did
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    Path(gate["gate"]).touch()
    clock.ahead = timedelta(seconds=61)
    world.work()
    done = world.ended(job)
    assert (done.state, done.attempts, done.rows_ok) == ("imported", 2, 3)
    assert keys(world) == ["1", "2", "3"]
    assert reached(gate) == 2


def test_a_lost_worker_is_noticed_by_its_lease(world, clock):
    job = world.submit(THREE, "plain")
    claimed = leases.claim(world.state, job.id, "a worker that is no more", 60)
    assert claimed is not None
    workers = world.work()
    assert world.job(job).worker == "a worker that is no more"
    clock.ahead = timedelta(seconds=61)
    sweep(world)
    done = world.ended(job)
    assert (done.state, done.attempts) == ("imported", 2)
    workers.stop()


def test_a_job_whose_workers_all_die_is_given_up(world, clock):
    job = world.submit(THREE, "plain")
    for _ in range(running.MAX_ATTEMPTS):
        assert leases.claim(world.state, job.id, "doomed", 60)
        clock.ahead += timedelta(seconds=61)
        sweep(world)
    world.work()
    done = world.ended(job)
    assert (done.state, done.error_code) == ("failed", "WorkerLost")
    assert "after 3 attempts" in (done.error or "")
    assert world.rows() == {}


def test_rows_that_are_in_count_though_their_worker_died(world, clock):
    """It died between the last row and the word of it."""
    job = world.submit(THREE, "plain")
    lost = LostRunner(world)
    with pytest.raises(TransientError):
        lost.run(job.id)
    assert keys(world) == ["1", "2", "3"]
    assert world.job(job).state == "processing"
    clock.ahead = timedelta(seconds=61)
    sweep(world)
    world.work()
    done = world.ended(job)
    assert (done.state, done.attempts, done.rows_total, done.rows_ok) == ("imported", 2, 3, 3)
    assert {row["imported"] for row in world.imported()} == {min(lost.times)}


class LostRunner(running.Runner):
    """Loses the state's database when all is done."""

    def __init__(self, world: World) -> None:
        self.sink = imports.open_sink("", world.state)
        super().__init__(world.state, self.sink, lambda _: world.storage, 60)
        self.times = {world.state.now()}
        world_now = world.state.now

        class State:
            def __getattr__(_, name: str):  # noqa: N805
                return getattr(world.state, name)

            def now(_):  # noqa: N805
                self.times = {min(self.times)} | {world_now()}
                return min(self.times)

        self._state = State()  # type: ignore[assignment]

    def _outcome(self, job, pulse):
        super()._outcome(job, pulse)
        self.sink.close()
        raise TransientError("the database is gone")


def test_a_job_that_was_imported_in_the_last_attempt_is_not_failed(world, clock, monkeypatch):
    """Each commit happens, and its answer is lost."""
    job = world.submit(THREE, "plain")
    for _ in range(running.MAX_ATTEMPTS - 1):
        assert leases.claim(world.state, job.id, "doomed", 60)
        clock.ahead += timedelta(seconds=61)
        sweep(world)
    real = Sink.write

    def lost(*arguments):
        real(*arguments)
        raise UnavailableError("the answer is lost")

    monkeypatch.setattr(Sink, "write", lost)
    world.work()
    pass_pauses(world, job, clock, (3,))
    done = world.ended(job)
    assert (done.state, done.rows_ok, done.error_code) == ("imported", 3, None)
    assert keys(world) == ["1", "2", "3"]


def test_a_job_whose_rows_database_can_not_be_asked_does_not_fail(world, clock, monkeypatch):
    """Nobody knows whether an earlier attempt imported it."""
    job = world.submit(THREE, "plain")
    for _ in range(running.MAX_ATTEMPTS):
        assert leases.claim(world.state, job.id, "doomed", 60)
        clock.ahead += timedelta(seconds=61)
        sweep(world)
    with monkeypatch.context() as patch:
        patch.setattr(Sink, "begin", refuse)
        world.work()
        pass_pauses(world, job, clock, (4, 5))
        wait_until(lambda: is_back(world, job, 6), "attempt 6")
        assert world.job(job).state == "processing"
    clock.ahead += timedelta(seconds=61)
    sweep(world)
    assert world.ended(job).state == "failed"


def refuse(*_: object) -> None:
    raise ConfigError("the password is wrong")


def test_a_worker_that_was_taken_for_dead_changes_nothing(world, gate, clock):
    """Its lease ended while it slept; another one saw to the job."""
    slow = world.submit(THREE, "gated", metadata=gate)
    workers = world.work()
    wait_until(lambda: reached(gate), "the importer")
    if world.site.name == "local-sqlite":
        # Its lock on the rows still stands: whoever comes later can not even begin.
        stolen = steal(world, slow)
    else:
        stolen = steal(world, slow)
        sink = imports.open_sink("", world.state)
        assert sink.begin(stolen.id, stolen.attempts, lambda: None) is None
        sink.close()
    assert leases.fail(world.state, stolen, "FileBroken", "as the other one saw it")
    Path(gate["gate"]).touch()
    workers.stop(grace=PATIENCE)
    done = world.job(slow)
    assert (done.state, done.error) == ("failed", "as the other one saw it")
    if world.site.name != "local-sqlite":
        assert world.rows() == {}


def steal(world: World, job: ImportJob) -> ImportJob:
    """Claim a job as if its worker had not renewed the lease."""
    with world.state.write() as connection:
        connection.execute(
            import_jobs.update().where(import_jobs.c.id == job.id).values(worker=None)
        )
    stolen = leases.claim(world.state, job.id, "another", 60)
    assert stolen is not None
    return stolen


def test_a_job_without_a_message_is_found(world, clock):
    file = world.register()
    etag, size = world.upload(file, THREE)
    job, _ = imports.submit(
        world.state,
        file,
        action_id="a",
        description="",
        file_type="plain",
        etag=etag,
        size=size,
        lease_seconds=60,
    )
    assert world.job(job).state == "queued"
    clock.ahead = timedelta(seconds=61)
    world.work()  # its first look finds it
    assert world.ended(job).state == "imported"


def test_a_message_that_waits_is_not_doubled(world, clock):
    job = world.submit(THREE, "plain")
    clock.ahead = timedelta(seconds=61)
    sweep(world)
    queue = JobQueue(world.state, lambda _: None)
    assert [task.args[0] for task in queue.huey.pending()].count(job.id) == 1
    queue.close()
    assert (world.job(job).lease_until or world.state.now()) > world.state.now()


def test_messages_without_a_job_and_doubled_ones_do_no_harm(world):
    job = world.submit(THREE, "plain")
    for message in ("no such job", job.id, job.id):
        imports.announce(world.state, message)
    world.work(2)
    done = world.ended(job)
    assert (done.state, done.attempts) == ("imported", 1)


def test_a_queue_that_can_not_be_reached_keeps_no_order_back(world, clock, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(JobQueue, "put", lambda *_: 1 / 0)
        job = world.submit(THREE, "plain")
    assert "is not queued" in caplog.text
    clock.ahead = timedelta(seconds=61)
    world.work()
    assert world.ended(job).state == "imported"
