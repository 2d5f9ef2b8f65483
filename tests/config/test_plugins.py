"""Drivers by entry point, from distributions that are really on ``sys.path``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from storage_core import plugins
from storage_core.errors import ConfigError, DriverNotFoundError
from tests.config.conftest import install


@pytest.fixture
def add(site):
    def add(name: str, entries: dict[str, str], **modules: str) -> None:
        install(site, name, entries, **modules)
        plugins._entry_points.cache_clear()

    return add


def test_built_in_drivers_come_by_the_same_door():
    found = {info.name: info for info in plugins.installed_drivers()}
    assert found["local"].distribution == "storage-core"
    assert found["local"].target == "storage_local.driver:LocalDriver"
    assert found["local"].version


def test_a_driver_of_another_distribution(site):
    assert plugins.load_driver("acme").__name__ == "AcmeDriver"
    info = next(i for i in plugins.installed_drivers() if i.name == "acme")
    assert info == plugins.DriverInfo("acme", "acme-storage", "1.0", "acme_storage:AcmeDriver")


def test_looking_a_driver_up_imports_no_other(site, add):
    add("bomb-storage", {"bomb": "bomb_storage:Driver"}, bomb_storage="raise SystemExit(3)")
    assert plugins.load_driver("acme")
    assert "bomb" in {info.name for info in plugins.installed_drivers()}
    assert "bomb_storage" not in sys.modules


def test_two_distributions_with_one_name_are_both_named(add):
    add("other-storage", {"acme": "other:Driver"})
    with pytest.raises(ConfigError) as caught:
        plugins.load_driver("acme")
    assert "acme-storage 1.0 (acme_storage:AcmeDriver)" in str(caught.value)
    assert "other-storage 1.0 (other:Driver)" in str(caught.value)


@pytest.mark.parametrize("name", sorted(plugins.EXTRAS))
def test_a_known_driver_that_is_missing_says_what_to_run(name, uninstalled):
    uninstalled(name)
    with pytest.raises(DriverNotFoundError, match=rf"pip install 'storage-core\[{name}\]'"):
        plugins.load_driver(name)


def test_a_known_driver_without_its_extra_says_what_to_run(add, monkeypatch):
    monkeypatch.setitem(plugins.EXTRAS, "cloud", "cloud")
    add("cloud", {"cloud": "cloud_driver:Driver"}, cloud_driver="import no_such_sdk.client")
    with pytest.raises(DriverNotFoundError) as caught:
        plugins.load_driver("cloud")
    assert "'no_such_sdk', which is not installed: pip install" in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_an_unknown_driver_names_those_there_are(site):
    with pytest.raises(DriverNotFoundError, match=r"did you mean 'acme'\? installed are: acme, az"):
        plugins.load_driver("acne")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('out of order')", "RuntimeError: out of order"),
        ("this is no Python", "SyntaxError"),
        ("", "AttributeError"),
        ("Driver = 3", "not a subclass of storage_core.driver.Driver"),
        ("class Driver: pass", "not a subclass of storage_core.driver.Driver"),
    ],
)
def test_a_broken_driver_is_reported_with_its_cause(text, says, add):
    add("broken-storage", {"broken": "broken_storage:Driver"}, broken_storage=text)
    with pytest.raises(ConfigError, match=r"'broken' of broken-storage 1\.0") as caught:
        plugins.load_driver("broken")
    assert says in str(caught.value)


def test_a_driver_installed_meanwhile_is_found(site):
    with pytest.raises(DriverNotFoundError):
        plugins.load_driver("late")
    text = (site / "acme_storage.py").read_text()
    install(site, "late-storage", {"late": "late_storage:AcmeDriver"}, late_storage=text)
    assert plugins.load_driver("late")


def test_plugins_and_urls_cost_no_pydantic():
    code = (
        "import sys, storage_core.plugins, storage_core.config.profile, storage_core.config.url;"
        "storage_core.plugins.installed_drivers();"
        "sys.exit(bool({'pydantic', 'pydantic_settings', 'asyncio'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
