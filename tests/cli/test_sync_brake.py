"""``storage sync --max-delete``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage_core.cli import status
from tests.cli.conftest import cli, process


@pytest.fixture
def mirror(fruit: str) -> str:
    """A mirror of a disk that is not mounted any more."""
    Path("disk").mkdir()
    for name in ("a", "b", "c"):
        Path("disk", name).write_text(name)
    cli("sync", "-q", "./disk", f"{fruit}/mirror/").ok()
    for name in ("a", "b", "c"):
        Path("disk", name).unlink()
    return f"{fruit}/mirror/"


def keys(address: str) -> list[str]:
    return cli("ls", "-r", address).ok().lines


def test_too_many_deletions_are_withheld(mirror: str):
    Path("disk", "new").write_text("new")
    before = keys(mirror)
    done = process("sync", "./disk", mirror, "--delete", "--max-delete", "2")
    assert done.status == status.FAILURE
    assert done.lines == [f"stored {mirror}new (3 B)"]
    failure, summary = done.stderr.splitlines()
    assert failure.startswith(
        f"storage: ./disk to {mirror}: nothing was deleted: 3 to delete are more than max_delete 2"
    )
    assert summary.startswith("1 object, 3 B (")
    assert summary.endswith(", 3 withheld")
    assert keys(mirror) == [*before, "mirror/new"]
    done = cli("sync", "./disk", mirror, "--delete", "--max-delete", "3").ok()
    assert "3 deleted" in done.stderr
    assert keys(mirror) == ["mirror/new"]


def test_as_json(mirror: str):
    done = cli("sync", "./disk", mirror, "--delete", "--max-delete", "0", "--json")
    assert done.status == status.FAILURE
    told = ("objects", "deleted", "withheld", "failed", "dry_run")
    assert [done.summary[name] for name in told] == [0, 0, 3, 0, False]
    error = json.loads(done.stderr)["error"]
    assert error["type"] == "TransferIncompleteError"
    assert error["exit_status"] == status.FAILURE
    assert "3 to delete are more than max_delete 0 allows" in error["message"]


def test_a_dry_run_shows_them_and_fails_too(mirror: str):
    before = keys(mirror)
    options = ("--delete", "--max-delete", "2", "--dry-run")
    done = cli("sync", "./disk", mirror, *options)
    assert done.status == status.FAILURE
    assert done.lines == [f"would delete {mirror}{name}" for name in ("a", "b", "c")]
    failure, summary = done.stderr.splitlines()
    assert "nothing would be deleted: 3 to delete are more than max_delete 2 " in failure
    assert summary == "dry run: 3 withheld"
    done = cli("sync", "./disk", mirror, *options, "--json")
    assert done.status == status.FAILURE
    assert [item["key"] for item in done.objects] == [f"mirror/{name}" for name in ("a", "b", "c")]
    assert [done.summary[name] for name in ("deleted", "withheld", "dry_run")] == [0, 3, True]
    assert keys(mirror) == before


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--max-delete", "1"), "--max-delete goes with --delete"),
        (("--delete", "--max-delete", "-1"), "--max-delete is 0 or more"),
        (("--delete", "--max-delete", "few"), 'unable to convert "few" into int'),
    ],
)
def test_limits_that_make_no_sense(mirror: str, options: tuple[str, ...], remedy: str):
    done = cli("sync", "./disk", mirror, *options)
    assert done.status == status.USAGE
    assert remedy in done.stderr
    assert len(keys(mirror)) == 3
