"""Worker processes of this machine: what becomes of those that are lost, how they begin and end,
and what they get."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import storage_core
from storage_core import (
    Bucket,
    ClosedError,
    ConfigError,
    InvalidRequestError,
    StorageError,
    UnavailableError,
)
from storage_core.cluster import ProcessEngine, sync, verify
from storage_core.cluster.jobs import Carry, Look
from storage_core.cluster.processes.child import Child
from storage_core.cluster.processes.crew import TRIES, ProcessCrew
from storage_core.cluster.processes.engine import shared
from storage_core.cluster.processes.messages import Do
from storage_core.transfer.memory import DEFAULT, MEMORY
from storage_core.transfer.options import TransferOptions
from storage_core.transfer.report import TransferIncompleteError
from tests.cluster.children import is_gone
from tests.cluster.conftest import WORKERS
from tests.cluster.functions import die, die_once, fail_for_one, fail_oddly
from tests.cluster.trees import call_off, content, files, fill
from tests.waiting import wait_until

MIB = 1024**2


def pids(engine: ProcessEngine) -> list[int]:
    return [child.pid for child in engine._children]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "folder"
    for number in range(300):
        path = place / f"{number % 7}/{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{number:05}".encode().ljust(2000, b"."))
    return place


def test_the_share_of_a_killed_process_is_done_again_and_counted_once(
    tmp_path: Path, folder: Path, target: Bucket, processes: ProcessEngine
):
    target.put("left-over", b"")
    before = pids(processes)
    outcomes: list[str] = []

    report = sync(
        folder,
        target.tree(),
        engine=processes,
        delete=True,
        content_type=partial(die_once, tmp_path / "grave"),
        on_outcome=lambda outcome: outcomes.append(outcome.key),
    )

    assert (tmp_path / "grave").exists()
    assert len(set(before) - set(pids(processes))) == 1
    assert (report.transferred, report.bytes, report.deleted) == (300, 600_000, 1)
    assert sorted(outcomes) == sorted([*files(folder), "left-over"])
    assert content(target) == files(folder)


@pytest.mark.parametrize("kind", [Look, Carry])
def test_a_process_may_be_lost_whatever_it_does(
    kind: type,
    source: Bucket,
    target: Bucket,
    processes: ProcessEngine,
    monkeypatch: pytest.MonkeyPatch,
):
    """Also while it lists, or deletes."""
    made = fill(source, 40)
    for key in made:
        target.put(key, made[key])
    for number in range(30):
        target.put(f"left-over/{number}", b"")
    killed: list[int] = []
    send = Child.send

    def deadly(self: Child, message: Any) -> None:
        send(self, message)
        if not killed and isinstance(message, Do) and isinstance(message.job, kind):
            killed.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)

    monkeypatch.setattr(Child, "send", deadly)
    report = sync(source.tree(), target.tree(), engine=processes, delete=True)
    assert killed
    assert (report.unchanged, report.transferred, report.deleted) == (40, 0, 30)
    assert content(target) == made


def test_work_that_kills_its_processes_is_a_failure(
    tmp_path: Path, target: Bucket, processes: ProcessEngine
):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "deadly").write_text("x")
    target.put("left-over", b"")

    with pytest.raises(TransferIncompleteError) as caught:
        sync(folder, target.tree(), engine=processes, delete=True, content_type=die)

    ((failure,)) = caught.value.report.failures
    assert (failure.key, failure.action) == ("deadly", "upload")
    assert isinstance(failure.error, UnavailableError)
    assert "4 worker processes were lost" in str(failure.error)
    assert "killed by SIGKILL" in str(failure.error)
    assert target.exists("left-over")
    assert sync(folder, target.tree(), engine=processes, delete=True).transferred == 1


def test_processes_that_are_lost_while_nobody_looks(
    source: Bucket, target: Bucket, monkeypatch: pytest.MonkeyPatch
):
    """As many as may be lost in a row, but each in another place."""
    monkeypatch.setattr(MEMORY, "limit", DEFAULT)
    made = fill(source, 20)
    with ProcessEngine(TRIES) as engine:
        for pid in pids(engine):
            os.kill(pid, signal.SIGKILL)
        assert sync(source.tree(), target.tree(), engine=engine).transferred == len(made)
        assert verify(source.tree(), target.tree(), engine=engine).ok


def test_processes_stay_from_one_operation_to_the_next(
    source: Bucket, target: Bucket, processes: ProcessEngine
):
    fill(source, 50)
    before = pids(processes)
    for _ in range(2):
        sync(source.tree(), target.tree(), engine=processes)
    assert verify(source.tree(), target.tree(), engine=processes).ok
    assert pids(processes) == before


def test_what_was_called_off_leaves_processes_that_can_be_used(
    source: Bucket, target: Bucket, processes: ProcessEngine
):
    """A job may have been unwound anywhere, so its process is not used again."""
    fill(source, 50)

    call_off(source, target, processes, bandwidth=2_000)
    sync(source.tree(), target.tree(), engine=processes)
    assert verify(source.tree(), target.tree(), engine=processes).ok


def test_what_begins_is_not_unwound(source: Bucket, target: Bucket):
    """An operation that is over before all processes have begun with it."""
    fill(source, 1)
    with ProcessEngine(WORKERS) as engine:
        for _ in range(3):
            sync(source.tree(), target.tree(), engine=engine)
        begun = pids(engine)
        sync(source.tree(), target.tree(), engine=engine)
        assert pids(engine) == begun


def test_a_second_interruption_leaves_nothing_of_the_operation(
    source: Bucket, target: Bucket, processes: ProcessEngine, monkeypatch: pytest.MonkeyPatch
):
    """Nobody waits for the processes, which are at work; the next operation has others."""
    fill(source, 50)
    before = pids(processes)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ProcessCrew, "close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sync(source.tree(), target.tree(), engine=processes)
    assert sync(source.tree(), target.tree("again/"), engine=processes).transferred == 50
    assert not set(before) & set(pids(processes))
    assert all(map(is_gone, before))


def test_they_end_though_the_client_has_forked():
    with ProcessEngine(WORKERS) as engine:
        begun = pids(engine)
        # What a fork has, as far as it matters here.
        with subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"],
            stdin=subprocess.PIPE,
            pass_fds=[child.connection.fileno() for child in engine._children],
        ) as fork:
            engine.close()
            assert all(map(is_gone, begun))
            assert fork.poll() is None


def test_operations_of_several_threads_take_their_turns(
    source: Bucket, target: Bucket, processes: ProcessEngine
):
    made = fill(source, 50)
    threads = [
        threading.Thread(
            target=sync,
            args=(source.tree(), target.tree(f"{number}/")),
            kwargs={"engine": processes},
        )
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(content(target, f"{number}/") == made for number in range(4))


def test_an_operation_can_not_wait_for_itself(
    source: Bucket, target: Bucket, processes: ProcessEngine
):
    fill(source, 5)
    trees = source.tree(), target.tree()
    for inside in (processes.close, lambda: sync(*trees, engine=processes)):
        with pytest.raises(InvalidRequestError, match="very operation"):
            sync(
                source.tree(),
                target.tree(),
                engine=processes,
                dry_run=True,
                on_outcome=lambda _, inside=inside: inside(),  # type: ignore[misc]
            )
    assert sync(*trees, engine=processes).transferred == 5


def test_they_end_with_the_engine(source: Bucket, target: Bucket):
    with ProcessEngine(WORKERS) as engine:
        assert repr(engine) == f"<ProcessEngine of {WORKERS} processes>"
        begun = pids(engine)
        assert len(begun) == WORKERS
        assert not any(map(is_gone, begun))
    assert all(map(is_gone, begun))
    engine.close()
    assert repr(engine) == "<ProcessEngine closed>"
    with pytest.raises(ClosedError):
        sync(source.tree(), target.tree(), engine=engine)


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="the system does not tell the processors"
)
def test_there_are_as_many_as_processors(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(MEMORY, "limit", 256 * MIB)
    with ProcessEngine() as engine:
        assert engine.processes == min(len(os.sched_getaffinity(0)), 16)


@pytest.mark.parametrize("processes", [0, -1, 1.5, "2", True])
def test_what_is_no_number_of_processes(processes: Any):
    with pytest.raises(InvalidRequestError, match="processes"):
        ProcessEngine(processes)


def test_why_they_can_not_start_is_told(
    source: Bucket, target: Bucket, monkeypatch: pytest.MonkeyPatch
):
    paths = sysconfig.get_paths()
    plain = [paths["stdlib"], str(Path(paths["stdlib"]) / "lib-dynload")]
    monkeypatch.setattr(sys, "path", plain)  # the library is not in them
    engine = ProcessEngine(WORKERS)
    monkeypatch.undo()
    with engine, pytest.raises(ConfigError, match=r"can start: .*No module named 'storage_core'"):
        sync(source.tree(), target.tree(), engine=engine)


def test_they_are_not_started_over_and_over(
    source: Bucket, target: Bucket, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with (
        ProcessEngine(WORKERS) as engine,
        pytest.raises(UnavailableError, match=r"before they took a job; .* ended with status 1"),
    ):
        sync(source.tree(), target.tree(), engine=engine)
    for program in ("/no/such/python", "", None):
        monkeypatch.setattr(sys, "executable", program)
        with pytest.raises(ConfigError, match="no worker process can be made"):
            ProcessEngine(WORKERS)


def test_another_version_is_refused(
    source: Bucket, target: Bucket, processes: ProcessEngine, monkeypatch: pytest.MonkeyPatch
):
    """The library was replaced while this process ran."""
    here = storage_core.__version__
    monkeypatch.setattr(storage_core, "__version__", "0.0.1")
    with pytest.raises(ConfigError, match=rf"worker process \d+ .* has storage-core {here} and"):
        sync(source.tree(), target.tree(), engine=processes)


def test_a_function_of_the_main_program_is_refused(
    folder: Path, target: Bucket, processes: ProcessEngine, monkeypatch: pytest.MonkeyPatch
):
    def named(key: str) -> str:
        return key

    assert isinstance(named, FunctionType)
    named.__module__, named.__qualname__ = "__main__", "named"
    monkeypatch.setattr(sys.modules["__main__"], "named", named, raising=False)
    with pytest.raises(InvalidRequestError, match="'named' is of the main program"):
        sync(folder, target.tree(), engine=processes, content_type=named)


def test_an_error_that_can_not_be_sent_is_told(
    folder: Path, target: Bucket, processes: ProcessEngine
):
    before = pids(processes)
    with pytest.raises(StorageError, match="HeldError: not to be had") as caught:
        sync(folder, target.tree(), engine=processes, content_type=fail_for_one)
    assert type(caught.value) is StorageError  # and not that processes were lost with it
    assert pids(processes) == before


def test_a_bug_that_does_not_arrive_is_told(folder: Path, target: Bucket, processes: ProcessEngine):
    with pytest.raises(RuntimeError, match="OddError: an odd bug"):
        sync(folder, target.tree(), engine=processes, content_type=fail_oddly)


@pytest.mark.parametrize(
    ("budget", "options", "count", "each", "own"),
    [
        (256 * MIB, TransferOptions(), 4, 64 * MIB, None),
        (40 * MIB, TransferOptions(), 2, 20 * MIB, None),
        (8 * MIB, TransferOptions(), 1, 8 * MIB, None),
        (256 * MIB, TransferOptions(max_memory=48 * MIB), 3, 256 * MIB // 3, 16 * MIB),
        (256 * MIB, TransferOptions(part_size=100 * MIB), 2, 128 * MIB, None),
        (256 * MIB, TransferOptions(part_size=500 * MIB), 1, 256 * MIB, None),
    ],
)
def test_memory_is_shared_out(
    budget: int, options: TransferOptions, count: int, each: int, own: int | None
):
    assert shared(4, budget, options) == (count, each, own)


def test_nothing_of_dask_is_needed():
    program = (
        "import sys; from storage_core.cluster import ProcessEngine, sync, verify, copy_tree;"
        "ProcessEngine(1).close();"
        "assert not {'dask', 'distributed'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


PARENT = """
import sys
from pathlib import Path

import storage_core
from storage_core import TransferOptions
from storage_core.cluster import ProcessEngine, sync

folder, root = sys.argv[1:]
with (
    storage_core.open(config={"driver": "local", "root": root, "fsync": False}) as storage,
    ProcessEngine(2) as engine,
):
    print(*(child.pid for child in engine._children), flush=True)
    options = TransferOptions(bandwidth=2_000)
    sync(folder, storage.bucket("target").tree(), engine=engine, options=options)
"""


def test_none_is_left_when_the_client_is_killed(
    tmp_path: Path, folder: Path, target: Bucket, processes: ProcessEngine
):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), str(tmp_path / "target")],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        begun = [int(pid) for pid in parent.stdout.readline().split()]
        wait_until(lambda: any(target.list()))
        parent.kill()
    assert len(begun) == 2
    wait_until(lambda: all(map(is_gone, begun)))
    assert len(content(target)) < 300

    sync(folder, target.tree(), engine=processes)
    assert content(target) == files(folder)
