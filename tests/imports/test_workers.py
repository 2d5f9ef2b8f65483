"""Workers: every job ends once, whatever becomes of them."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from storage_core import imports
from storage_core.config.gateway import ImportSettings
from storage_core.imports import leases, running
from storage_core.state import tables
from tests.imports.world import (
    THREE,
    cc5,
    log_of,
    reached,
    wait_until,
    worker_process,
)
from tests.waiting import PATIENCE


def test_a_file_is_imported(world):
    job = world.submit(cc5("10|1|Ann|30", "10|2|Bob|", "90|3"), workspace_id="w")
    world.work()
    done = world.ended(job)
    assert (done.state, done.error, done.attempts, done.worker) == ("imported", None, 1, None)
    assert (done.rows_total, done.rows_ok, done.rows_deleted, done.rows_failed) == (3, 2, 1, 0)
    assert done.bytes_read == done.size == job.size
    assert done.started is not None
    assert done.finished is not None
    assert job.submitted <= done.started <= done.finished
    first, second = world.imported()
    assert first["values"] == {"code": "1", "name": "Ann", "age": 30}
    assert second["values"] == {"code": "2", "name": "Bob", "age": None}
    for row in (first, second):
        assert (row["bucket"], row["workspace"], row["dataset"]) == ("people", "w", "people")
        assert (row["file_id"], row["job_id"]) == (job.file_id, job.id)


def test_a_later_file_changes_rows_by_key(world):
    world.work()
    world.ended(world.submit(b"a\nb\n", "plain"))
    world.ended(world.submit(b"-a\nc\nb\n", "plain"))
    assert world.rows() == {
        ("plain", '["b"]'): {"text": "b", "line": 3},
        ("plain", '["c"]'): {"text": "c", "line": 2},
    }


def test_an_empty_file_of_lines_has_no_rows(world):
    world.work()
    done = world.ended(world.submit(b"", "plain"))
    assert (done.state, done.rows_total) == ("imported", 0)


@pytest.mark.parametrize("file_type", ["csv", "jsonl"])
def test_the_other_importers(world, file_type):
    body = {"csv": b"id,name\n1,Ann\n", "jsonl": b'{"id": "1", "name": "Ann"}\n'}[file_type]
    world.work()
    assert world.ended(world.submit(body, file_type)).state == "imported"
    assert world.rows() == {("people", '["1"]'): {"id": "1", "name": "Ann"}}


@pytest.mark.parametrize(
    ("body", "line", "reason", "rows"),
    [
        (cc5("10|1|Ann|30", "10|2|Bob|old"), 6, "column 'age' of type int: 'old' is not", 2),
        (cc5("10|1|Ann|30", total=2), 6, "the total is 2, but there are 1 rows", 2),
        (cc5(*(f"10|{n}|x|1" for n in range(2500)), "10|x"), 2505, "1 values for the 3", 2501),
        (b"hello", 1, "begins with 'hello'", 1),
        (b"", None, "ends before its line of type 00", 1),
    ],
    ids=["value", "total", "late", "other", "empty"],
)
def test_a_broken_file_fails_with_line_and_reason_and_leaves_nothing(
    world, body, line, reason, rows
):
    world.work()
    done = world.ended(world.submit(body))
    assert (done.state, done.error_code, done.error_line) == ("failed", "FileBroken", line)
    assert reason in (done.error or "")
    assert (done.rows_ok, done.rows_deleted, done.rows_failed) == (0, 0, 1)
    assert done.rows_total == rows
    assert world.rows() == {}


@pytest.mark.parametrize(
    ("file_type", "code", "reason"),
    [
        ("faulty", "ImporterFailed", "the importer 'faulty' failed: ZeroDivisionError"),
        ("endless", "FileBroken", "the key is not of 1 to 1000 bytes"),
        ("leaving", "ImporterFailed", "the importer 'leaving' failed: SystemExit"),
        ("nowhere", "ImporterMissing", "the worker has no importer of the file's type"),
    ],
)
def test_importers_that_fail(world, file_type, code, reason, caplog):
    world.work()
    done = world.ended(world.submit(THREE, file_type))
    assert (done.state, done.error_code, done.error) == ("failed", code, reason)
    assert done.attempts == 1
    assert world.rows() == {}
    assert world.ended(world.submit(THREE, "plain")).state == "imported"  # it still works


def test_a_failed_job_can_be_ordered_again(world):
    world.work()
    file = world.register()
    first = world.submit_file(file, "cc5", *world.upload(file, cc5("10|1|Ann|x")))
    assert world.ended(first).state == "failed"
    second = world.submit_file(file, "cc5", *world.upload(file, cc5("10|1|Ann|3")))
    assert second.id != first.id
    assert world.ended(second).state == "imported"


def test_a_file_that_is_replaced_before_its_import_fails(world):
    file = world.register()
    job = world.submit_file(file, "plain", *world.upload(file, THREE))
    world.upload(file, b"others\n")
    world.work()
    done = world.ended(job)
    assert (done.state, done.error_code) == ("failed", "FileReplaced")
    assert world.rows() == {}


def test_a_file_that_is_deleted_before_its_import_fails(world):
    file = world.register()
    job = world.submit_file(file, "plain", *world.upload(file, THREE))
    world.storage.bucket(file.bucket.physical).delete(file.bucket.prefix + file.key)
    world.work()
    done = world.ended(job)
    assert (done.state, done.error_code) == ("failed", "FileMissing")


def test_a_worker_process_gives_its_job_back_when_told_to_stop(world, gate, distribution):
    """The importer hangs beyond the time a stop allows; it looks up at the end of its batch."""
    rows = b"".join(b"%d\n" % number for number in range(2000))
    job = world.submit(rows, "gated", metadata=gate)
    with ExitStack() as stack:
        process = worker_process(world, distribution, stack)
        wait_until(lambda: reached(gate), "the importer")
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: "are given back" in log_of(world), "the stop")
        Path(gate["gate"]).touch()
        assert process.wait(PATIENCE) == 0
    left = world.job(job)
    assert (left.worker, left.attempts, left.state) == (None, 0, "processing")
    assert world.rows() == {}
    world.work()
    assert world.ended(job).rows_ok == 2000
    assert len(world.rows()) == 2000


def test_a_file_whose_bucket_is_being_deleted_fails(world):
    job = world.submit(THREE, "plain")
    with world.state.write() as connection:
        table = tables.buckets
        mine = table.c.id == world.bucket.id
        connection.execute(table.update().where(mine).values(state="deleting"))
    world.work()
    done = world.ended(job)
    assert (done.state, done.error_code) == ("failed", "FileMissing")


def test_workers_never_share_a_job(world, monkeypatch):
    """Many jobs, many workers of two sets, every message doubled; each job is begun once."""
    begun: list[str] = []
    real = running.Runner._import

    def watched(self, job, pulse):
        begun.append(job.id)
        return real(self, job, pulse)

    monkeypatch.setattr(running.Runner, "_import", watched)
    jobs = [world.submit(b"%d\n" % number, "plain") for number in range(12)]
    for job in jobs:
        imports.announce(world.state, job.id)
    world.work(3)
    world.work(3)
    assert [world.ended(job).attempts for job in jobs] == [1] * 12
    assert sorted(begun) == sorted(job.id for job in jobs)
    assert len(world.rows()) == 12


def test_one_claim_of_many_at_once_counts(world):
    job = world.submit(THREE, "plain")
    won = []
    barrier = threading.Barrier(8)

    def claim(name: str) -> None:
        barrier.wait(PATIENCE)
        if leases.claim(world.state, job.id, name, 60):
            won.append(name)

    threads = [threading.Thread(target=claim, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(won) == 1


def test_a_stop_lets_the_job_under_way_end(world, gate):
    job = world.submit(THREE, "gated", metadata=gate)
    workers = world.work()
    wait_until(lambda: reached(gate), "the importer")
    later = world.submit(THREE, "plain")
    stopper = threading.Thread(target=workers.stop)
    stopper.start()
    assert workers._stopping.wait(PATIENCE)
    Path(gate["gate"]).touch()
    stopper.join(PATIENCE)
    assert not stopper.is_alive()
    assert world.job(job).state == "imported"
    assert world.job(later).state == "queued"  # none was begun after the stop
    workers.stop()  # once more


def test_a_stop_gives_back_what_does_not_end_in_time(world, gate):
    rows = b"".join(b"%d\n" % number for number in range(2500))
    job = world.submit(rows, "gated", metadata=gate)
    workers = world.work()
    wait_until(lambda: reached(gate), "the importer")
    stopping = workers._runner.stopping
    stopper = threading.Thread(target=workers.stop, args=(0,), kwargs={"grace": 60})
    stopper.start()
    assert stopping.wait(PATIENCE)
    Path(gate["gate"]).touch()
    stopper.join(PATIENCE)
    left = world.job(job)
    assert (left.state, left.worker, left.attempts) == ("processing", None, 0)
    assert world.rows() == {}


def test_progress_can_be_read(world, gate):
    rows = b"".join(b"%d\n" % number for number in range(2500))
    job = world.submit(rows, "gated", metadata=gate)
    world.work()
    wait_until(lambda: world.job(job).rows_total == 2499, "the progress")
    assert world.job(job).bytes_read == len(rows)
    lease = world.job(job).lease_until
    assert lease is not None
    wait_until(lambda: (world.job(job).lease_until or lease) > lease, "the renewed lease")
    Path(gate["gate"]).touch()
    assert world.ended(job).rows_total == 2500


def test_a_database_of_its_own_for_rows(world, tmp_path):
    settings = ImportSettings(database=f"sqlite:///{tmp_path / 'rows.db'}")
    job = world.submit(THREE, "plain")
    workers = imports.start_workers(world.state, settings, lambda _: world.storage)
    world.running.append(workers)
    assert world.ended(job).state == "imported"
    assert world.rows() == {}
    assert (tmp_path / "rows.db").exists()
