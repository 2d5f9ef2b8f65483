"""The life of a filesystem: found by its URL, shared, pickled, forked, on several loops, and
gone without a trace."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import fsspec
import pytest

from storage_core import ConfigError, ProfileNotFoundError
from storage_core.fs import StorageFileSystem
from tests.fs.conftest import run, written
from tests.waiting import wait_until


@pytest.fixture
def profiles(tmp_path: Path) -> dict[str, dict[str, Any]]:
    return {"disk": {"driver": "local", "root": str(tmp_path / "data"), "fsync": False}}


def test_the_url_is_enough(config: str, bucket: str):
    """And whoever does not close leaves no socket behind, whatever the loop."""
    program = f"""
import sys, fsspec
assert "storage_core" not in sys.modules
with fsspec.open("storage://{bucket}/a", "wb", config={config!r}) as file:
    file.write(b"1")
print(fsspec.open("storage://{bucket}/a", config={config!r}).open().read())
"""
    assert run(program) == "b'1'\n"


def test_importing_the_library_leaves_fsspec_alone():
    program = "import sys, storage_core.aio; print('fsspec' in sys.modules)"
    assert run(program) == "False\n"


def test_the_configuration_by_the_environment(local_config: Path, tmp_path: Path):
    program = """
import fsspec
print(fsspec.filesystem("storage").ls("", detail=False))
"""
    known = {"STORAGE_CONFIG": str(local_config)}
    assert "'disk'" in run(program, **known)
    assert "'disk'" in run(program, FSSPEC_STORAGE_CONFIG=str(local_config))


def test_without_fsspec_it_says_what_to_install():
    program = """
import sys
sys.modules["fsspec"] = None
try:
    import storage_core.fs
except Exception as error:
    print(type(error).__name__, error)
"""
    assert "pip install 'storage-core[fsspec]'" in run(program)


def test_one_instance_for_the_same_options(profiles: dict[str, dict[str, Any]]):
    first = fsspec.filesystem("storage", config=profiles)
    assert fsspec.filesystem("storage", config=profiles) is first
    assert StorageFileSystem(config=profiles) is first
    assert fsspec.url_to_fs("storage://disk/fruit/a", config=profiles) == (first, "disk/fruit/a")
    assert StorageFileSystem(config={"other": profiles["disk"]}) is not first
    assert pickle.loads(pickle.dumps(first)) is first
    assert StorageFileSystem.from_json(first.to_json()) is first


def test_a_configuration_keeps_its_place(
    profiles: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A relative path is one of the folder in which the filesystem was made."""
    written(tmp_path / "storage.toml", profiles)
    monkeypatch.chdir(tmp_path)
    fs = fsspec.filesystem("storage", config="storage.toml")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert "disk" in fs.ls("", detail=False)
    assert pickle.loads(pickle.dumps(fs)) is fs
    written(tmp_path / "other" / "storage.toml", {"second": profiles["disk"]})
    other = fsspec.filesystem("storage", config=Path("storage.toml"))
    assert "second" in other.ls("", detail=False)


def test_what_is_wrong_with_a_configuration(profiles: dict[str, dict[str, Any]]):
    with pytest.raises(ConfigError, match=r"config\['driver'\] is no profile; write the profiles"):
        StorageFileSystem(config=profiles["disk"])
    with pytest.raises(ConfigError, match="keeps no listings"):
        StorageFileSystem(config=profiles, use_listings_cache=True)
    fs = StorageFileSystem(config=profiles, use_listings_cache=False)
    with pytest.raises(ProfileNotFoundError, match="no profile 'disc', only disk"):
        fs.ls("disc")
    with pytest.raises(TypeError):
        StorageFileSystem(config=profiles, colour="red")  # type: ignore[call-arg]
    broken = StorageFileSystem(config={"disk": {"driver": "local", "colour": "red"}})
    with pytest.raises(ConfigError, match="colour"):
        broken.ls("disk")


def test_it_is_opened_once_for_many_at_a_time(
    config: str, profile: str, bucket: str, monkeypatch: pytest.MonkeyPatch
):
    from storage_core.fs.storages import Storages

    opened = []
    made = Storages._made

    def counted(self, name):
        opened.append(name)
        return made(self, name)

    monkeypatch.setattr(Storages, "_made", counted)
    fs = StorageFileSystem(config=config, skip_instance_cache=True)
    assert fs.cat_ranges([f"{bucket}/{n}" for n in range(20)], 0, 1) != []
    threads = [threading.Thread(target=fs.ls, args=(bucket,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [profile]
    fs.close()
    assert fs.ls(bucket) == []
    assert opened == [profile, profile]
    fs.close()


def test_loop_after_loop(config: str, bucket: str):
    """fsspec hands out the same instance in each; `asyncio.run` closes what it opened."""
    fs = StorageFileSystem(config=config, asynchronous=True)
    seen = []

    async def work(n: int) -> None:
        assert StorageFileSystem(config=config, asynchronous=True) is fs
        await fs._pipe_file(f"{bucket}/{n}", b"1")
        assert len(await fs._ls(bucket)) == n + 1
        seen.append(await fs._storages.get(bucket.partition("/")[0]))

    for n in range(3):
        asyncio.run(work(n))
        assert seen[n].closed
    assert len(set(map(id, seen))) == 3


def test_a_filesystem_that_is_dropped_closes(config: str, profile: str, bucket: str):
    import gc

    fs = StorageFileSystem(config=config, skip_instance_cache=True)
    assert fs.ls(bucket) == []
    from fsspec.asyn import sync

    storage = sync(fs.loop, fs._storages.get, profile)
    assert not storage.closed
    del fs

    def closed() -> bool:
        gc.collect()
        return storage.closed

    wait_until(closed)


def test_a_forked_child_goes_on(fs: StorageFileSystem, bucket: str):
    """With connections of its own: what the parent has open stays as it is."""
    fs.pipe_file(f"{bucket}/a", b"parent")
    read, write = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(read)
            seen = fs.cat_file(f"{bucket}/a")
            fs.pipe_file(f"{bucket}/b", b"child")
            os.write(write, json.dumps(seen.decode()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert json.loads(told) == "parent"
    assert fs.cat_file(f"{bucket}/b") == b"child"


def test_workers_get_it_by_pickle(config: str, bucket: str):
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    fs = StorageFileSystem(config=config)
    fs.pipe({f"{bucket}/{n}": b"%d" % n for n in range(4)})
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        paths = fs.find(bucket)
        assert list(pool.map(cat, [fs] * 4, paths)) == [b"0", b"1", b"2", b"3"]


def cat(fs: StorageFileSystem, path: str) -> bytes:
    return fs.cat_file(path)
