"""Start a server in the foreground, for those who develop a driver.

python -m tests.servers radosgw        # starts it and prints a profile; Ctrl-C ends it
python -m tests.servers --install      # installs what is missing and can be installed
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from tests import clients
from tests.servers import SERVERS, azurite, postgres, radosgw, swift
from tests.servers.base import MissingServerError, Server, install, profile_text


def described(server: Server) -> str:
    """A storage.toml for a server that runs, and what else there is to know."""
    pids = " ".join(map(str, server.pids))
    logs = "\n".join(f"#   {log}" for log in server.logs)
    settings = "\n".join(
        profile_text(server.name.replace("-", "_") if name == "default" else name, profile)
        for name, profile in server.profiles.items()
    )
    if server.name == postgres.NAME:
        settings = f'[gateway]\ndatabase = "{server.endpoint}"\n'
    return f"# {server.label}, processes {pids}, which write to\n{logs}\n\n{settings}"


def install_all() -> int:
    """Install what is missing. Packages of the system are installed by root, or where `sudo`
    asks no password.

    Returns:
        Exit status: 1 if something can not be installed.
    """
    return max([*map(_from_registry, (azurite, swift, clients)), _from_system()])


def _from_registry(module: ModuleType) -> int:
    try:
        print(f"{module.NAME}: {module.prepare()}")
    except MissingServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _from_system() -> int:
    status = 0
    for module, install_packages in (
        (radosgw, lambda: _apt_install(*radosgw.PACKAGES)),
        (postgres, _install_postgres),
    ):
        try:
            if module.missing() and shutil.which("apt-get"):
                install_packages()
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or ""
            print(f"{module.NAME}: {error}\n{said}", file=sys.stderr)
        if missing := module.missing():
            print(module.how_to_install(missing), file=sys.stderr)
            status = 1
        else:
            print(f"{module.NAME}: of the system's packages")
    return status


def _install_postgres() -> None:
    """The programs without the server that the package makes of them on its own."""
    if not postgres.CREATE_CLUSTER.exists():
        _apt_install("postgresql-common")
        change = "s/^#?create_main_cluster.*/create_main_cluster = false/"
        _as_root("sed", "-i", "-E", change, str(postgres.CREATE_CLUSTER))
    _apt_install(postgres.PACKAGE)


def _apt_install(*names: str) -> None:
    # On a new machine something else may be installing still; a mirror may fail for a moment.
    patience = ("-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=5")
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-qq", *patience)
    _as_root(*apt, "update")
    _as_root(*apt, "install", "--no-install-recommends", *names)


def _as_root(*command: str) -> None:
    install((*(() if os.geteuid() == 0 else ("sudo", "-n")), *command), Path.cwd())


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
