"""PostgreSQL, without what keeps its data through a crash: its databases end with the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers.base import (
    CACHE,
    MissingServerError,
    Processes,
    Server,
    free_ports,
    started,
)
from tests.waiting import wait_until

NAME = "postgres"
PROGRAMS = ("initdb", "postgres")
PACKAGE = "postgresql"
"""Debian and Ubuntu have the programs in this package, of the version they ship."""
CREATE_CLUSTER = Path("/etc/postgresql-common/createcluster.conf")
"""Debian's switch for the server that the package would start; `postgresql-common` brings it."""

USER, PASSWORD = "storage", "the-password-of-the-test-databases"
UNPRIVILEGED = "postgres"
"""Who runs it where the tests are root's, whom it refuses. The package makes the user."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # a killed one leaves nothing in /dev/shm
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "timezone": "Pacific/Chatham",  # no machine's: a time that lost its zone shows
}


@contextmanager
def start() -> Iterator[Server]:
    """PostgreSQL on a free port. Its endpoint is the URL of a database that is always there;
    `database` makes others.

    Raises:
        MissingServerError: its programs are not on this machine.
        StartError: it did not start.
    """
    if lacking := missing():
        raise MissingServerError(how_to_install(lacking))
    with started(_launch, NAME, _runs()) as server:
        try:
            yield server
        finally:
            with suppress(ProcessLookupError):
                os.kill(server.pids[0], signal.SIGQUIT)  # its ordinary end waits for clients


@contextmanager
def database(server: Server) -> Iterator[str]:
    """URL of a new, empty database, which is gone afterwards, whoever is still connected."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield f"{server.endpoint.rpartition('/')[0]}/{name}"
    finally:
        _drop(server, name)


def missing() -> list[str]:
    """The programs that are not on this machine."""
    place = _programs()
    return [program for program in PROGRAMS if not (place / program).exists()]


def how_to_install(lacking: list[str]) -> str:
    """What to do about programs that are missing."""
    return f"{', '.join(lacking)} not found: apt-get install {PACKAGE}"


# --- how it is done -------------------------------------------------------------------


def _programs() -> Path:
    """Folder of the programs. Debian has one for each version, off the search path."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(versions, key=lambda found: int(found.parts[-3]), default=None)
    return Path(newest or shutil.which("postgres") or "postgres").parent


def _user() -> str | None:
    """Whose processes they are, if not ours."""
    return UNPRIVILEGED if os.geteuid() == 0 else None


def _runs() -> Path:
    """Where its folder is made: what root checked out may be closed to everyone else."""
    if _user() is None:
        return CACHE / "run"
    return Path(tempfile.gettempdir()) / "storage-core-test-servers"


def _launch(processes: Processes) -> Server:
    place, folder, user = _programs(), processes.folder, _user()
    password = folder / "password"
    password.write_text(PASSWORD)
    if user is not None:
        for path in (folder, password):
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    processes.run(
        *(place / "initdb", "--pgdata", folder / "data", "--username", USER, "--no-sync"),
        *("--auth", "scram-sha-256", "--pwfile", password),
        *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-instructions"),
        user=user,
    )
    (port,) = free_ports(1)
    settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(port)}.items()]
    processes.spawn(NAME, place / "postgres", "-D", folder / "data", *settings, user=user)
    # As pg_ctl waits.
    processes.wait(NAME, lambda: "ready" in _read(folder / "data" / "postmaster.pid"))
    version = processes.run(place / "postgres", "--version").split()[2]
    endpoint = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
    return processes.server(NAME, version, endpoint, {})


def _read(path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text()
    return ""


def _drop(server: Server, name: str) -> None:
    """Drop a database; again, where somebody came to it while the others were thrown out, or one
    of those took the server longer than the 5 s it waits for them."""
    import psycopg

    def dropped() -> bool:
        with suppress(psycopg.errors.ObjectInUse):
            _execute(server, f"DROP DATABASE {name} WITH (FORCE)")
            return True
        return False

    wait_until(dropped)


def _execute(server: Server, statement: str) -> None:
    import psycopg

    with psycopg.connect(server.endpoint, autocommit=True) as connection:
        connection.execute(statement.encode())
