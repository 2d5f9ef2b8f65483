"""The demonstration, and what the pages say of the code, held against it."""

import re
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import storage_core
from storage_conformance import cases
from storage_conformance.suite import All
from storage_core import errors

ROOT = Path(__file__).parent.parent
QUICKSTART = ROOT / "examples" / "quickstart.py"

pytestmark = pytest.mark.docs


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_demo_does_as_it_says_and_leaves_nothing(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "error", QUICKSTART],
        cwd=tmp_path,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert [int(number) for number in re.findall(r"^(\d)\. ", done.stdout, re.MULTILINE)] == [
        *range(1, 8)
    ]
    assert "1 won" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_demo_fails_when_something_deviates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(storage_core.Bucket, "exists", lambda *_: True)
    monkeypatch.setattr(sys, "argv", [str(QUICKSTART)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(QUICKSTART), run_name="__main__")
    assert stop.value.code == "DEVIATION: an unfinished upload is visible"
    assert list(tmp_path.iterdir()) == []
    assert "5. A multipart upload" in capsys.readouterr().out


def test_readme_shows_an_example_early():
    assert "```python" in page("README.md").splitlines()[:20]


def test_readme_table_is_what_the_drivers_declare():
    table = runpy.run_path(str(ROOT / "examples" / "capabilities.py"))["table"]()
    assert table in page("README.md"), f"put this into README.md:\n{table}"


def test_every_error_is_explained():
    explained = re.findall(r"^\| \W*`(\w+Error)`", page("docs/errors.md"), re.MULTILINE)
    raised = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.StorageError)
    ]
    # One lives with the report that it carries.
    assert sorted(["StorageError", *explained]) == sorted([*raised, "TransferIncompleteError"])


def test_every_case_holds_a_section_of_the_contract():
    sections = set(re.findall(r"^## (.+)$", page("docs/contract.md"), re.MULTILINE))
    clauses = {
        getattr(function, cases.MARK).clause
        for function in vars_of(All)
        if hasattr(function, cases.MARK)
    }
    assert clauses
    assert clauses <= sections, f"docs/contract.md lacks {sorted(clauses - sections)}"


def vars_of(suite: type) -> list[object]:
    return [value for base in suite.__mro__ for value in vars(base).values()]
