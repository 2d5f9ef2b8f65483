"""A thousand transfers through a faulty proxy, killed at random moments: each ends with the same
bytes, and after a clean-up no upload is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import Server
from tests.servers.fixtures import azurite, moto, strict_gcs  # noqa: F401 - by their names
from tests.transfer.killing import SMALL_PARTS, run_behind_proxy, run_on

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

MIB = 1024**2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where files and journals of the transfers are."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_azure(azurite: Server, folder: Path) -> None:  # noqa: F811
    profile = {**azurite.profile, **SMALL_PARTS}
    assert run_behind_proxy(profile, 256 * 1024, folder, 800, seed=2).transfers == 800


def test_s3(moto: Server, folder: Path) -> None:  # noqa: F811
    assert run_behind_proxy(moto.profile, 5 * MIB, folder, 100, seed=3).transfers == 100


def test_gcs(strict_gcs: Server, folder: Path) -> None:  # noqa: F811
    assert run_behind_proxy(strict_gcs.profile, 5 * MIB, folder, 100, seed=4).transfers == 100


def test_local_disk(folder: Path, tmp_path: Path) -> None:
    profile = {"driver": "local", "root": str(tmp_path / "root"), **SMALL_PARTS}
    assert run_on(profile, 256 * 1024, folder, None, 500, seed=5).transfers == 500
