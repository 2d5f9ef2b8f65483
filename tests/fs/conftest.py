"""The filesystem over local disk and over S3: a bucket of its own for each test that writes."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage_core.fs import StorageFileSystem
from tests.s3.scripted import Script, scripted
from tests.servers import Server
from tests.servers.fixtures import moto  # noqa: F401 - a fixture, found by its name
from tests.waiting import PATIENCE

_PROCESSES = (
    "test_dask_in_another_process[disk]",
    "test_the_url_is_enough[disk]",
    "test_workers_get_it_by_pickle[disk]",
    "test_zarr_leaves_no_connection_open[disk]",
)
"""Tests that start interpreters; on S3, with its connections, they say more."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """fsspec's 93 cases of patterns take most of the time on moto, and say little there that
    they do not say on local disk: every tenth is enough, but with `--full`."""
    here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    edges = [item for item in here if "glob_edge_cases[s3-" in item.name]
    for number, item in enumerate(edges):
        if number % 10:
            item.add_marker("repetition")
    for item in here:
        if item.name in _PROCESSES:
            item.add_marker("repetition")


def written(path: Path, profiles: Mapping[str, Mapping[str, Any]]) -> Path:
    """A configuration with these profiles."""
    lines = []
    for name, profile in profiles.items():
        lines.append(f"[profiles.{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in profile.items()]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def run(program: str, **environment: str) -> str:
    """What a new interpreter prints, for which every warning is an error."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if "Executing <" not in line]
    assert (done.returncode, complaints) == (0, []), done.stderr
    return done.stdout


@contextmanager
def scripted_fs(script: Script) -> Iterator[StorageFileSystem]:
    """A filesystem with the profile `s3`, whose service follows the script."""
    with scripted(script) as storage:
        profile = {
            "driver": "s3",
            "addressing": "path",
            "endpoint_url": storage.driver.settings.model_dump()["endpoint_url"],
            "region": "eu-central-1",
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "secret",
        }
        fs = StorageFileSystem(config={"s3": profile}, skip_instance_cache=True)
        yield fs
        fs.close()


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals of transfers are not kept among the user's."""
    monkeypatch.setenv("STORAGE_STATE_DIR", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A profile on local disk."""
    return {"driver": "local", "root": str(tmp_path_factory.mktemp("disk")), "fsync": False}


@pytest.fixture(scope="session")
def local_config(disk: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("local") / "storage.toml", {"disk": disk})


@pytest.fixture(scope="session")
def s3_config(
    disk: dict[str, Any],
    moto: Server,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """S3, and local disk beside it."""
    profiles = {"s3": moto.profile, "disk": disk}
    return written(tmp_path_factory.mktemp("s3") / "storage.toml", profiles)


@pytest.fixture(scope="session", params=["disk", "s3"])
def profile(request: pytest.FixtureRequest) -> str:
    """The profile that a test runs on."""
    return str(request.param)


@pytest.fixture(scope="session")
def config(profile: str, request: pytest.FixtureRequest) -> str:
    """The configuration that has it."""
    return str(request.getfixturevalue("local_config" if profile == "disk" else "s3_config"))


@pytest.fixture(scope="session")
def filesystem(config: str) -> Iterator[StorageFileSystem]:
    filesystem = StorageFileSystem(config=config)
    yield filesystem
    filesystem.close()


@pytest.fixture
def fs(filesystem: StorageFileSystem) -> StorageFileSystem:
    return filesystem


@pytest.fixture
def bucket(fs: StorageFileSystem, profile: str) -> Iterator[str]:
    """The path of a new bucket."""
    path = f"{profile}/fs-{secrets.token_hex(6)}"
    fs.mkdir(path)
    yield path
    fs.rm(path, recursive=True)
