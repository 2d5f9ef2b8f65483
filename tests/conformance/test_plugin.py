"""The plugin in a third party's test module, and what makes a case."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from storage_conformance import suite
from storage_conformance.cases import CATEGORIES, PARTS, Need, case, case_of

MODULE = '''
import pytest
from storage_conformance import suite
from storage_conformance.memory import MemoryDriver
from storage_conformance.memory_settings import MemorySettings

class Honest(MemoryDriver):
    """A driver without tags that says so."""
    def __init__(self, settings):
        super().__init__(settings)
        import dataclasses
        self.capabilities = dataclasses.replace(self.capabilities, tags=False)

class TestMine(suite.Tags):
    @pytest.fixture
    def profile(self):
        return Honest(MemorySettings(name="mine"))

class TestOther(suite.Tags):
    faces = ("blocking",)
    server = "other 7"
    @pytest.fixture
    def profile(self):
        return {"driver": "memory", "name": "other"}

def test_of_another_kind():
    pass
'''

WAIVING = MODULE.replace(
    "class TestOther(suite.Tags):",
    """
class Elsewhere(MemoryDriver):
    name = "elsewhere"
    async def get_tags(self, request):
        return {}

class TestOther(suite.Tags):
    turns = True
    waivers = "waivers.toml"
    server = None
    @pytest.fixture
    def service(self):
        return "other " + "7"
    @pytest.fixture
    def profile(self):
        return Elsewhere(MemorySettings(name="other"))

class TestAnother(suite.Tags):
""",
)

FORGETFUL = """
import pytest
from storage_conformance import suite

class TestMine(suite.Tags):
    pass
"""


def pytest_on(place: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (place / "test_mine.py").write_text(module)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def members():
    for name in dir(suite.All):
        found = case_of(getattr(suite.All, name))
        if found is not None:
            yield name, found


def test_ids_are_stable_names_and_unique():
    cases = dict(members())
    assert len({found.id for found in cases.values()}) == len(cases) > 350
    for name, found in cases.items():
        assert name.startswith(f"test_{found.id.lower()}_")
        assert found.part in PARTS
        assert found.clause
        assert found.rule == found.rule.strip()
        assert not found.rule.endswith(".")
    assert {found.category for found in cases.values()} == set(CATEGORIES)
    assert {found.part for found in cases.values()} == set(PARTS)


def test_the_clause_of_every_case_is_a_section_of_the_contract():
    page = Path(__file__).parents[2] / "docs" / "contract.md"
    sections = {
        line.lstrip("# ") for line in page.read_text("utf-8").splitlines() if line[:1] == "#"
    }
    assert {found.clause for _, found in members()} <= sections


def test_every_test_of_the_suite_is_a_case():
    tests = [name for name in dir(suite.All) if name.startswith("test_")]
    assert [name for name in tests if case_of(getattr(suite.All, name)) is None] == []


def test_an_id_is_given_once():
    case("A99", "first", clause="Buckets")(_named("test_a99_first"))
    with pytest.raises(ValueError, match="taken"):
        case("A99", "second", clause="Buckets")(_named("test_a99_second"))


def _named(name: str):
    def function() -> None: ...

    function.__name__ = function.__qualname__ = name
    return function


@pytest.mark.parametrize(
    ("case_id", "rule", "more"),
    [
        ("Z01", "rule", {}),
        ("a01", "rule", {}),
        ("A1", "rule", {}),
        ("A01", "", {}),
        ("A01", "two\nlines", {}),
        ("A01", "rule", {"part": "everything"}),
    ],
)
def test_a_malformed_case_is_refused(case_id: str, rule: str, more: dict):
    with pytest.raises(ValueError, match=r"case|rule"):
        case(case_id, rule, clause="Buckets", **more)


def test_a_case_says_what_it_needs():
    need = Need("wings", lambda capabilities: False, None)
    function = case("A98", "pigs fly", clause="Buckets", needs=need)(_named("test_a98_pigs"))
    found = case_of(function)
    assert found is not None
    assert found.needs == (need,)


def test_a_module_of_a_third_party(tmp_path: Path):
    done = pytest_on(tmp_path, MODULE, "--conformance-report=report.json")
    assert done.returncode == 0, done.stdout + done.stderr
    mine, other = json.loads((tmp_path / "report.json").read_text())
    assert mine["face"] == "both"
    needing = [row for row in mine["cases"] if row["outcome"] == "unsupported"]
    assert len(needing) > 5
    assert all("not declared: tags" in row["reason"] for row in needing)
    assert (other["face"], other["server"]) == ("blocking", "other 7")
    assert {row["outcome"] for row in other["cases"]} <= {"passed", "unsupported"}


def test_a_face_can_be_chosen(tmp_path: Path):
    done = pytest_on(
        tmp_path, MODULE, "--conformance-face=async", "--conformance-report=report.json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (mine,) = [json.loads((tmp_path / "report.json").read_text())]
    assert mine["face"] == "async"


def test_in_turns_each_case_runs_on_one_face(tmp_path: Path):
    done = pytest_on(
        tmp_path, MODULE, "--conformance-face=turns", "--conformance-report=report.json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    mine, other = json.loads((tmp_path / "report.json").read_text())
    counts = {face: sum(number.values()) for face, number in mine["counts"].items()}
    assert sum(counts.values()) == len(mine["cases"]) == len(list(tags()))
    assert all(number > 2 for number in counts.values())
    assert other["face"] == "blocking"
    assert len(other["cases"]) == len(list(tags())), "there it is always the turn of one"


def tags():
    return (case_of(value) for value in vars(suite.Tags).values() if case_of(value))


def failing(place: Path) -> list[str]:
    """Ids of the cases that a driver without tags, which claims to have them, fails."""
    done = pytest_on(place, WAIVING, "-k", "TestOther", "--conformance-report=report.json")
    assert done.returncode == 1, done.stdout + done.stderr
    report = json.loads((place / "report.json").read_text())
    assert report["server"] == "other 7"
    return [row["id"] for row in report["cases"] if row["outcome"] == "failed"]


def test_a_class_has_waivers_of_its_own(tmp_path: Path):
    waivers = tmp_path / "waivers.toml"
    waivers.touch()
    text = '[[waiver]]\ncase = "{}"\nserver = "{}"\nreason = "has none"\n'
    failed = failing(tmp_path)
    assert failed
    waivers.write_text("".join(text.format(case, "other 7") for case in failed))
    done = pytest_on(tmp_path, WAIVING, "-k", "TestOther", "--conformance-report=report.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "has none" in done.stdout
    waivers.write_text(text.format("Z99", "other 7"))
    done = pytest_on(tmp_path, WAIVING, "-k", "TestOther")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "waives case Z99" in done.stderr


def test_a_class_without_a_profile_is_told_what_to_write(tmp_path: Path):
    done = pytest_on(tmp_path, FORGETFUL, "-x")
    assert done.returncode == 1
    assert "override the fixture 'profile'" in done.stdout


def test_undeclared_but_not_refused_is_a_failure(tmp_path: Path):
    # Core refuses by what is declared, so only a face that does not ask can break this rule.
    module = MODULE.replace(
        "class TestMine(suite.Tags):",
        "from storage_core.core.client import Client\n"
        "Client.require = lambda self, declared, what: None\n\n"
        "class TestMine(suite.Tags):",
    )
    done = pytest_on(tmp_path, module, "-k", "TestMine", "--conformance-report=report.json")
    assert done.returncode == 1, done.stdout + done.stderr
    rows = json.loads((tmp_path / "report.json").read_text())["cases"]
    assert any(row["outcome"] == "failed" for row in rows)
