"""Exit statuses: the table is complete, and each is shown by the real script."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storage_core import errors
from storage_core.cli import status
from tests.cli.conftest import SCRIPT, cli, process

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"

# A driver as another distribution would bring it: it fails as the key says.
FAULTY = """
from storage_conformance.memory import MemoryDriver
from storage_core import errors


class FaultyDriver(MemoryDriver):
    name = "faulty"

    async def get(self, request):
        raise getattr(errors, request.key)("as asked for")
"""


def all_errors() -> list[type[errors.StorageError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return [kind for kind in found if issubclass(kind, errors.StorageError)]


@pytest.fixture
def faulty(tmp_path: Path, workspace: Path) -> dict[str, str]:
    site = tmp_path / "site"
    (site / "faulty-1.0.dist-info").mkdir(parents=True)
    (site / "faulty.py").write_text(FAULTY, "utf-8")
    (site / "faulty-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n", "utf-8"
    )
    (site / "faulty-1.0.dist-info" / "entry_points.txt").write_text(
        "[storage_core.drivers]\nfaulty = faulty:FaultyDriver\n", "utf-8"
    )
    with (workspace / "storage.toml").open("a", encoding="utf-8") as config:
        config.write('\n[profiles.bad]\ndriver = "faulty"\nretry.attempts = 1\n')
    return {"PYTHONPATH": str(site)}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("StorageError", status.FAILURE),
        ("QuotaExceededError", status.FAILURE),
        ("ObjectChangedError", status.CONFLICT),
        ("AuthenticationError", status.DENIED),
        ("PermissionDeniedError", status.DENIED),
        ("IntegrityError", status.INTEGRITY),
        ("UnavailableError", status.TRANSIENT),
        ("OperationTimeoutError", status.TRANSIENT),
    ],
)
def test_failures_of_a_service(faulty: dict[str, str], key: str, expected: int):
    done = process("cat", f"bad:fruit/{key}", env=faulty)
    assert done.status == expected
    assert done.stderr == f"storage: get fruit/{key}: as asked for\n"
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("ls", "fruit"), status.OK),
        (("ls", "--bogus"), status.USAGE),
        (("bogus",), status.USAGE),
        (("put", "x"), status.USAGE),
        (("mb", "Not_Portable"), status.USAGE),
        (("put", "storage.toml", "fruit/../x"), status.USAGE),
        (("cat", "fruit/none"), status.NOT_FOUND),
        (("ls", "none"), status.NOT_FOUND),
        (("put", "none", "fruit/x"), status.NOT_FOUND),
        (("mb", "fruit"), status.CONFLICT),
        (("rb", "fruit"), status.CONFLICT),
        (("put", "-n", "storage.toml", "fruit/readme.txt"), status.CONFLICT),
        (("put", "storage.toml", "fruit/x", "--if-match", "y"), status.CONFLICT),
        (("ls", "--profile", "none"), status.CONFIG),
        (("ls", "--config", "none.toml"), status.CONFIG),
        (("ls", "none:"), status.CONFIG),
        (("versions", "ls", "fruit"), status.UNSUPPORTED),
        (("put", "storage.toml", "fruit/x", "--checksum", "md5=" + 32 * "0"), status.INTEGRITY),
    ],
)
def test_statuses_of_the_real_script(fruit: str, arguments: tuple[str, ...], expected: int):
    done = process(*arguments)
    assert done.status == expected, done.stderr
    assert "Traceback" not in done.stderr
    if expected:
        assert done.stderr.startswith("storage: ")


def test_what_the_disk_forbids(fruit: str, workspace: Path):
    command = [str(SCRIPT), "ls", "fruit"]
    if os.geteuid() == 0:  # whom modes do not bind, unless that privilege is given up
        if not shutil.which("setpriv"):
            pytest.skip("root needs setpriv, of util-linux, to be bound by modes")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    (workspace / "data").chmod(0)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    (workspace / "data").chmod(0o755)
    assert done.returncode == status.DENIED, done.stderr
    assert done.stderr.startswith("storage: ")
    assert "Traceback" not in done.stderr


def test_a_different_byte_on_disk_is_seen(fruit: str, workspace: Path):
    (workspace / "big").write_bytes(bytes(1_000_000))
    cli("put", "big", "fruit/big").ok()
    shutil.copy(workspace / "big", workspace / "before")
    data = max((workspace / "data").rglob("*"), key=lambda file: file.stat().st_size)
    data.chmod(0o600)
    with data.open("r+b") as file:
        file.seek(500_000)
        file.write(b"\1")
    done = cli("get", "fruit/big", "before")
    assert done.status == status.INTEGRITY
    assert (workspace / "before").read_bytes() == bytes(1_000_000)
    assert not list(workspace.glob(".storage-*"))


def test_different_failures_share_the_general_status(fruit: str, workspace: Path):
    (workspace / "here").write_bytes(b"")
    done = cli("put", "here", "none", "fruit/")
    assert done.status == status.NOT_FOUND
    assert "stored fruit/here" in done.text
    # One file is missing, the other one's key can not be.
    (workspace / "\x01").write_bytes(b"")
    assert cli("put", "none", "\x01", "fruit/").status == status.FAILURE


def test_every_error_has_its_status():
    found = {error: status.status_of(error("x")) for error in all_errors()}
    assert found[errors.UploadNotFoundError] == status.NOT_FOUND
    assert found[errors.InvalidRangeError] == status.USAGE
    assert found[errors.DriverNotFoundError] == status.CONFIG
    plain = {error.__name__ for error, code in found.items() if code == status.FAILURE}
    assert plain == {
        "ClosedError",
        "NotModifiedError",
        "OutcomeUnknownError",
        "QuotaExceededError",
        "StorageError",
    }


def test_every_status_is_documented():
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert {int(code): text for code, text in rows} == status.MEANINGS


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch):
    from storage_core.cli import session

    def broken(self: object, name: object = None) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(session.Session, "storage", broken)
    with pytest.raises(ZeroDivisionError):
        cli("ls")


def test_errors_in_json(fruit: str):
    done = cli("--json", "cat", "fruit/none")
    assert done.status == status.NOT_FOUND
    error = json.loads(done.stderr)["error"]
    assert error.pop("message").startswith("get fruit/none: ")
    assert error == {
        "type": "ObjectNotFoundError",
        "exit_status": status.NOT_FOUND,
        "operation": "get",
        "bucket": "fruit",
        "key": "none",
        "retryable": False,
    }
    usage = json.loads(cli("ls", "--json", "--bogus").stderr)["error"]
    assert usage["type"] == "UsageError"
    assert usage["exit_status"] == status.USAGE


def test_the_module_names_what_the_interpreter_runs():
    assert SCRIPT.exists(), f"{sys.executable} has no storage script beside it"
