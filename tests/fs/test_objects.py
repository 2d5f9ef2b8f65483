"""Whole objects: slices of them, copies, moves, and files that become objects and back."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from fsspec.asyn import sync
from fsspec.callbacks import Callback

import storage_core
from storage_core import ObjectChangedError
from storage_core.errors import BucketNotFoundError, InvalidRequestError
from storage_core.fs import StorageFileSystem

DATA = bytes(range(100))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (None, None),
        (0, None),
        (10, None),
        (10, 20),
        (0, 1000),
        (99, 100),
        (-10, None),
        (-1000, None),
        (-10, -5),
        (None, -10),
        (10, -10),
        (-20, 90),
        (90, -20),
        (20, 10),
        (100, None),
        (200, 300),
    ],
)
def test_a_slice(fs: StorageFileSystem, shared: str, start: int | None, end: int | None):
    assert fs.cat_file(f"{shared}/data", start, end) == DATA[start:end]


@pytest.fixture(scope="module")
def shared(filesystem: StorageFileSystem, profile: str) -> str:
    bucket = f"{profile}/shared-{os.urandom(6).hex()}"
    filesystem.mkdir(bucket)
    filesystem.pipe({f"{bucket}/data": DATA, f"{bucket}/empty": b""})
    return bucket


def test_a_slice_of_nothing(fs: StorageFileSystem, shared: str):
    for start, end in ((None, None), (0, 10), (-5, None), (-5, -1)):
        assert fs.cat_file(f"{shared}/empty", start, end) == b""


def test_several_at_once(fs: StorageFileSystem, shared: str):
    data, missing = f"{shared}/data", f"{shared}/missing"
    found = fs.cat_ranges([data, data, missing], [0, -3, 0], [2, None, 1])
    assert found[:2] == [DATA[:2], DATA[-3:]]
    assert isinstance(found[2], FileNotFoundError)
    assert fs.cat([data, f"{shared}/empty"]) == {data: DATA, f"{shared}/empty": b""}
    assert fs.head(data, 3) == DATA[:3]
    assert fs.tail(data, 3) == DATA[-3:]
    assert fs.read_block(data, 10, 5) == DATA[10:15]


def test_what_has_no_bytes(fs: StorageFileSystem, profile: str, shared: str):
    for path in (shared, profile, ""):
        for call in (fs.cat_file, fs.rm_file, fs.open, fs.sign):
            with pytest.raises(IsADirectoryError):
                call(path)
        with pytest.raises(IsADirectoryError):
            fs.pipe_file(path, b"")
    for path in (f"{shared}/missing", f"{profile}/no-such-bucket/a"):
        for call in (fs.cat_file, fs.open, fs.modified, fs.rm):
            with pytest.raises(FileNotFoundError):
                call(path)
    with pytest.raises(ValueError, match="neither 'create' nor 'overwrite'"):
        fs.pipe_file(f"{shared}/x", b"", mode="append")


def test_removing_what_is_not_there(fs: StorageFileSystem, profile: str, bucket: str):
    fs.rm_file(f"{bucket}/no")
    fs.rm([f"{bucket}/no", f"{bucket}/nor"])
    fs.rm(f"{bucket}/no", recursive=True)
    with pytest.raises(BucketNotFoundError):
        fs.rm([f"{profile}/no-such-bucket/a"])
    fs.pipe_file(f"{bucket}/d/a", b"")
    with pytest.raises(IsADirectoryError, match="recursive=True"):
        fs.rm(f"{bucket}/d")
    with pytest.raises(InvalidRequestError, match="profiles are not removed"):
        fs.rm(profile, recursive=True)
    assert fs.find(bucket) == [f"{bucket}/d/a"]


def test_removing_some(fs: StorageFileSystem, bucket: str):
    keys = ["a.txt", "b.txt", "c.csv", "d/a.txt", "d/e/a.txt"]
    fs.pipe({f"{bucket}/{key}": b"" for key in keys})
    fs.rm(f"{bucket}/*.txt")
    assert fs.find(bucket) == [f"{bucket}/{key}" for key in ("c.csv", "d/a.txt", "d/e/a.txt")]
    fs.rm(f"{bucket}/d", recursive=True, maxdepth=1)
    assert fs.find(bucket) == [f"{bucket}/{key}" for key in ("c.csv", "d/e/a.txt")]
    fs.rm([f"{bucket}/d", f"{bucket}/c.csv"], recursive=True)
    assert fs.ls(bucket) == []


def test_only_what_is_new(fs: StorageFileSystem, bucket: str, tmp_path: Path):
    local = tmp_path / "file"
    local.write_bytes(b"local")
    fs.put_file(str(local), f"{bucket}/a", mode="create", content_type="text/plain")
    assert fs.info(f"{bucket}/a")["ContentType"] == "text/plain"
    with pytest.raises(FileExistsError):
        fs.put_file(str(local), f"{bucket}/a", mode="create")
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{bucket}/a", b"", mode="create")
    assert fs.cat_file(f"{bucket}/a") == b"local"


def test_one_of_many_creators_wins(fs: StorageFileSystem, bucket: str):
    async def race() -> list[object]:
        tries = (fs._pipe_file(f"{bucket}/a", b"%d" % n, mode="create") for n in range(8))
        return await asyncio.gather(*tries, return_exceptions=True)

    results = sync(fs.loop, race)
    (winner,) = [n for n, result in enumerate(results) if result is None]
    assert sum(isinstance(result, FileExistsError) for result in results) == 7
    assert fs.cat_file(f"{bucket}/a") == b"%d" % winner


def test_files_there_and_back(fs: StorageFileSystem, bucket: str, tmp_path: Path):
    """In parts too: 9 MB are more than one."""
    data = os.urandom(9_000_000)
    source, target = tmp_path / "source", tmp_path / "new" / "target"
    source.write_bytes(data)
    up, down = Callback(), Callback()
    fs.put_file(str(source), f"{bucket}/a", callback=up)
    fs.get_file(f"{bucket}/a", str(target), callback=down)
    assert target.read_bytes() == data
    assert (up.size, up.value, down.size, down.value) == (len(data),) * 4
    with (tmp_path / "open").open("wb") as file:
        fs.get_file(f"{bucket}/a", file)
    assert (tmp_path / "open").read_bytes() == data
    with pytest.raises(FileNotFoundError):
        fs.get_file(f"{bucket}/missing", str(tmp_path / "missing"))
    assert not (tmp_path / "missing").exists()
    with pytest.raises(FileNotFoundError):
        fs.put_file(str(tmp_path / "missing"), f"{bucket}/b")


def test_an_object_does_not_vanish_behind_a_folder(
    fs: StorageFileSystem, bucket: str, tmp_path: Path
):
    """Of a key and keys below it only one side can be a file of a disk: that is told."""
    fs.pipe({f"{bucket}/t/a": b"file", f"{bucket}/t/a/b": b"below"})
    with pytest.raises(IsADirectoryError):
        fs.get(f"{bucket}/t", str(tmp_path / "t"), recursive=True)


def test_a_copy_keeps_all_and_a_move_leaves_nothing(fs: StorageFileSystem, bucket: str):
    fs.pipe_file(f"{bucket}/a", b"1", content_type="text/plain", metadata={"k": "v"})
    fs.cp_file(f"{bucket}/a", f"{bucket}/b")
    fs.mv(f"{bucket}/b", f"{bucket}/c/")
    assert fs.find(bucket) == [f"{bucket}/a", f"{bucket}/c/b"]
    info = fs.info(f"{bucket}/c/b")
    assert (info["ContentType"], info["metadata"]) == ("text/plain", {"k": "v"})
    with pytest.raises(FileNotFoundError):
        fs.mv(f"{bucket}/missing", f"{bucket}/d")
    with pytest.raises(IsADirectoryError, match="recursive=True"):
        fs.mv(f"{bucket}/c", f"{bucket}/d")
    assert fs.find(bucket) == [f"{bucket}/a", f"{bucket}/c/b"]


def test_what_is_moved_onto_itself_stays(fs: StorageFileSystem, bucket: str):
    fs.pipe_file(f"{bucket}/d/a", b"1")
    fs.mv(f"{bucket}/d/a", f"{bucket}/d/")
    fs.mv(f"{bucket}/d/a", f"storage://{bucket}/d/a", recursive=True)
    fs.mv(f"{bucket}/d/*", f"{bucket}/d/", recursive=True)
    fs.cp(f"{bucket}/d/a", f"storage://{bucket}/d/a")
    assert fs.cat(f"{bucket}/d/a") == b"1"


def test_a_tree_moves_as_far_as_it_was_copied(
    fs: StorageFileSystem, bucket: str, monkeypatch: pytest.MonkeyPatch
):
    """What is written meanwhile below the source stays there."""
    from storage_core.fs import copying

    fs.pipe({f"{bucket}/t/a": b"1", f"{bucket}/t/d/b": b"2"})
    remove = copying.remove

    async def meanwhile(copied: list[copying.Origin]) -> None:
        await fs._pipe_file(f"{bucket}/t/new", b"3")
        await fs._pipe_file(f"{bucket}/t/a", b"changed")
        await remove(copied)

    monkeypatch.setattr(copying, "remove", meanwhile)
    storage = sync(fs.loop, fs._storages.get, bucket.partition("/")[0])
    if storage.capabilities.allows("delete", "if_match"):
        with pytest.raises(ObjectChangedError, match="the new one stays"):
            fs.mv(f"{bucket}/t", f"{bucket}/u", recursive=True)
        assert fs.cat_file(f"{bucket}/t/a") == b"changed"
    else:
        fs.mv(f"{bucket}/t", f"{bucket}/u", recursive=True)
    assert fs.cat_file(f"{bucket}/u/a") == b"1"
    assert fs.cat_file(f"{bucket}/u/d/b") == b"2"
    assert fs.cat_file(f"{bucket}/t/new") == b"3"


def test_a_copy_to_a_missing_bucket_is_told(fs: StorageFileSystem, profile: str, bucket: str):
    fs.pipe({f"{bucket}/t/a": b"1", f"{bucket}/t/b": b"2"})
    for move in (fs.cp, fs.mv):
        with pytest.raises(BucketNotFoundError):
            move(f"{bucket}/t", f"{profile}/no-such-bucket/t", recursive=True)
    assert len(fs.find(bucket)) == 2


def test_between_two_profiles(s3_config: Path):
    fs = StorageFileSystem(config=str(s3_config))
    name = f"between-{os.urandom(6).hex()}"
    for profile in ("s3", "disk"):
        fs.mkdir(f"{profile}/{name}")
    keys = ["a", "d/b", "d/e/c"]
    fs.pipe({f"disk/{name}/t/{key}": key.encode() for key in keys})
    fs.cp(f"disk/{name}/t", f"s3/{name}/u", recursive=True)
    assert fs.find(f"s3/{name}") == [f"s3/{name}/u/{key}" for key in keys]
    fs.mv(f"s3/{name}/u/d", f"disk/{name}/v", recursive=True)
    assert fs.find(f"s3/{name}") == [f"s3/{name}/u/a"]
    assert fs.cat(f"disk/{name}/v/e/c") == b"d/e/c"
    for profile in ("s3", "disk"):
        fs.rm(f"{profile}/{name}", recursive=True)


def test_what_tells_one_write_from_the_next(fs: StorageFileSystem, bucket: str):
    path = f"{bucket}/a"
    fs.pipe_file(path, b"1")
    first = fs.ukey(path), fs.checksum(path)
    assert (fs.ukey(path), fs.checksum(path)) == first
    fs.pipe_file(path, b"2")
    assert fs.ukey(path) != first[0]
    assert fs.checksum(path) != first[1]
    assert fs.ukey(bucket) == fs.ukey(bucket)


def test_a_mapping(fs: StorageFileSystem, bucket: str):
    mapping = fs.get_mapper(f"{bucket}/m")
    mapping["a/b"] = b"1"
    mapping.setitems({"c": b"2", "d": b"3"})
    assert sorted(mapping) == ["a/b", "c", "d"]
    assert mapping.getitems(["a/b", "c", "no"], on_error="omit") == {"a/b": b"1", "c": b"2"}
    del mapping["c"]
    with pytest.raises(KeyError):
        mapping["c"]
    assert "c" not in mapping
    mapping.clear()
    assert list(mapping) == []


def test_versions(tmp_path: Path):
    profile = {"driver": "local", "root": str(tmp_path), "versions": True, "fsync": False}
    fs = StorageFileSystem(config={"old": profile})
    fs.mkdir("old/fruit")
    fs.pipe_file("old/fruit/a", b"one")
    version = fs.info("old/fruit/a")["VersionId"]
    fs.pipe_file("old/fruit/a", b"two")
    assert fs.info("old/fruit/a")["VersionId"] != version
    assert fs.cat_file("old/fruit/a") == b"two"
    assert fs.cat_file("old/fruit/a", version=version) == b"one"
    assert fs.cat_file("old/fruit/a", -2, -1, version=version) == b"n"
    assert fs.info("old/fruit/a", version=version)["size"] == 3
    with fs.open("old/fruit/a", version=version) as file:
        assert file.read() == b"one"
    with pytest.raises(FileNotFoundError):
        fs.cat_file("old/fruit/a", version="no-such-version")


def test_links(s3_config: Path, tmp_path: Path):
    import urllib.request

    fs = StorageFileSystem(config=str(s3_config))
    bucket = f"s3/links-{os.urandom(6).hex()}"
    fs.mkdir(bucket)
    fs.pipe_file(f"{bucket}/a", b"by link")
    with urllib.request.urlopen(fs.sign(f"{bucket}/a", expiration=60)) as answer:
        assert answer.read() == b"by link"
    assert fs.sign(f"{bucket}/a", method="PUT").startswith("http")
    fs.rm(bucket, recursive=True)
    local = StorageFileSystem(config={"disk": {"driver": "local", "root": str(tmp_path)}})
    with pytest.raises(storage_core.ConfigError, match="base_url"):
        local.sign("disk/fruit/a")


def test_a_name_that_looks_like_a_pattern_is_one_where_it_exists(
    fs: StorageFileSystem, bucket: str, tmp_path: Path
):
    fs.pipe(
        {f"{bucket}/{name}": name.encode() for name in ("a[1]", "a1", "d[2]/*", "d2/b", "d2/*")}
    )
    assert fs.cat(f"{bucket}/a[1]") == b"a[1]"
    assert fs.cat(f"{bucket}/[a]1") == {f"{bucket}/a1": b"a1"}
    fs.cp(f"{bucket}/a[1]", f"{bucket}/c")
    fs.get(f"{bucket}/a[1]", str(tmp_path / "one"))
    fs.get(f"{bucket}/a[1]", f"{tmp_path}/")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a[1]", "one"]
    fs.mv(f"{bucket}/c", f"{bucket}/c[1]")
    fs.mv(f"{bucket}/c[1]", f"{bucket}/d2/")
    assert fs.cat_file(f"{bucket}/d2/c[1]") == b"a[1]"
    fs.rm(f"{bucket}/a[1]")
    fs.rm(f"{bucket}/d2/*")
    assert fs.find(bucket) == [f"{bucket}/{name}" for name in ("a1", "d2/b", "d2/c[1]", "d[2]/*")]
    fs.rm(f"{bucket}/d[2]", recursive=True)
    fs.rm(f"{bucket}/d2/*")
    assert fs.find(bucket) == [f"{bucket}/a1"]
