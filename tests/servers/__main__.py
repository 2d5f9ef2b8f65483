"""Start a server in the foreground, for those who develop a driver.

python -m tests.servers radosgw        # starts it and prints a profile; Ctrl-C ends it
python -m tests.servers --install      # installs what is missing and can be installed
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers import SERVERS, azurite, radosgw, swift
from tests.servers.base import MissingServerError, Server, install


def profile_text(name: str, profile: Mapping[str, Any]) -> str:
    """A profile as it stands in storage.toml."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in profile.items()]
    return "\n".join([f"[profiles.{name}]", *lines, ""])


def described(server: Server) -> str:
    """A storage.toml for a server that runs, and what else there is to know."""
    pids = " ".join(map(str, server.pids))
    logs = "\n".join(f"#   {log}" for log in server.logs)
    profiles = "\n".join(
        profile_text(server.name.replace("-", "_") if name == "default" else name, profile)
        for name, profile in server.profiles.items()
    )
    return f"# {server.label}, processes {pids}, which write to\n{logs}\n\n{profiles}"


def install_all() -> int:
    """Install what is missing. Packages of the system are installed by root, or where `sudo`
    asks no password.

    Returns:
        Exit status: 1 if something can not be installed.
    """
    status = 0
    for module in (azurite, swift):
        try:
            place = module.prepare()
        except MissingServerError as error:
            print(error, file=sys.stderr)
            status = 1
        else:
            print(f"{module.NAME}: {place}")
    try:
        if radosgw.missing():
            _install_packages(radosgw.PACKAGES)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{radosgw.NAME}: {error}\n{getattr(error, 'stderr', None) or ''}", file=sys.stderr)
    if missing := radosgw.missing():
        print(radosgw.how_to_install(missing), file=sys.stderr)
        return 1
    print(f"{radosgw.NAME}: of the system's packages")
    return status


def _install_packages(names: Sequence[str]) -> None:
    if shutil.which("apt-get") is None:
        return
    as_root = () if os.geteuid() == 0 else ("sudo", "-n")
    apt = (*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-qq")
    install((*apt, "update"), Path.cwd())
    install((*apt, "install", "--no-install-recommends", *names), Path.cwd())


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("server", nargs="?", choices=list(SERVERS))
    parser.add_argument("--install", action="store_true", help="install all that is missing")
    given = parser.parse_args()
    if given.install:
        return install_all()
    if given.server is None:
        parser.error(f"name a server: {', '.join(SERVERS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with SERVERS[given.server]() as server:
            print(described(server), flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 130
    except MissingServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
