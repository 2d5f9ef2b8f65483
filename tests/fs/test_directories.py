"""Directories: what lies where, and that nothing of it is remembered."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Any

import fsspec
import pytest

import storage_core
from storage_core import PermissionDeniedError, ProfileNotFoundError
from storage_core.errors import InvalidRequestError
from storage_core.fs import StorageFileSystem
from tests.fs.conftest import scripted_fs
from tests.s3.scripted import Answer, Script, error

ODD_KEYS = [
    "a b",
    "a+b",
    "a%20b",
    "a?b#c&d",
    "a//b",
    "/leading",
    "trailing dot.",
    "q\"uo'te\\back:star*",
    "[bracket]",
    "ünï/😀",
    "CON",
    "storage://x",
    "a::b",
]


def names(found: list[dict[str, Any]]) -> list[tuple[object, object]]:
    return [(entry["name"], entry["type"]) for entry in found]


def test_from_the_profiles_down_to_an_object(fs: StorageFileSystem, profile: str, bucket: str):
    fs.pipe_file(f"{bucket}/a/b", b"12")
    assert (profile, "directory") in names(fs.ls("storage://"))
    assert (bucket, "directory") in names(fs.ls(f"storage://{profile}"))
    assert names(fs.ls(bucket)) == [(f"{bucket}/a", "directory")]
    (entry,) = fs.ls(f"{bucket}/a/")
    assert (entry["name"], entry["type"], entry["size"]) == (f"{bucket}/a/b", "file", 2)
    assert fs.ls(f"{bucket}/a/b", detail=False) == [f"{bucket}/a/b"]
    for path in ("", profile, bucket, f"{bucket}/a"):
        assert fs.info(path) | {"created": None} == {
            "name": path,
            "size": 0,
            "type": "directory",
            "created": None,
        }
        assert fs.isdir(path)
        assert fs.exists(path)
        assert not fs.isfile(path)
    assert fs.isfile(f"{bucket}/a/b")
    assert not fs.isdir(f"{bucket}/a/b")
    with pytest.raises(NotImplementedError, match="is a directory, whose time is not known"):
        fs.modified(f"{bucket}/a")


def test_what_is_known_of_an_object(fs: StorageFileSystem, bucket: str):
    path = f"{bucket}/apple.txt"
    fs.pipe_file(path, b"red", content_type="text/plain", metadata={"colour": "rot"})
    info = fs.info(path)
    assert (info["name"], info["size"], info["type"]) == (path, 3, "file")
    assert info["ContentType"] == "text/plain"
    assert info["metadata"] == {"colour": "rot"}
    assert info["checksums"]
    assert info["mtime"] == info["LastModified"].timestamp()
    (listed,) = fs.ls(bucket)
    shared = {"name", "size", "type", "ETag"}
    assert {name: listed[name] for name in shared} == {name: info[name] for name in shared}
    assert fs.modified(path) == fs.created(path) == info["LastModified"]


def test_nothing_listed_is_remembered(fs: StorageFileSystem, config: str, bucket: str):
    assert fs.ls(bucket) == []
    other = StorageFileSystem(config=config, skip_instance_cache=True)
    other.pipe_file(f"{bucket}/d/new", b"")
    assert fs.find(bucket) == [f"{bucket}/d/new"]
    assert fs.exists(f"{bucket}/d")
    other.rm(f"{bucket}/d/new")
    assert fs.ls(bucket) == []
    assert not fs.exists(f"{bucket}/d")
    assert fs.glob(f"{bucket}/**") == [bucket]
    other.close()


def test_what_is_not_there(fs: StorageFileSystem, profile: str, bucket: str):
    for path in (f"{bucket}/no", f"{profile}/no-such-bucket", f"{profile}/no-such-bucket/a"):
        for call in (fs.info, fs.ls, fs.size, fs.ukey):
            with pytest.raises(FileNotFoundError):
                call(path)
        assert not fs.exists(path)
        assert not fs.isdir(path)
        assert not fs.isfile(path)
        assert fs.find(path) == []
        assert list(fs.walk(path)) == [(path, [], [])]
    assert not fs.exists(f"{bucket}/{'x' * 2000}")


@pytest.mark.parametrize("call", ["ls", "info", "exists", "isdir", "isfile", "find"])
def test_an_unknown_profile_is_no_empty_one(fs: StorageFileSystem, call: str):
    with pytest.raises(ProfileNotFoundError, match="no profile 'nope'"):
        getattr(fs, call)("nope/bucket/key")


@pytest.mark.parametrize("call", ["ls", "info", "exists", "isdir", "isfile", "find", "walk"])
def test_what_must_not_be_seen_is_not_missing(call: str):
    """Nor is it where the same is asked by a glob or a walk, which leave out what is missing."""
    denied = error(403, "AccessDenied")
    script = Script(denied, denied, denied)
    with scripted_fs(script) as fs:
        with pytest.raises(PermissionDeniedError) as raised:
            list(getattr(fs, call)("s3/bucket/key"))
        assert isinstance(raised.value, PermissionError)
        assert script.asked


def test_a_key_beside_a_prefix_of_its_name(fs: StorageFileSystem, bucket: str):
    fs.pipe({f"{bucket}/a": b"file", f"{bucket}/a/b": b"below", f"{bucket}/a-b": b"near"})
    both = [(f"{bucket}/a", "directory"), (f"{bucket}/a", "file")]
    assert sorted(names(fs.ls(bucket))) == [*both, (f"{bucket}/a-b", "file")]
    assert fs.info(f"{bucket}/a")["type"] == "file"
    assert fs.isfile(f"{bucket}/a")
    assert not fs.isdir(f"{bucket}/a")
    assert fs.cat_file(f"{bucket}/a") == b"file"
    assert fs.find(bucket) == [f"{bucket}/a", f"{bucket}/a-b", f"{bucket}/a/b"]
    assert fs.find(bucket, maxdepth=2) == [f"{bucket}/a", f"{bucket}/a-b", f"{bucket}/a/b"]
    fs.rm(f"{bucket}/a", recursive=True)
    assert fs.find(bucket) == [f"{bucket}/a-b"]


def test_odd_keys_come_back_byte_for_byte(fs: StorageFileSystem, bucket: str):
    for key in ODD_KEYS:
        fs.pipe_file(f"{bucket}/{key}", key.encode())
    found = fs.find(bucket)
    assert sorted(found) == sorted(f"{bucket}/{key}" for key in ODD_KEYS)
    for key in ODD_KEYS:
        path = f"storage://{bucket}/{key}"
        assert fs.cat_file(path) == key.encode()
        assert fs.info(path)["name"] == f"{bucket}/{key}"
        with fs.open(path) as file:
            assert file.read() == key.encode()
    assert sorted(fs.glob(f"{bucket}/**/*x")) == [f"{bucket}/storage://x"]
    assert fs.du(bucket) == sum(len(key.encode()) for key in ODD_KEYS)
    for key in ODD_KEYS:
        fs.rm_file(f"{bucket}/{key}")
    assert fs.ls(bucket) == []


def test_a_directory_without_a_name_is_found_and_not_listed(fs: StorageFileSystem, bucket: str):
    fs.pipe({f"{bucket}/a//b": b"", f"{bucket}/a/c": b""})
    assert fs.ls(f"{bucket}/a", detail=False) == [f"{bucket}/a/c"]
    assert fs.find(bucket) == [f"{bucket}/a//b", f"{bucket}/a/c"]
    assert fs.find(bucket, maxdepth=3) == [f"{bucket}/a//b", f"{bucket}/a/c"]
    assert fs.find(bucket, withdirs=True) == [
        bucket,
        f"{bucket}/a",
        f"{bucket}/a//b",
        f"{bucket}/a/c",
    ]
    assert [level[0] for level in fs.walk(bucket)] == [bucket, f"{bucket}/a"]


def test_a_key_that_ends_with_a_slash_marks_a_directory(
    fs: StorageFileSystem, config: str, profile: str, bucket: str
):
    name = bucket.rpartition("/")[2]
    with storage_core.open(profile, config=config) as storage:
        storage.bucket(name).put("empty/", b"note")
        assert fs.ls(bucket, detail=False) == [f"{bucket}/empty"]
        assert fs.isdir(f"{bucket}/empty")
        assert fs.ls(f"{bucket}/empty") == []
        assert fs.find(bucket) == []
        assert fs.find(bucket, withdirs=True) == [bucket, f"{bucket}/empty"]
        assert list(fs.walk(bucket)) == [(bucket, ["empty"], []), (f"{bucket}/empty", [], [])]
        fs.mv(f"{bucket}/empty", f"{bucket}/moved", recursive=True)
        assert [item.key for item in storage.bucket(name).list()] == ["moved/"]
        with storage.bucket(name).get("moved/") as reader:
            assert reader.read() == b"note"
        fs.rmdir(f"{bucket}/moved")
        assert fs.ls(bucket) == []
        storage.bucket(name).put("a/", b"")
        fs.pipe_file(f"{bucket}/a/b", b"")
        fs.rm(f"{bucket}/a", recursive=True)
        assert list(storage.bucket(name).list()) == []


@pytest.fixture
def tree(fs: StorageFileSystem, bucket: str) -> str:
    keys = ["top.csv", "top.txt", "d/one.csv", "d/two.txt", "d/e/three.csv", "f/four.csv"]
    fs.pipe({f"{bucket}/{key}": key.encode() for key in keys})
    return bucket


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, "d/e/three.csv d/one.csv d/two.txt f/four.csv top.csv top.txt"),
        ({"maxdepth": 1}, "top.csv top.txt"),
        ({"maxdepth": 2}, "d/one.csv d/two.txt f/four.csv top.csv top.txt"),
        ({"maxdepth": 1, "withdirs": True}, "d f top.csv top.txt"),
        (
            {"maxdepth": 2, "withdirs": True},
            "d d/e d/one.csv d/two.txt f f/four.csv top.csv top.txt",
        ),
        ({"prefix": "to"}, "top.csv top.txt"),
        ({"prefix": "d", "maxdepth": 2}, "d/one.csv d/two.txt"),
        ({"prefix": "no"}, ""),
    ],
)
def test_find(fs: StorageFileSystem, tree: str, options: dict[str, Any], found: str):
    expected = [f"{tree}/{key}" for key in found.split()]
    if options.get("withdirs"):
        expected = [tree, *expected]
    assert fs.find(tree, **options) == expected
    details = fs.find(tree, detail=True, **options)
    assert {name: entry["name"] for name, entry in details.items()} == dict(
        zip(expected, expected, strict=True)
    )


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.csv", "top.csv"),
        ("*/*.csv", "d/one.csv f/four.csv"),
        ("**/*.csv", "d/e/three.csv d/one.csv f/four.csv top.csv"),
        ("d/*", "d/e d/one.csv d/two.txt"),
        ("d/*/", "d/e"),
        ("t?p.*", "top.csv top.txt"),
        ("[df]/[of]*", "d/one.csv f/four.csv"),
        ("no/*", ""),
        ("top.csv", "top.csv"),
    ],
)
def test_glob(fs: StorageFileSystem, tree: str, pattern: str, found: str):
    assert fs.glob(f"storage://{tree}/{pattern}") == [f"{tree}/{key}" for key in found.split()]


def test_glob_over_buckets(fs: StorageFileSystem, profile: str, tree: str):
    name = tree.rpartition("/")[2]
    assert fs.glob(f"{profile}/{name[:-2]}*/d/*.csv") == [f"{tree}/d/one.csv"]
    assert fs.glob(f"{profile[:-1]}*/{name}/top.*") == [f"{tree}/top.csv", f"{tree}/top.txt"]


def test_walk_and_sizes(fs: StorageFileSystem, tree: str):
    assert list(fs.walk(tree)) == [
        (tree, ["d", "f"], ["top.csv", "top.txt"]),
        (f"{tree}/d", ["e"], ["one.csv", "two.txt"]),
        (f"{tree}/d/e", [], ["three.csv"]),
        (f"{tree}/f", [], ["four.csv"]),
    ]
    assert fs.du(f"{tree}/d") == 31
    assert fs.du(f"{tree}/d", total=False, maxdepth=1) == {
        f"{tree}/d/one.csv": 9,
        f"{tree}/d/two.txt": 9,
    }
    assert fs.du(f"{tree}/top.csv") == 7
    assert fs.sizes([f"{tree}/top.csv", f"{tree}/d"]) == [7, 0]
    assert f"{tree}/top.csv"[-7:] in fs.tree(tree)


def test_buckets_are_made_and_removed(fs: StorageFileSystem, profile: str, bucket: str):
    assert isinstance(profile, str)
    made = f"{bucket}-2"
    fs.mkdir(made)
    with pytest.raises(FileExistsError):
        fs.mkdir(made)
    with pytest.raises(FileExistsError):
        fs.makedirs(made)
    fs.makedirs(made, exist_ok=True)
    fs.pipe_file(f"{made}/a", b"")
    with pytest.raises(OSError, match="not empty") as raised:
        fs.rmdir(made)
    assert raised.value.errno == errno.ENOTEMPTY
    with pytest.raises(IsADirectoryError):
        fs.rm(made)
    fs.rm(f"{made}/a")
    fs.rmdir(made)
    assert not fs.exists(made)
    with pytest.raises(FileNotFoundError):
        fs.rmdir(made)


def test_below_a_bucket_there_are_no_directories_to_make(fs: StorageFileSystem, bucket: str):
    fs.mkdir(f"{bucket}/a")
    fs.makedirs(f"{bucket}/a/b")
    assert fs.ls(bucket) == []
    fs.rmdir(f"{bucket}/a")
    fs.mkdir(f"{bucket}-no/a")  # nor is a bucket made for one
    assert not fs.exists(f"{bucket}-no")
    fs.pipe_file(f"{bucket}/a/b", b"")
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir(f"{bucket}/a")


def test_no_bucket_is_made_on_the_way_to_an_object(
    fs: StorageFileSystem, config: str, bucket: str, tmp_path: Path
):
    """A misspelt name would become one where a library sees that there is a place to write to."""
    misspelt = f"{bucket}-misspelt"
    (tmp_path / "below").mkdir()
    (tmp_path / "below/a").touch()
    for write in (
        lambda: fsspec.open(f"storage://{misspelt}/a", "wb", config=config).open(),
        lambda: fsspec.open_files(f"storage://{misspelt}/*", "wb", num=1, config=config),
        lambda: fs.get_mapper(misspelt).update(a=b"1"),
        lambda: fs.put(str(tmp_path), misspelt, recursive=True),
        lambda: fs.makedirs(misspelt, exist_ok=True),
    ):
        with pytest.raises(FileNotFoundError, match="no bucket"):
            write().close()
    assert not fs.exists(misspelt)
    fs.makedirs(misspelt)
    fs.rmdir(misspelt)


def test_a_bucket_that_may_not_be_looked_at_may_be_written_to():
    denied = error(403, "AccessDenied", "no look")
    # A HEAD has no body, so the reason is asked for.
    with scripted_fs(Script(denied, denied, Answer(headers={"ETag": '"1"'}))) as fs:
        fs.makedirs("s3/fruit", exist_ok=True)
        fs.pipe_file("s3/fruit/a", b"1")


def test_profiles_are_neither_made_nor_removed(fs: StorageFileSystem, profile: str):
    with pytest.raises(FileExistsError):
        fs.mkdir(profile)
    fs.makedirs(profile, exist_ok=True)
    for call in (fs.rmdir, lambda path: fs.rm(path, recursive=True)):
        with pytest.raises(InvalidRequestError, match=re.escape("profiles are not removed")):
            call(profile)
