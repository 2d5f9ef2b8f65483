"""`--engine dask` of the command line, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from storage_core import Bucket
from tests.cluster.conftest import Opener
from tests.cluster.trees import content, fill

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


def test_trees_on_a_cluster(config: tuple[Path, Bucket, Bucket], cluster: LocalCluster):
    path, lake, archive = config
    made = fill(lake, 25)
    archive.put("left-over", b"")
    engine = ("--engine", "dask", "--scheduler", str(cluster.scheduler_address))

    sides = ("lake:lake/", "archive:archive/")
    assert storage(path, "sync", *sides, "--delete", *engine)["deleted"] == 1
    assert content(archive) == made
    storage(path, "cp", "-r", "lake:lake/3/", "archive:archive/copy/", *engine)
    assert archive.exists("copy/00003.bin") or archive.exists("copy/3/00003.bin")
