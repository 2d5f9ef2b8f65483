"""Clients of others, as their makers publish them: packages of npm, and snippets of public
documentation, which tests run from the files in `snippets`.

    done = node(SNIPPETS / "appfile_upload.js", url, str(file))
    assert done.stdout == "File uploaded successfully: 200\\n", done.stderr

A snippet is as it was printed but for host, token and paths, which are arguments, and for what
an excerpt needs around it to run; its first lines say where it is from and what it is given.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.servers import npm

NAME = "clients"
PACKAGES = Path(__file__).parent / "packages"
"""What npm installs: the versions, and a lock over all they need."""
SNIPPETS = Path(__file__).parent / "snippets"


def prepare() -> Path:
    """The folder with the packages below its `node_modules`.

    Raises:
        MissingServerError: they can not be installed.
    """
    return npm.packages(NAME, PACKAGES)


def node(
    script: str | Path,
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a script of Node, whose `require` knows the packages. Tests take the fixture of this
    name, which also tells what is missing.

    Args:
        script: A file.
        args: What the script is given, from `process.argv[2]` on.
        env: Variables beside those of this process.
        timeout: Seconds until it is killed and `subprocess.TimeoutExpired` raised.

    Raises:
        MissingServerError: the packages can not be installed.
    """
    packages = prepare() / "node_modules"
    direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    return subprocess.run(
        [str(word) for word in (npm.node(), script, *args)],
        env={**os.environ, **direct, "NODE_PATH": str(packages), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
