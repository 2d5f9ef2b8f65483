"""The same program, unchanged, on every backend: one line of the configuration differs."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.servers.fixtures import azurite, moto, strict_gcs  # noqa: F401 - fixtures

PROGRAM = Path(__file__).parent.parent / "examples" / "portable.py"
WANTED = """\
['fruit/', 'vegetable']
3 text/plain {'year': '2012'}
there is a vegetable already
b'..the end'
application/x-demo
['copy/large', 'fruit/a b?c%/Übergröße.txt', 'fruit/apple.txt', 'large', 'vegetable']
"""


@pytest.fixture
def profiles(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Mapping[str, Any]]:
    return {
        "local": {"driver": "local", "root": str(tmp_path / "data")},
        "s3": request.getfixturevalue("moto").profile,
        "azure": request.getfixturevalue("azurite").profile,
        "gcs": request.getfixturevalue("strict_gcs").profile,
    }


def toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {toml(one)}" for name, one in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize("name", ["local", "s3", "azure", "gcs"])
def test_it_prints_the_same(name: str, profiles: dict[str, Mapping[str, Any]], tmp_path: Path):
    config = tmp_path / "storage.toml"
    tables = [f"profiles.{profile} = {toml(table)}" for profile, table in profiles.items()]
    config.write_text("\n".join([f'default_profile = "{name}"', *tables]) + "\n", "utf-8")
    environment = {key: value for key, value in os.environ.items() if "STORAGE" not in key}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", PROGRAM],
        env=environment | {"STORAGE_CONFIG": str(config), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, WANTED), done.stderr
    assert "Warning" not in done.stderr
