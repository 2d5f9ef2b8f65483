"""Drivers of other distributions: one of SQLite, and the skeleton that `storage driver new` writes.

Both are installed into a fresh environment, found by entry point, and pass the published suite
with one fixture.
"""

from pathlib import Path

import pytest

from tests.venvs import PROJECT, ROOT, Venv, build_wheel, make_venv, run

SQLITE = ROOT / "tests" / "third_party"

# The whole suite runs inside of one test here.
pytestmark = [pytest.mark.packaging, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """The library with what `storage-core[conformance]` declares, and no other driver's needs."""
    home = tmp_path_factory.mktemp("third-party")
    extras = PROJECT["optional-dependencies"]
    made = make_venv(home / "venv")
    made.link([*extras["serve"], *(one for one in extras["conformance"] if "[" not in one)])
    made.install(build_wheel(ROOT, tmp_path_factory.mktemp("wheel")))
    return made


def install(venv: Venv, source: Path, target: Path) -> None:
    target.mkdir()
    venv.install(build_wheel(source, target))


def passed(venv: Venv, folder: Path, *options: str) -> str:
    """What pytest says at the end of the suite."""
    printed = run(
        venv.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, cwd=folder,
        limit=800,
    )  # fmt: skip
    assert "0 failed" in printed, printed
    return printed


def test_a_driver_of_another_distribution_passes_the_suite(venv: Venv, tmp_path: Path):
    install(venv, SQLITE, tmp_path / "wheel")
    found = venv.ask("from storage_core.plugins import load_driver; print(load_driver('sqlite'))")
    assert "storage_sqlite.driver.SqliteDriver" in found
    printed = passed(venv, SQLITE, "--conformance-face", "turns")
    assert "sqlite" in printed


def test_a_new_driver_passes_its_own_tests_at_once(venv: Venv, tmp_path: Path):
    run(venv.home / "bin" / "storage", "driver", "new", "acme-cloud", cwd=tmp_path)
    skeleton = tmp_path / "storage-acme-cloud"
    install(venv, skeleton, tmp_path / "wheel")
    passed(venv, skeleton, "--conformance-face", "turns")
    shown = run(
        venv.home / "bin" / "storage", "conformance", "--profile", "acme", "--case", "A0",
        "--report", "report.json",
        cwd=tmp_path, STORAGE_PROFILES__ACME__DRIVER="acme-cloud",
    )  # fmt: skip
    assert "acme-cloud (profile acme" in shown


@pytest.mark.parametrize(
    ("name", "said"),
    [("Acme", "small letters"), ("a--b", "single dashes"), ("s3", "already"), ("1a", "letter")],
)
def test_names_that_a_driver_can_not_have(name: str, said: str, tmp_path: Path):
    from storage_core.cli.driver import skeleton
    from storage_core.cli.status import UsageError

    with pytest.raises(UsageError, match=said):
        skeleton(name)


def test_a_folder_that_exists_is_left_alone(venv: Venv, tmp_path: Path):
    (tmp_path / "storage-acme").mkdir()
    with pytest.raises(AssertionError, match="exists already"):
        run(venv.home / "bin" / "storage", "driver", "new", "acme", cwd=tmp_path)
    assert list((tmp_path / "storage-acme").iterdir()) == []
