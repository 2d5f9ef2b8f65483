"""`LocalFSStorage`: a plain directory, and nothing outside of it."""

from __future__ import annotations

import os
import resource
from datetime import timedelta
from pathlib import Path

import pytest

from storage_core.compat.keg import FileMode, FileNotFoundInStorageError, LocalFSError
from storage_core.compat.keg import LocalFSStorage as Storage
from storage_core.compat.keg.backends.filesystem import LocalFSFile
from storage_core.compat.keg.backends.replacing import ReplacedFile
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


@pytest.mark.parametrize("path", ["file/b", "file/b/c", "n" * 256, "n" * 256 + "/b"])
def test_places_where_no_file_can_be(fs: Storage, root: Path, path: str):
    before = sorted(root.rglob("*"))
    for attempt in (
        lambda: fs.open(path, "w"),
        lambda: fs.copy("file", path),
        lambda: fs.list(path),
    ):
        with pytest.raises(LocalFSError):
            attempt()
    for mode in ("r", "rw"):
        with pytest.raises((FileNotFoundInStorageError, LocalFSError)):
            fs.open(path, mode)
    if path.startswith("file"):
        fs.delete(path)  # it is not there
    assert sorted(root.rglob("*")) == before


def test_a_path_that_becomes_a_folder_while_it_is_written(fs: Storage, root: Path):
    file = fs.open("new", "w")
    (root / "new").mkdir()
    with pytest.raises(LocalFSError, match="Invalid path 'new': it is no regular file"):
        file.close()
    assert [*root.glob(".~*")] == []


@pytest.mark.parametrize("first", [True, False])
def test_a_file_that_goes_while_it_is_listed(
    fs: Storage, root: Path, monkeypatch: pytest.MonkeyPatch, first: bool
):
    """It is deleted right before or right after it was first looked at."""
    (root / "gone").write_bytes(b"x")

    def deleting(look):
        def looked(path, **kwargs):
            gone = os.path.basename(path) == "gone"
            if gone and first:
                Path(path).unlink(missing_ok=True)
            found = look(path, **kwargs)
            if gone and not first:
                Path(path).unlink()
            return found

        return looked

    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, deleting(getattr(os, name)))
    assert [entry.name for entry in fs.list("")] == (["file"] if first else ["file", "gone"])


def test_links_within_the_root(fs: Storage, root: Path):
    (root / "inner").symlink_to("file")
    with fs.open("inner", "r") as file:
        assert file.read() == b"0123456789"
    fs.delete("inner")
    assert not (root / "inner").is_symlink()
    assert (root / "file").exists()
    fs.delete("inner")


def test_a_link_that_comes_after_the_look_is_not_followed(root: Path):
    """What `LocalFSStorage` opens are places whose links it has followed and judged."""
    secret = root.parent / "secret"
    for mode in (FileMode.read, FileMode.read | FileMode.write):
        with pytest.raises(OSError, match="symbolic link"):
            LocalFSFile(root / "link", mode)
    with ReplacedFile(root / "link", resolved=True) as file:
        file.write(b"new")
    assert secret.read_bytes() == b"secret"
    assert (root / "link").read_bytes() == b"new"


def test_a_file_for_whose_new_bytes_there_is_no_room_stays_as_it_was(tmp_path: Path):
    target = tmp_path / "target"
    target.write_bytes(b"old" * 1000)
    replaced = ReplacedFile(target, same=True)
    replaced.file.write(bytes(3_000_000))
    replaced.file.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            replaced.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_bytes() == b"old" * 1000
    assert [*tmp_path.iterdir()] == [target]


def test_a_shorter_file_leaves_nothing_of_the_longer_one(fs: Storage, tmp_path: Path):
    target = tmp_path / "target"
    target.write_bytes(bytes(100))
    fs.get("file", str(target))
    assert target.read_bytes() == b"0123456789"
