"""`--engine` of the command line, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storage_core import Bucket
from storage_core.cli import main, status
from tests.cluster.children import children, is_gone
from tests.cluster.conftest import Opener
from tests.cluster.trees import content, fill
from tests.waiting import PATIENCE, wait_until

SCRIPT = Path(sys.executable).with_name("storage")


@pytest.fixture
def config(tmp_path: Path, on_disk: Opener) -> tuple[Path, Bucket, Bucket]:
    """A configuration with two profiles, and a bucket of each."""
    lake, archive = (on_disk(name).create_bucket(name) for name in ("lake", "archive"))
    lines = [
        f'[profiles.{name}]\ndriver = "local"\nroot = "{tmp_path / name}"\nfsync = false\n'
        for name in ("lake", "archive")
    ]
    path = tmp_path / "storage.toml"
    path.write_text('default_profile = "lake"\n' + "\n".join(lines))
    return path, lake, archive


def storage(config: Path, *words: str) -> dict[str, Any]:
    """The summary that a command ends with."""
    done = subprocess.run(
        [str(SCRIPT), *words, "--json"],
        env={**os.environ, "STORAGE_CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


@pytest.mark.parametrize("engine", ["processes", "dask"])
def test_trees_by_workers(
    engine: str, config: tuple[Path, Bucket, Bucket], request: pytest.FixtureRequest
):
    path, lake, archive = config
    made = fill(lake, 25)
    archive.put("left-over", b"")
    more = ["--processes", "2"]
    if engine == "dask":
        more = ["--scheduler", request.getfixturevalue("cluster").scheduler_address]
    options = ("--engine", engine, *more)

    sides = ("lake:lake/", "archive:archive/")
    assert storage(path, "sync", *sides, "--delete", *options)["deleted"] == 1
    assert content(archive) == made
    storage(path, "cp", "-r", "lake:lake/3/", "archive:archive/copy/", *options)
    assert archive.exists("copy/00003.bin") or archive.exists("copy/3/00003.bin")


def test_trees_are_verified_by_processes(config: tuple[Path, Bucket, Bucket]):
    path, lake, archive = config
    for bucket in (lake, archive):
        fill(bucket, 25)
    found = storage(path, "verify", "lake:lake/", "archive:archive/", "--engine", "processes")
    assert (found["ok"], found["same"]) == (True, 25)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--processes", "2"), "--processes goes with --engine processes"),
        (("--engine", "processes", "--processes", "0"), "--processes is 1 or more"),
        (("--engine", "dask"), "--engine dask and --scheduler ADDRESS go together"),
        (("--engine", "processes", "--scheduler", "tcp://x"), "--engine dask and --scheduler"),
        (("--engine", "processes", "--shared-folders"), "goes with --engine dask"),
    ],
)
def test_options_that_do_not_go_together(
    words: tuple[str, ...],
    said: str,
    config: tuple[Path, Bucket, Bucket],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("STORAGE_CONFIG", str(config[0]))
    assert main(["verify", "lake:lake/", "archive:archive/", *words]) == status.USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, status.INTERRUPTED), (signal.SIGTERM, status.TERMINATED)],
)
def test_an_interruption_leaves_no_process(
    number: signal.Signals, code: int, config: tuple[Path, Bucket, Bucket]
):
    path, lake, archive = config
    made = fill(lake, 100)
    words = ("sync", "lake:lake/", "archive:archive/", "--engine", "processes", "--processes", "2")
    with subprocess.Popen(
        [str(SCRIPT), *words, "--bandwidth", "400"],
        env={**os.environ, "STORAGE_CONFIG": str(path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as command:
        wait_until(lambda: any(archive.list()))
        begun = children(command.pid)
        os.killpg(command.pid, number)  # to all of them, as a terminal does it
        _, said = command.communicate(timeout=PATIENCE)
    assert command.returncode == code
    assert len(begun) == 2
    wait_until(lambda: all(map(is_gone, begun)))
    assert "interrupted after" in said
    assert "run the same command again to go on" in said
    assert "Traceback" not in said

    storage(path, *words)
    assert content(archive) == made
