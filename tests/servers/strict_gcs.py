"""The strict double of Google Cloud Storage in `tests.servers.gcs_gate`: it checks credentials,
signatures, digests and preconditions, which no server one can install does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.base import CACHE, Processes, Server, free_ports, started

NAME = "strict-gcs"
UNCHECKED: dict[str, str] = {}
"""What passes there whatever it is, by category of the suite."""


@contextmanager
def start() -> Iterator[Server]:
    """The double on a free port.

    Raises:
        StartError: it did not start.
    """
    with started(_launch, NAME) as server:
        yield server


def _launch(processes: Processes) -> Server:
    (port,) = free_ports(1)
    profiles = processes.folder / "profiles.json"
    processes.spawn(
        NAME,
        *(sys.executable, "-m", "tests.servers.gcs_gate"),
        *("--host", "127.0.0.1", "--port", str(port), "--profiles", profiles),
        env={"PYTHONPATH": str(CACHE.parent)},
    )
    processes.wait(NAME, profiles.exists)
    told = json.loads(profiles.read_text("utf-8"))
    return processes.server(NAME, told["version"], f"http://127.0.0.1:{port}", told["profiles"])
