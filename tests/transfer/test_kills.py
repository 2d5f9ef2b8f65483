"""Transfers survive kill -9 and a faulty network; the long runs are in tests/soak."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import Server
from tests.transfer.killing import SMALL_PARTS, run_behind_proxy, run_on

MIB = 1024**2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where files and journals of the transfers are."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_local_disk(folder: Path, tmp_path: Path) -> None:
    profile = {"driver": "local", "root": str(tmp_path / "root"), **SMALL_PARTS}
    tally = run_on(profile, 256 * 1024, folder, None, 12)
    assert tally.transfers == 12


def test_azure(azurite: Server, folder: Path) -> None:
    tally = run_behind_proxy({**azurite.profile, **SMALL_PARTS}, 256 * 1024, folder, 12)
    assert tally.kills > 0
    assert tally.faults > 0


def test_s3(moto: Server, folder: Path) -> None:
    tally = run_behind_proxy(moto.profile, 5 * MIB, folder, 4)
    assert tally.faults > 0
