"""Files that appear when they are complete, with and without a name before."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storage_core.transfer import nameless
from storage_core.transfer.target import Place, Target
from tests.transfer.downloads import left_in


@pytest.fixture(params=["nameless", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the incomplete file is there."""
    if request.param == "named":
        monkeypatch.setattr(nameless, "_NAMELESS", 0)
    return str(request.param)


def written(place: Path, *, replace: bool = True) -> Target:
    """A file with a few bytes that is not published."""
    made = Target.create(Place.of(place, replace))
    made.write(b"new", 3)
    made.write(b"all", 0)
    return made


def test_nothing_is_there_before_it_is_complete(way: str, tmp_path: Path) -> None:
    made = written(tmp_path / "pear")
    assert len(left_in(tmp_path)) == (way == "named")
    made.publish()
    assert (tmp_path / "pear").read_bytes() == b"allnew"
    assert left_in(tmp_path) == ["pear"]
    made.discard()
    assert left_in(tmp_path) == ["pear"]


@pytest.mark.usefixtures("way")
def test_what_is_given_up_is_gone(tmp_path: Path) -> None:
    made = written(tmp_path / "pear")
    made.discard()
    made.discard()
    assert left_in(tmp_path) == []


@pytest.mark.usefixtures("way")
def test_the_file_that_is_there_gives_its_mode(tmp_path: Path) -> None:
    pear = tmp_path / "pear"
    pear.write_bytes(b"old")
    pear.chmod(0o604)
    made = written(pear)
    assert pear.read_bytes() == b"old"
    made.publish()
    assert pear.read_bytes() == b"allnew"
    assert stat.S_IMODE(pear.stat().st_mode) == 0o604
    assert left_in(tmp_path) == ["pear"]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("replace", [True, False])
def test_a_file_that_comes_meanwhile(tmp_path: Path, replace: bool) -> None:
    pear = tmp_path / "pear"
    made = written(pear, replace=replace)
    pear.write_bytes(b"quicker")
    if replace:
        made.publish()
    else:
        with pytest.raises(FileExistsError) as refused:
            made.publish()
        assert refused.value.filename == str(pear)
        made.discard()
    assert pear.read_bytes() == (b"allnew" if replace else b"quicker")
    assert left_in(tmp_path) == ["pear"]


@pytest.mark.usefixtures("way")
def test_a_name_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("pear")).publish()
    assert left_in(tmp_path) == ["pear"]


@pytest.mark.skipif(not nameless._NAMELESS, reason="files without names are Linux's")
def test_a_kill_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from storage_core.transfer.target import Place, Target\n"
        "made = Target.create(Place.of(sys.argv[1], True)); made.write(b'new', 0)\n"
        "print('written', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "pear")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        os.kill(child.pid, signal.SIGKILL)
    assert left_in(tmp_path) == []
