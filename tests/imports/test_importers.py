"""Importers by entry point."""

from __future__ import annotations

import pickle
import sys

import pytest

from storage_core import plugins
from storage_core.errors import ConfigError
from storage_core.imports import GROUP, ImportFileError, importer_names, load_importer
from tests.imports import importers


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lays out a distribution with one importer."""

    def install(distribution: str, name: str, target: str) -> None:
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {target}\n")
        plugins._entry_points.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    plugins._entry_points.cache_clear()


def test_shipped_ones_come_by_the_same_door():
    assert {"cc5", "csv", "jsonl"} <= set(importer_names())
    assert load_importer("plain") is importers.plain


def test_one_that_is_not_installed():
    with pytest.raises(ConfigError, match=r"no importer is called 'xlsx'; installed are: .*cc5"):
        load_importer("xlsx")


def test_two_distributions_with_one_name_are_both_named(install):
    install("other-importers", "plain", "other:read")
    with pytest.raises(ConfigError) as caught:
        load_importer("plain")
    assert "importer 'plain' is offered by two distributions" in str(caught.value)
    assert "acme-importers 1.0 (tests.imports.importers:plain)" in str(caught.value)
    assert "other-importers 1.0 (other:read)" in str(caught.value)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module:read", "can not be imported.*ModuleNotFoundError"),
        ("tests.imports.importers:no_such", "can not be imported.*AttributeError"),
        ("tests.imports:__name__", "can not be called"),
    ],
)
def test_one_that_is_not_usable(install, target, reason):
    install("third-importers", "third", target)
    with pytest.raises(ConfigError, match=f"'third' of third-importers 1.0.*{reason}"):
        load_importer("third")


def test_looking_one_up_imports_no_other(install):
    install("bomb-importers", "bomb", "bomb_importers:read")
    load_importer("cc5")
    assert "bomb" in importer_names()
    assert "bomb_importers" not in sys.modules


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(ImportFileError(3, "too long")))
    assert (error.line, error.reason, str(error)) == (3, "too long", "line 3: too long")
    assert str(ImportFileError(None, "empty")) == "empty"
