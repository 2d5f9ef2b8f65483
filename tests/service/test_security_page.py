"""The page that tells what was tried names tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")

pytestmark = pytest.mark.docs


def test_every_test_it_names_is_there():
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)\(", sources, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named
    assert named <= there
    assert all((ROOT / path).is_file() for path in re.findall(r"`(tests/\S+)`", PAGE))


def test_every_row_names_one():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "Tried" not in line]
    rows = [row for row in rows if "Looked for" not in row]
    assert all("`test" in row.rsplit("|", 2)[1] for row in rows)


def test_every_test_of_security_is_named():
    files = Path(__file__).parent.glob("test_security_[ais]*.py")
    sources = "\n".join(path.read_text("utf-8") for path in files)
    written = set(re.findall(r"^def (test_\w+)\(", sources, re.MULTILINE))
    assert written <= set(re.findall(r"`(test_\w+)`", PAGE))
