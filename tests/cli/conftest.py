"""A folder with a configuration, and two ways to run the command line in it: the real
`storage` script as a process, and `main` in this process where that shows the same."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from storage_core.cli import main
from storage_core.transfer.memory import DEFAULT, set_max_memory

SCRIPT = Path(sys.executable).with_name("storage")

CONFIG = """
default_profile = "dev"

[profiles.dev]
driver = "local"
root = "data"
fsync = false
links.base_url = "http://127.0.0.1:8080"

[profiles.archive]
driver = "local"
root = "archive"
fsync = false
versions = true
"""


@dataclass(frozen=True)
class Done:
    """What a run left behind."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The records of a command with many objects, without the sum at the end."""
        *objects, summary = self.records
        assert summary["type"] == "summary"
        return objects

    @property
    def summary(self) -> dict[str, Any]:
        """The sum at the end."""
        return self.records[-1]

    def ok(self) -> "Done":
        assert self.status == 0, self.stderr
        return self


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a configuration that is trusted by being named; no setting and no
    home of the developer's."""
    for variable in list(os.environ):
        if variable.startswith(("STORAGE_", "XDG_")):
            monkeypatch.delenv(variable)
    home = tmp_path / "home"
    home.mkdir()
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "storage.toml").write_text(CONFIG, "utf-8")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("STORAGE_CONFIG", str(folder / "storage.toml"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """What `--max-memory` sets for this process does not outlast the test."""
    yield
    set_max_memory(DEFAULT)


def cli(*arguments: str, stdin: bytes = b"") -> Done:
    """Run in this process."""
    output, errors = io.BytesIO(), io.StringIO()
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with (
            io.TextIOWrapper(output, "utf-8", write_through=True) as wrapper,
            contextlib.redirect_stdout(wrapper),
            contextlib.redirect_stderr(errors),
        ):
            status = main(arguments)
            wrapper.flush()
            return Done(status, output.getvalue(), errors.getvalue())
    finally:
        sys.stdin = before


def process(
    *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None, **options: Any
) -> Done:
    """Run the real script."""
    done = subprocess.run(
        [SCRIPT, *arguments],
        input=stdin,
        env={**os.environ, **(env or {})},
        capture_output=True,
        check=False,
        timeout=120,
        **options,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


@pytest.fixture
def fruit(workspace: Path) -> str:
    """A bucket with a few objects."""
    cli("mb", "fruit").ok()
    for key in ("2012/adults.csv", "2012/children.csv", "2013/adults.csv", "readme.txt"):
        cli("put", "-", f"fruit/{key}", stdin=f"about {key}\n".encode()).ok()
    return "fruit"
