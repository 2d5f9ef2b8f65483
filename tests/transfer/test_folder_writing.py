"""Whole small files below a folder: they appear complete or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storage_core.transfer import folder_writing, nameless
from storage_core.transfer.folder_writing import NewFile, write_files
from tests.transfer.downloads import left_in
from tests.waiting import PATIENCE


@pytest.fixture(params=["nameless", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How an incomplete file is there."""
    if request.param == "named":
        monkeypatch.setattr(nameless, "_NAMELESS", 0)
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("replace", [True, False])
def test_new_files(tmp_path: Path, replace: bool) -> None:
    files = [NewFile("a", b"1", 10**15), NewFile("b/c", b"", 10**15 + 1)]
    assert write_files(str(tmp_path), files, replace) == [None, None]
    assert left_in(tmp_path) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "b/c").stat().st_mtime_ns == 10**18 + 1000
    umask = os.umask(0o22)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


@pytest.mark.usefixtures("way")
def test_a_file_that_is_there_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    place = tmp_path / "a"
    place.write_bytes(b"old")
    place.chmod(0o640)
    held = place.open("rb")
    assert write_files(str(tmp_path), [NewFile("a", b"new", 0)], True) == [None]
    assert place.read_bytes() == b"new"
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert held.read() == b"old", "whoever has it open goes on with the old one"
    held.close()
    assert left_in(tmp_path) == ["a"]


@pytest.mark.usefixtures("way")
def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "else").write_bytes(b"kept")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").symlink_to(tmp_path / "else")
    assert write_files(str(tmp_path / "tree"), [NewFile("a", b"new", 0)], True) == [None]
    assert (tmp_path / "else").read_bytes() == b"kept"
    assert not (tmp_path / "tree/a").is_symlink()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("replace", [True, False])
def test_a_file_that_appears_meanwhile(
    tmp_path: Path, replace: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = folder_writing._existing_mode

    def appear(parent: int, name: str, replace: bool) -> int | None:
        found = look(parent, name, replace)
        (tmp_path / "a").write_bytes(b"theirs")
        return found

    monkeypatch.setattr(folder_writing, "_existing_mode", appear)
    [problem] = write_files(str(tmp_path), [NewFile("a", b"ours", 0)], replace)
    assert (tmp_path / "a").read_bytes() == (b"ours" if replace else b"theirs")
    assert problem is None if replace else isinstance(problem, FileExistsError)
    assert left_in(tmp_path) == ["a"]


KILLED = """
import os, signal, sys
from storage_core.transfer import folder_writing
os.utime = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
folder_writing.write_files(sys.argv[1], [folder_writing.NewFile("a", b"x" * 8192, 0)], True)
"""


def test_killed_in_the_middle_it_leaves_nothing(tmp_path: Path) -> None:
    if nameless.open_nameless(str(tmp_path), 0o600) < 0:
        pytest.skip("this file system has no files without names")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=PATIENCE
    )
    assert done.returncode == -signal.SIGKILL
    assert left_in(tmp_path) == []
