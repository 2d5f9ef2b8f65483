"""The distribution as its users get it: a wheel, and an editable install, in venvs of their own.

The venvs hold the declared dependencies and nothing else, linked from the environment that runs
the tests, so that nothing is fetched and a dependency that was not declared is missed at once.
"""

import json
import re
import zipfile
from pathlib import Path

import pytest

from tests.venvs import PROJECT, ROOT, Venv, build_wheel, make_venv, run

PACKAGES = {
    "storage_azure",
    "storage_conformance",
    "storage_core",
    "storage_fsspec",
    "storage_gcs",
    "storage_local",
    "storage_s3",
}

pytestmark = pytest.mark.packaging


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    venv = make_venv(tmp_path_factory.mktemp(request.param) / "venv")
    if request.param == "wheel":
        venv.install(request.getfixturevalue("wheel"))
    else:
        venv.link(["hatchling"])
        venv.install("--editable", ROOT)
    return venv


def test_wheel_holds_the_packages_and_nothing_else(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert [name for name in names if re.search(r"(^|/)(tests?/|test_|conftest)", name)] == []
    assert [name for name in names if "__pycache__" in name] == []


def test_wheel_holds_every_module_of_the_checkout(wheel: Path):
    expected = set()
    for base in (ROOT, ROOT / "backends", ROOT / "conformance"):
        for package in PACKAGES:
            expected |= {
                file.relative_to(base).as_posix()
                for file in (base / package).rglob("*.py")
                if not any(part.startswith(".") for part in file.relative_to(base).parts)
            }
    assert expected <= set(zipfile.ZipFile(wheel).namelist())


def test_wheel_metadata(wheel: Path):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    text = archive.read(name).decode()
    assert f"Version: {PROJECT['version']}\n" in text
    assert "License-Expression: Apache-2.0\n" in text
    assert name.replace("METADATA", "licenses/LICENSE") in archive.namelist()
    assert not re.search(r"^Requires-Dist: .*<", text, re.MULTILINE), "no upper bounds"


def test_sources_come_from_where_they_should(installed: Venv, request: pytest.FixtureRequest):
    program = "import storage_core; print(storage_core.__file__)"
    source = Path(installed.ask(program))
    editable = "editable" in request.node.callspec.id
    assert source.is_relative_to(ROOT / "storage_core" if editable else installed.site)


def test_typing_markers(installed: Venv):
    program = (
        "import importlib.util as u, os, json\n"
        f"print(json.dumps([os.path.exists(os.path.join(os.path.dirname(u.find_spec(n).origin), "
        f"'py.typed')) for n in {sorted(PACKAGES)}]))"
    )
    assert json.loads(installed.ask(program)) == [True] * len(PACKAGES)


def test_entry_points(installed: Venv):
    program = (
        "import json\n"
        "from importlib.metadata import entry_points as e\n"
        "groups = ('storage_core.drivers', 'console_scripts', 'pytest11')\n"
        "print(json.dumps({g: {p.name: p.value for p in e(group=g)"
        " if p.dist.name == 'storage-core'} for g in groups}))"
    )
    assert json.loads(installed.ask(program)) == {
        "storage_core.drivers": PROJECT["entry-points"]["storage_core.drivers"],
        "console_scripts": PROJECT["scripts"],
        "pytest11": PROJECT["entry-points"]["pytest11"],
    }


@pytest.mark.parametrize("name", sorted(PROJECT["entry-points"]["storage_core.drivers"]))
def test_driver_loads_with_the_base_dependencies(installed: Venv, name: str):
    program = (
        "from importlib.metadata import entry_points as e\n"
        f"(point,) = e(group='storage_core.drivers', name={name!r})\n"
        "from storage_core.driver import Driver\n"
        "assert issubclass(point.load(), Driver); print('ok')"
    )
    assert installed.ask(program) == "ok"


def test_import_and_version(installed: Venv):
    assert installed.ask("import storage_core; print('ok')") == "ok"
    program = "from importlib.metadata import version; print(version('storage-core'))"
    assert installed.ask(program) == PROJECT["version"]


def test_store_and_read_an_object(installed: Venv, tmp_path: Path):
    program = (
        "import storage_core\n"
        f"with storage_core.open_url({tmp_path.as_uri()!r}) as storage:\n"
        "    bucket = storage.create_bucket('fruit')\n"
        "    bucket.put('apple', b'red')\n"
        "    with bucket.get('apple') as reader: print(reader.read().decode())"
    )
    assert installed.ask(program) == "red"


def test_console_script(installed: Venv):
    script = installed.home / "bin" / "storage"
    assert PROJECT["version"] in run(script, "--version", cwd=installed.home)
    assert "presign" in run(script, "--help", cwd=installed.home)


@pytest.mark.parametrize(
    ("settings", "extra"),
    [
        ({"driver": "s3", "anonymous": True}, "http"),
        ({"driver": "s3"}, "s3"),
        ({"driver": "azure", "account_name": "x", "client_id": "y"}, "azure"),
        ({"driver": "gcs"}, "gcs"),
        ({"driver": "fsspec", "protocol": "memory"}, "fsspec"),
    ],
    ids=["s3 anonymous", "s3", "azure", "gcs", "fsspec"],
)
def test_a_missing_extra_says_what_to_install(
    installed: Venv, settings: dict[str, object], extra: str
):
    program = (
        "import storage_core\n"
        f"try: list(storage_core.open(config={settings!r}).list_buckets())\n"
        "except storage_core.ConfigError as error: print(error)"
    )
    assert f"pip install 'storage-core[{extra}]'" in installed.ask(program)
