"""An isolated home, and a driver that really is installed: a distribution on ``sys.path``."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage_core import plugins

ACME = '''
from __future__ import annotations

from storage_core.driver import Driver


class AcmeDriver(Driver):
    name = "acme"
    supported_io = frozenset({"blocking"})

    @classmethod
    def settings_model(cls):
        from pathlib import Path
        from typing import Literal

        from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

        class Pool(BaseModel):
            model_config = ConfigDict(extra="forbid")
            size: int = Field(10, ge=1, description="Connections kept open.")
            password: SecretStr | None = Field(None, description="Of the proxy.")

        class AcmeSettings(BaseModel):
            """Settings of the acme driver."""

            model_config = ConfigDict(extra="forbid")
            endpoint_url: str | None = Field(None, description="Where the service is.")
            region: str = Field("eu", description="Region of the account.")
            access_key: str | None = Field(None, description="Name of the key.")
            secret_key: SecretStr | None = Field(None, description="The key's secret.")
            spool: Path | None = Field(None, description="Directory for temporaries.")
            verify: bool = Field(True, description="Check certificates.")
            mode: Literal["fast", "safe"] = Field("safe", description="How to write.")
            zones: list[str] = Field([], description="Zones tried in order.")
            pool: Pool = Field(Pool(), description="Connections.")

            @field_validator("region")
            @classmethod
            def _region(cls, value: str) -> str:
                if value.startswith("!"):
                    raise ValueError(f"no such region: {value}")
                return value

        return AcmeSettings
'''


def install(folder: Path, name: str, entries: dict[str, str], **modules: str) -> None:
    """Lay out a distribution as an installer would."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{entry} = {target}" for entry, target in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *lines, ""]))
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, a current folder and an environment of the test's own."""
    for name in list(os.environ):
        if name.upper().startswith(("STORAGE_", "XDG_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed distributions, the driver ``acme`` among them."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "acme-storage", {"acme": "acme_storage:AcmeDriver"}, acme_storage=ACME)
    monkeypatch.syspath_prepend(str(folder))
    plugins._entry_points.cache_clear()
    yield folder
    plugins._entry_points.cache_clear()
    for name in [n for n, m in sys.modules.items() if _from(m, folder)]:
        del sys.modules[name]


def _from(module: object, folder: Path) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(str(folder))


@pytest.fixture
def write(tmp_path: Path):
    """Write a configuration beside the test's folders and return its path."""

    def write(text: str, name: str = "conf/storage.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def uninstalled(site: Path) -> Iterator[Callable[[str], None]]:
    """Takes an installed driver away."""
    with pytest.MonkeyPatch.context() as patch:

        def take(name: str) -> None:
            found = plugins._entry_points
            others = functools.cache(
                lambda group: {n: e for n, e in found(group).items() if n != name}
            )
            patch.setattr(plugins, "_entry_points", others)

        yield take
