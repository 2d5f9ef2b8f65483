"""`LocalFSStorage`: a plain directory, and nothing outside of it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from storage_core.compat.keg import FileMode, FileNotFoundInStorageError, LocalFSError
from storage_core.compat.keg import LocalFSStorage as Storage
from storage_core.errors import StorageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with ways out of it, beside a secret."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "file").write_bytes(b"0123456789")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "way").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def fs(root: Path) -> Storage:
    return Storage(root)


OUT = ["../secret", "folder/../../secret", "/etc/passwd", "link", "way/new", "way"]
NO_FILES = ["folder", "pipe", ".", "", "folder/.."]
BAD = ["~/a", "a?", "a*", "a\tb", "a\nb", "a\rb", "a\x0bb", "a\x0cb", "a\0b"]


@pytest.mark.parametrize("path", [*OUT, *NO_FILES])
def test_paths_that_are_no_files_within(fs: Storage, root: Path, path: str):
    before = sorted(str(one) for one in root.parent.rglob("*"))
    for attempt in (
        lambda: fs.open(path, "r"),
        lambda: fs.open(path, "w"),
        lambda: fs.open(path, "rw"),
        lambda: fs.delete(path),
        lambda: fs.copy(path, "stolen"),
        lambda: fs.copy("file", path),
    ):
        with pytest.raises(LocalFSError, match="Invalid path"):
            attempt()
    assert sorted(str(one) for one in root.parent.rglob("*")) == before
    assert (root.parent / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize("path", BAD)
def test_characters_that_are_refused(fs: Storage, path: str):
    for attempt in (
        lambda: fs.list(path),
        lambda: fs.open(path, "w"),
        lambda: fs.delete(path),
        lambda: fs.copy("file", path),
    ):
        with pytest.raises(ValueError, match="Unsupported characters in path"):
            attempt()
    with fs.open("a b", "w"):
        pass  # a blank is none of them


def test_root(tmp_path: Path, root: Path):
    assert Storage(root).name == "fs-root"
    assert Storage(str(root), name="x").name == "x"
    for wrong in (tmp_path / "nothing", root / "file"):
        with pytest.raises(LocalFSError, match="does not exist or is not a directory"):
            Storage(wrong)


def test_list(fs: Storage, root: Path):
    with fs.open("folder/sub/z", "w") as file:
        file.write(b"red")
    (root / "empty").mkdir()
    assert [entry.name for entry in fs.list("")] == ["file", "folder/sub/z"]
    assert [entry.name for entry in fs.list("/")] == ["file", "folder/sub/z"]
    [entry] = fs.list("folder")
    assert (entry.name, entry.size) == ("folder/sub/z", 3)
    assert entry.last_modified is not None
    assert entry.last_modified.utcoffset() == timedelta(0)
    for path in ("nothing", "file"):
        with pytest.raises(LocalFSError, match=f"{path} does not exist or is not a directory"):
            fs.list(path)
    for path in ("..", "way", "/tmp"):
        with pytest.raises(LocalFSError, match="Invalid path"):
            fs.list(path)


def test_a_file_being_written_is_not_there(fs: Storage, root: Path):
    with fs.open("new/file", FileMode.write) as file:
        file.write(b"red")
        assert [entry.name for entry in fs.list("")] == ["file"]
        assert not (root / "new/file").exists()
        [part] = (root / "new").iterdir()
        with pytest.raises(ValueError, match="Unsupported characters"):
            fs.open(f"new/{part.name}", "r")
    assert (root / "new/file").read_bytes() == b"red"


def test_an_exception_leaves_what_was_there(fs: Storage, root: Path):
    with pytest.raises(KeyError), fs.open("file", "w") as file:  # noqa: PT012
        file.write(b"half")
        raise KeyError
    assert (root / "file").read_bytes() == b"0123456789"
    assert sorted(one.name for one in root.iterdir()) == ["file", "folder", "link", "pipe", "way"]


def test_a_replaced_file_keeps_its_rights(fs: Storage, root: Path):
    (root / "file").chmod(0o604)
    with fs.open("file", "w") as file:
        file.write(b"new")
    assert (root / "file").stat().st_mode & 0o777 == 0o604
    assert (root / "file").read_bytes() == b"new"


def test_read_and_write_in_place(fs: Storage, root: Path):
    with fs.open("file", "rw") as file:
        assert file.read(4) == b"0123"
        file.write(b"xy")
    assert (root / "file").read_bytes() == b"0123xy6789"
    with pytest.raises(FileNotFoundInStorageError):
        fs.open("nothing", "rw")


def test_missing(fs: Storage):
    with pytest.raises(FileNotFoundInStorageError, match="File nothing not found in LocalFSS"):
        fs.open("nothing", "r")
    with pytest.raises(FileNotFoundInStorageError):
        fs.copy("nothing", "x")
    fs.delete("nothing")


def test_copy(fs: Storage, root: Path):
    fs.copy("file", "folder/copy")
    assert (root / "folder/copy").read_bytes() == b"0123456789"
    fs.copy("file", "file")
    assert (root / "file").read_bytes() == b"0123456789"


def test_errors_are_of_the_tree():
    assert issubclass(LocalFSError, StorageError)


def test_get_writes_through_what_is_no_regular_file(fs: Storage):
    fs.get("file", "/dev/null")
    assert Path("/dev/null").is_char_device()
