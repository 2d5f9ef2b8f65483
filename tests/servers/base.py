"""What the servers have in common: a folder, free ports, processes, waiting, logs."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

CACHE = Path(__file__).parents[2] / ".servers"
"""What is installed for the servers, and under `run` what they write while they run."""

START_SECONDS = 120.0
"""For each step of a start; a machine that has much else to do takes long over one."""
STOP_SECONDS = 30.0
"""For an end in order; a server that takes longer than it is worth is given less."""
INSTALL_SECONDS = 1200.0
"""For one installer, whatever the network is like. A test that has to wait for one has less."""
ATTEMPTS = 3


class MissingServerError(Exception):
    """The server is not on this machine and can not be installed; the text says why."""


class StartError(Exception):
    """The server did not start; the text ends with what it wrote."""


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        name: What it is called in reports, such as "moto".
        version: As it tells itself, or as its package does.
        endpoint: Its address, without a path or with that of the account.
        profiles: Tables of a profile by what they are for: "default" may do everything,
            "denied" has credentials that are valid and allow nothing, "wrong_credentials" a
            wrong secret.
        pids: Its processes.
        logs: What they write to.
    """

    name: str
    version: str
    endpoint: str
    profiles: Mapping[str, Mapping[str, Any]]
    pids: tuple[int, ...]
    logs: tuple[Path, ...]

    @property
    def label(self) -> str:
        """Name and version, as reports and waivers have it."""
        return f"{self.name} {self.version}"

    @property
    def profile(self) -> Mapping[str, Any]:
        """The profile that may do everything."""
        return self.profiles["default"]


Start = Callable[[], AbstractContextManager[Server]]


@dataclass
class Processes:
    """The processes of one server, in a folder of their own.

    Attributes:
        grace: Seconds they have to end in order.
    """

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    grace: float = STOP_SECONDS

    def spawn(
        self,
        name: str,
        *command: str | Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """Start a process that writes to a log file; it ends with this process at the latest.
        Root may have it run as another user."""
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*_dies_with_parent(), *map(str, command)],
                cwd=self.folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=user,
                group=_group(user),
            )

    def run(
        self,
        *command: str | Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> str:
        """Output of a command that ends by itself.

        Raises:
            StartError: it failed, or took too long.
        """
        words = [str(word) for word in command]
        try:
            done = subprocess.run(
                words,
                cwd=self.folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=START_SECONDS,
                check=False,
                user=user,
                group=_group(user),
            )
        except subprocess.TimeoutExpired as error:
            raise StartError(str(error)) from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise StartError(f"{' '.join(words)} ended with {done.returncode}: {said}")
        return done.stdout

    def wait(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait until `ready` says so.

        Raises:
            StartError: a process ended, or it took too long.
        """
        end = time.monotonic() + START_SECONDS
        while not ready():
            for name, process in self.running.items():
                if process.poll() is not None:
                    raise StartError(f"{name} ended with {process.returncode}:\n{self.tail(name)}")
            if time.monotonic() > end:
                logs = "\n".join(f"--- {name}\n{self.tail(name)}" for name in self.running)
                raise StartError(f"{what} not ready after {START_SECONDS:.0f} s:\n{logs}")
            time.sleep(0.02)

    def wait_http(self, url: str, accepted: Callable[[int], bool] = lambda s: s == 200) -> None:
        """Wait until a GET is answered with an accepted status."""
        self.wait(url, lambda: accepted(_status(url)))

    def log(self, name: str) -> Path:
        """Where a process writes."""
        return self.folder / f"{name}.log"

    def tail(self, name: str, lines: int = 40) -> str:
        """The last lines a process wrote."""
        if not self.log(name).exists():
            return "(nothing)"
        text = self.log(name).read_text("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:]) or "(nothing)"

    def stop(self) -> None:
        """End all processes, those started last first."""
        for process in reversed(self.running.values()):
            process.terminate()
        end = time.monotonic() + self.grace
        for process in self.running.values():
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def server(
        self, name: str, version: str, endpoint: str, profiles: Mapping[str, Mapping[str, Any]]
    ) -> Server:
        """What callers get of processes that are ready."""
        pids = tuple(process.pid for process in self.running.values())
        logs = tuple(self.log(process) for process in self.running)
        return Server(name, version, endpoint, profiles, pids, logs)


@contextmanager
def processes(name: str, runs: Path | None = None) -> Iterator[Processes]:
    """A folder and the processes in it; both are gone afterwards."""
    with _run_folder(name, runs or CACHE / "run") as folder:
        made = Processes(folder)
        try:
            yield made
        finally:
            made.stop()


@contextmanager
def started(
    launch: Callable[[Processes], Server], name: str, runs: Path | None = None
) -> Iterator[Server]:
    """A server started by `launch`, again if it failed: another process can take a port
    that was free a moment ago. Its folder is made in `runs`, by default in the cache."""
    for attempt in range(1, ATTEMPTS + 1):
        with ExitStack() as stack:
            made = stack.enter_context(processes(name, runs))
            try:
                server = launch(made)
            except StartError as error:
                if attempt == ATTEMPTS:
                    raise StartError(f"{name} did not start {attempt} times: {error}") from error
                continue
            yield server
            return


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nothing listens on, below those the system gives to
    outgoing connections. No other process that asks here gets them as long as this one lives:
    of two servers on one port one ends, and what answers may be the other."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            port = random.randrange(10_000, 32_000)
            candidate = stack.enter_context(socket.socket())
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                candidate.bind(("127.0.0.1", port))
                _reserve(port)
                found.append(port)
    return found


_RESERVED: list[socket.socket] = []


def _reserve(port: int) -> None:
    """Take a name that one socket of the machine can have, and that goes with its process.

    Raises:
        OSError: it is taken.
    """
    if sys.platform != "linux":  # it alone has names that are no files (unix(7), abstract)
        return
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0storage-core-test-port-{port}")
    except OSError:
        held.close()
        raise
    _RESERVED.append(held)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock against other processes that use the cache."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def installed(name: str, build: Callable[[Path], None]) -> Path:
    """A folder of the cache that `build` fills the first time, whole or not at all.

    Raises:
        MissingServerError: it can not be built.
    """
    place = CACHE / name
    if place.exists():
        return place
    with locked(name):
        if not place.exists():
            building = CACHE / f"{name}.building"
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            try:
                build(building)
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", None) or ""
                raise MissingServerError(
                    f"{name} can not be installed: {error}\n{said}".strip()
                ) from error
            building.rename(place)
    return place


def install(command: Sequence[str | Path], folder: Path) -> None:
    """Run an installer, which fetches from its registry."""
    subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=True,
    )


# --- how it is done -------------------------------------------------------------------


def _dies_with_parent() -> list[str]:
    """A command in front that has the kernel end the process with its parent, however that
    ends (util-linux; elsewhere only the ordinary way stops it)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _group(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


@contextmanager
def _run_folder(name: str, runs: Path) -> Iterator[Path]:
    """A new folder, held by a lock; those of processes that died are removed."""
    runs.mkdir(parents=True, exist_ok=True)
    with _held(runs):
        for old in runs.iterdir():
            with (old / "lock").open("w") as held, contextlib.suppress(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=runs))
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        with _held(runs), lock:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder itself: other copies of the repository may use it, too."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def _status(url: str) -> int:
    """Status of a GET, 0 without an answer. Proxies of the environment are not asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, http.client.HTTPException):
        return 0


def profile_text(name: str, profile: Mapping[str, Any]) -> str:
    """A profile as it stands in storage.toml."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in profile.items()]
    return "\n".join([f"[profiles.{name}]", *lines, ""])
