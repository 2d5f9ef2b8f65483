"""The transfers of `Bucket` and `AsyncBucket`: what they take, give, and leave behind."""

from __future__ import annotations

import asyncio
import inspect
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_core import (
    Bucket,
    InvalidKeyError,
    InvalidRequestError,
    Progress,
    TransferOptions,
    TransferReport,
    Tree,
    aio,
)
from storage_core.transfer.memory import DEFAULT, MEMORY
from tests.transfer.downloads import content
from tests.transfer.trees import files_in, fill, make_folder, objects_in
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def bucket(opened: Any) -> Any:
    return opened().create_bucket("fruit")


def test_one_file_up_and_down(bucket: Any, tmp_path: Path):
    (tmp_path / "a").write_bytes(b"red")
    told: list[Progress] = []
    result = bucket.upload_file(tmp_path / "a", "apple", progress=told.append)
    assert (result.key, result.size) == ("apple", 3)
    assert (told[-1].objects, told[-1].bytes, told[-1].failed) == (1, 3, 0)
    info = bucket.download_file("apple", str(tmp_path / "b"))
    assert (info.etag, (tmp_path / "b").read_bytes()) == (result.etag, b"red")


def test_progress_tells_of_a_failure(bucket: Any, tmp_path: Path):
    told: list[Progress] = []
    with pytest.raises(storage_core.ObjectNotFoundError):
        bucket.download_file("missing", tmp_path / "x", progress=told.append)
    assert told[-1].failed == 1


@pytest.mark.parametrize("data", [b"", content(40 * 1024**2)], ids=["small", "large"])
def test_the_budget_is_given_back(bucket: Any, tmp_path: Path, data: bytes):
    (tmp_path / "a").write_bytes(data)
    bucket.upload_file(tmp_path / "a", "a")
    bucket.download_file("a", tmp_path / "b")
    bucket.upload_tree(make_folder(tmp_path / "up", {"a": data, "b": b"1"}), "x")
    bucket.download_tree("x", tmp_path / "down")
    assert MEMORY._used == 0
    assert files_in(tmp_path / "down") == {"a": data, "b": b"1"}


def test_small_budgets_do(opened: Any, tmp_path: Path):
    bucket = opened().create_bucket("fruit")
    files = {"big": content(3 * 1024**2), **{f"{n}": content(50_000, n) for n in range(20)}}
    storage_core.set_max_memory(1024**2)
    try:
        options = TransferOptions(max_memory=512 * 1024)
        bucket.upload_tree(make_folder(tmp_path / "up", files), options=options)
        bucket.download_tree("", tmp_path / "down", options=options)
    finally:
        storage_core.set_max_memory(DEFAULT)
    assert files_in(tmp_path / "down") == files


def test_too_little_memory_is_refused():
    with pytest.raises(InvalidRequestError, match="below 1 MiB"):
        storage_core.set_max_memory(10)


def test_trees_are_values(tmp_path: Path):
    with storage_core.open_url(tmp_path.as_uri()) as storage:
        bucket = storage.create_bucket("fruit")
        tree = bucket.tree("a")
        assert tree.prefix == "a/"
        assert tree == Tree(bucket, "a/")
        assert bucket.tree().prefix == ""
        with pytest.raises(InvalidKeyError):
            bucket.tree("\ud800")
        again = pickle.loads(pickle.dumps(tree))
        assert (again.prefix, again.bucket.name) == ("a/", "fruit")
        again.bucket.storage.close()


def at_work() -> set[threading.Thread]:
    """The threads of transfers, those of earlier tests included."""
    return {one for one in threading.enumerate() if one.name.startswith("storage-core-transfer")}


def test_no_thread_is_left(tmp_path: Path):
    before = at_work()
    with storage_core.open_url((tmp_path / "root").as_uri()) as storage:
        bucket = storage.create_bucket("fruit")
        bucket.upload_tree(make_folder(tmp_path / "up", {f"{n}": b"1" for n in range(50)}))
        wait_until(lambda: not at_work() - before)


