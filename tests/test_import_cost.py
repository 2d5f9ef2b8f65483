"""What `import storage_core` must not load. Counted in modules, never in seconds."""

import json
import subprocess
import sys

import pytest

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
