"""What `import storage_core` must not load. Counted in modules, never in seconds."""

import json
import subprocess
import sys

import pytest

import storage_core

# Each costs more than the whole of storage_core, or belongs to one driver or service only.
HEAVY = {
    "aiohttp", "anyio", "asyncio", "attrs", "boto3", "botocore", "concurrent.futures", "cyclopts",
    "dataclasses_json", "email", "fsspec", "granian", "http.client", "httptools", "hypothesis",
    "importlib.metadata", "logging", "multiprocessing", "obstore", "platformdirs", "pydantic",
    "pydantic_core", "pydantic_settings", "pytest", "rich", "socket", "sqlite3", "ssl",
    "starlette", "storage_conformance", "storage_local", "tomllib", "typer", "urllib.request",
    "uvicorn", "uvloop", "yaml",
}  # fmt: skip

CONTRACT = ["errors", "keys", "model", "driver"]


def loaded_after(statement: str) -> set[str]:
    """The modules that `statement` adds to those a bare interpreter has."""
    program = (
        "import sys; before = set(sys.modules)\n"
        f"{statement}\n"
        "import json; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def heavy_in(modules: set[str]) -> set[str]:
    return {name for name in modules if name in HEAVY or name.partition(".")[0] in HEAVY}


def test_the_check_sees_a_heavy_import():
    assert "asyncio" in heavy_in(loaded_after("import asyncio"))


@pytest.mark.parametrize(
    "statement",
    [
        "import storage_core",
        "from storage_core import *",
        *(f"import storage_core.{name}" for name in CONTRACT),
    ],
)
def test_nothing_heavy_is_loaded(statement: str):
    modules = loaded_after(statement)
    assert "storage_core" in modules
    assert heavy_in(modules) == set()


def test_fewer_modules_than_asyncio():
    assert len(loaded_after("import storage_core")) < len(loaded_after("import asyncio"))


def test_the_blocking_face_on_local_disk_needs_no_loop_and_no_server(tmp_path):
    program = (
        "import storage_core\n"
        f"with storage_core.open_url({tmp_path.as_uri()!r}) as storage:\n"
        "    bucket = storage.create_bucket('fruit')\n"
        "    bucket.put('apple', b'1')\n"
        "    with bucket.get('apple') as reader: assert reader.read() == b'1'\n"
        "    assert [item.key for item in bucket.list()] == ['apple']\n"
    )
    modules = loaded_after(program)
    assert "storage_local" in modules
    unwanted = {"asyncio", "cyclopts", "fsspec", "rich", "ssl", "starlette", "uvicorn"}
    assert modules & unwanted == set()


# What the command line has to load of itself, and of others for a profile on local disk.
OF_EVERY_COMMAND = {
    "address", "app", "completion", "formats", "options", "output", "session", "signals", "status",
}  # fmt: skip
NOT_FOR_A_LISTING = {
    "aiohttp", "asyncio", "concurrent.futures", "docstring_parser", "fsspec", "http.client",
    "mimetypes", "multiprocessing", "pydantic_settings", "rich", "sqlite3", "ssl", "starlette",
    "storage_azure", "storage_conformance", "storage_core.cluster", "storage_core.gateway",
    "storage_core.http", "storage_core.transfer.sync", "storage_fsspec", "storage_gcs", "storage_s3",
    "urllib3", "uvicorn",
}  # fmt: skip


def commanded(*arguments: str) -> set[str]:
    """The modules that a command loads."""
    return loaded_after(
        "import contextlib, io\n"
        "from storage_core.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    assert main({arguments!r}) == 0"
    )


def test_a_command_loads_no_other_command_and_nothing_for_a_service(tmp_path):
    with storage_core.open_url((tmp_path / "data").as_uri()) as storage:
        storage.create_bucket("fruit")
    config = tmp_path / "storage.toml"
    config.write_text('[profiles.here]\ndriver = "local"\nroot = "data"\n', "utf-8")
    modules = commanded("ls", "here:fruit", "--config", str(config))
    assert {"storage_core.cli.listing", "storage_local"} <= modules
    package = "storage_core.cli."
    ours = {name.removeprefix(package) for name in modules if name.startswith(package)}
    assert ours - OF_EVERY_COMMAND == {"listing"}
    tops = {name.partition(".")[0] for name in modules}
    assert (modules | tops) & NOT_FOR_A_LISTING == set()


def test_the_version_is_told_without_a_parser():
    modules = commanded("--version")
    assert "storage_core.cli" in modules
    assert modules & {"cyclopts", "pydantic", "storage_core.cli.app"} == set()
