"""The real script: terminals, signals, pipes."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import storage_core
from storage_core.cli import status
from tests.cli.conftest import SCRIPT, cli, process
from tests.waiting import PATIENCE, wait_until

MIB = 1024**2

# Delivers a piece of an object and then nothing more.
STALLING = """
import time
from storage_conformance.memory import MemoryDriver
from storage_core.streams import ObjectStream
from storage_core.model import ObjectInfo
from datetime import datetime, timezone


class Stalling(ObjectStream):
    info = ObjectInfo("x", 4, "e", datetime(2024, 1, 1, tzinfo=timezone.utc))

    async def read(self, size):
        if not self.__dict__.setdefault("begun", False):
            self.begun = True
            return b"ab"
        time.sleep(600)


class StallingDriver(MemoryDriver):
    name = "stalling"

    async def get(self, request):
        return Stalling(0, 4)
"""


@pytest.fixture
def stalling(tmp_path: Path, workspace: Path) -> dict[str, str]:
    site = tmp_path / "site"
    info = site / "stalling-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "stalling.py").write_text(STALLING, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stalling\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(
        "[storage_core.drivers]\nstalling = stalling:StallingDriver\n", "utf-8"
    )
    with (workspace / "storage.toml").open("a", encoding="utf-8") as config:
        config.write('\n[profiles.slow]\ndriver = "stalling"\n')
    return {"PYTHONPATH": str(site)}


def writes_below(folder: Path, child: subprocess.Popen[bytes]) -> bool:
    """Whether a process has a file open there that has no name yet."""
    try:
        opened = [os.readlink(place) for place in Path(f"/proc/{child.pid}/fd").iterdir()]
    except OSError:  # one that was closed meanwhile
        return False
    return any(
        place.startswith(f"{folder}/") and place.endswith(" (deleted)") for place in opened
    ) or bool(list(folder.glob(".storage-*")))


def start(*arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [SCRIPT, *arguments],
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


PATIENT = """
import sys
from storage_core.cli import main, progress
progress.SOON = 1e9  # only many bytes make a bar appear, however slow this machine is
sys.exit(main())
"""


def on_terminal(*arguments: str, program: tuple[str | Path, ...] = (SCRIPT,)) -> tuple[int, str]:
    """Run with a terminal for all three streams; the status and all that was shown."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 100))
    env = {**os.environ, "TERM": "xterm-256color"}
    for name in ("NO_COLOR", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        env.pop(name, None)
    child = subprocess.Popen(
        [*program, *arguments], stdin=slave, stdout=slave, stderr=slave, env=env
    )
    os.close(slave)
    shown = b""
    # Linux says by EIO that the other side is closed.
    with contextlib.suppress(OSError):
        while select.select([master], [], [], PATIENCE)[0] and (piece := os.read(master, 65536)):
            shown += piece
    os.close(master)
    return child.wait(PATIENCE), shown.decode()


# -- terminals --------------------------------------------------------------------


def test_progress_shows_on_a_terminal(fruit: str, workspace: Path):
    (workspace / "big.bin").write_bytes(bytes(32 * MIB))
    code, shown = on_terminal("put", "big.bin", "fruit/", "--bandwidth", "32MiB")
    assert code == 0, shown
    assert "32.0/32.0 MiB" in shown
    assert "MiB/s" in shown
    assert "\x1b[?25h" in shown  # the cursor is back
    assert "stored fruit/big.bin (32.0 MiB)" in shown
    code, shown = on_terminal("get", "fruit/big.bin", "again.bin", "--bandwidth", "32MiB/s")
    assert code == 0, shown
    assert "32.0/32.0 MiB" in shown
    assert (workspace / "again.bin").read_bytes() == bytes(32 * MIB)
    code, shown = on_terminal("-q", "get", "fruit/big.bin", "again.bin")
    assert (code, shown) == (0, "")


def test_no_progress_for_what_is_short_or_elsewhere(fruit: str, workspace: Path):
    patient = (sys.executable, "-c", PATIENT)
    code, shown = on_terminal("get", "fruit/readme.txt", program=patient)
    assert (code, shown) == (0, "fetched readme.txt (17 B)\r\n")
    (workspace / "big.bin").write_bytes(bytes(32 * MIB))
    done = process("put", "big.bin", "fruit/").ok()
    assert done.stderr == ""
    assert done.text == "stored fruit/big.bin (32.0 MiB)\n"


def test_tables_have_headings_on_a_terminal_only(workspace: Path):
    code, shown = on_terminal("profiles")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert code == 0
    assert plain.splitlines()[0].split() == ["profile", "driver", "written", "in"]
    assert process("profiles").ok().lines[0].split("\t") == [
        "dev", "local", f"{workspace / 'storage.toml'}:4", "default"
    ]  # fmt: skip


def test_help_and_version():
    assert process("--version").ok().text.strip() == storage_core.__version__
    for arguments in ((), ("--help",), ("-h",)):
        text = process(*arguments).ok().text
        assert "presign" in text
        assert "List buckets" in text
        assert "--profile" in text


# -- signals ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, status.INTERRUPTED), (signal.SIGTERM, status.TERMINATED)],
)
def test_an_interrupted_put_leaves_nothing(fruit: str, number: signal.Signals, code: int):
    with start("put", "-", "fruit/new") as child:
        assert child.stdin is not None
        child.stdin.write(bytes(40 * MIB))  # returns when nearly all of it was read
        child.send_signal(number)
        assert child.wait(PATIENCE) == code
        assert child.stderr is not None
        told = child.stderr.read().decode()
    assert re.fullmatch(r"storage: interrupted after [\d.]+ MiB; nothing was stored\n", told)
    assert cli("stat", "fruit/new").status == status.NOT_FOUND
    assert cli("uploads", "ls", "fruit").ok().lines == []
    report = cli("fsck", "--json").ok().records
    assert [item["type"] for item in report] == ["summary"]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, status.INTERRUPTED), (signal.SIGTERM, status.TERMINATED)],
)
def test_an_interrupted_get_leaves_the_old_file(
    stalling: dict[str, str], workspace: Path, number: signal.Signals, code: int
):
    (workspace / "x").write_bytes(b"before")
    with start("get", "slow:fruit/x", env=stalling) as child:
        wait_until(lambda: writes_below(workspace.resolve(), child))
        child.send_signal(number)
        assert child.wait(PATIENCE) == code
        assert child.stderr is not None
        told = child.stderr.read().decode()
    assert told.startswith("storage: interrupted")
    assert told.endswith("; run the same command again to go on\n")
    assert not list(workspace.glob(".storage-*"))
    assert (workspace / "x").read_bytes() == b"before"


# -- pipes ------------------------------------------------------------------------


def test_a_reader_that_stops_is_no_error(fruit: str):
    bucket = storage_core.open().bucket(fruit)
    for number in range(3000):
        bucket.put(f"many/{number:04}-{'x' * 60}", b"")
    bucket.put("big", bytes(4 * MIB))
    for arguments in (("ls", "-r", "fruit"), ("cat", "fruit/big")):
        with start(*arguments) as child:
            assert child.stdout is not None
            child.stdout.read(10)
            child.stdout.close()
            assert child.wait(PATIENCE) == status.OUTPUT_CLOSED
            assert child.stderr is not None
            assert child.stderr.read() == b""


def test_a_full_disk_behind_standard_output_is_told(fruit: str):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [SCRIPT, "ls", "fruit"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == status.FAILURE
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_keys_survive_any_locale(fruit: str):
    storage_core.open().bucket(fruit).put("é/\U0001f34e", b"")
    done = process("ls", "-r", "fruit", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}).ok()
    assert done.lines[-1] == "\\xe9/\\U0001f34e"
    assert "é/\U0001f34e" in process("ls", "-r", "fruit", env={"PYTHONUTF8": "1"}).ok().lines