@pytest.mark.parametrize("call", ["upload", "download"])
def test_an_interrupt_stops_a_tree(tmp_path: Path, call: str):
    before = at_work()
    files = {f"{n:04}": b"1" for n in range(2000)}

    class Stop(BaseException):
        pass

    def stop(_: object) -> None:
        raise Stop

    with storage_core.open(config={"driver": "memory"}) as storage:
        bucket = storage.create_bucket("fruit")
        folder = make_folder(tmp_path / "up", files)
        if call == "download":
            fill(bucket, files)
        down = tmp_path / "down"
        run: Callable[[], object] = (
            (lambda: bucket.upload_tree(folder, on_outcome=stop))
            if call == "upload"
            else (lambda: bucket.download_tree("", down, on_outcome=stop))
        )
        with pytest.raises(Stop):
            run()
        wait_until(lambda: not at_work() - before)
        done = objects_in(bucket) if call == "upload" else files_in(tmp_path / "down")
        assert set(done.values()) <= {b"1"}
        assert len(done) < 2000
    assert MEMORY._used == 0


def test_a_cancelled_task_stops_a_tree(tmp_path: Path):
    files = {f"{n:04}": b"1" for n in range(2000)}
    folder = make_folder(tmp_path / "up", files)

    async def main() -> int:
        async with aio.open_url((tmp_path / "root").as_uri()) as storage:
            bucket = await storage.create_bucket("fruit")
            begun = asyncio.Event()
            loop = asyncio.get_running_loop()
            work = asyncio.create_task(
                bucket.upload_tree(
                    folder, on_outcome=lambda _: loop.call_soon_threadsafe(begun.set)
                )
            )
            await begun.wait()
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            return len([item async for item in bucket.list()])

    assert asyncio.run(main()) < 2000
    assert MEMORY._used == 0


def test_two_trees_at_a_time(tmp_path: Path):
    files = {f"{n:03}": b"%d" % n for n in range(300)}
    folder = make_folder(tmp_path / "up", files)
    with storage_core.open_url((tmp_path / "root").as_uri()) as storage:
        bucket = storage.create_bucket("fruit")
        reports: list[TransferReport] = []
        works = [
            threading.Thread(target=lambda p=prefix: reports.append(bucket.upload_tree(folder, p)))
            for prefix in ("x", "y")
        ]
        for work in works:
            work.start()
        for work in works:
            work.join()
        assert reports == [reports[0]] * 2
        assert objects_in(bucket, "x/") == objects_in(bucket, "y/") == files


@pytest.mark.parametrize("name", ["sync", "verify", "upload_tree", "download_tree", "copy_tree"])
def test_both_faces_take_the_same(name: str):
    homes: tuple[Any, Any] = (storage_core, aio)
    if name.endswith("_tree"):
        homes = (Bucket, aio.AsyncBucket)
    one, other = (inspect.signature(getattr(home, name)).parameters for home in homes)
    assert [(p.name, p.kind, p.default) for p in one.values()] == [
        (p.name, p.kind, p.default) for p in other.values()
    ]


def test_a_tree_on_local_disk_needs_no_loop(tmp_path: Path):
    make_folder(tmp_path / "up", {"a": b"1"})
    program = (
        "import storage_core, sys\n"
        f"with storage_core.open_url({(tmp_path / 'root').as_uri()!r}) as storage:\n"
        "    bucket = storage.create_bucket('fruit')\n"
        f"    bucket.upload_tree({str(tmp_path / 'up')!r})\n"
        f"    bucket.download_tree('', {str(tmp_path / 'down')!r})\n"
        "assert 'asyncio' not in sys.modules\n"
    )
    environment = {**os.environ, "STORAGE_STATE_DIR": str(tmp_path / "state")}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE, env=environment)
    assert files_in(tmp_path / "down") == {"a": b"1"}
