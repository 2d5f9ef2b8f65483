"""moto: S3 in its functions. It checks no signature, no payload hash and no permission."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec

from tests.servers.base import CACHE, MissingServerError, Processes, Server, free_ports, started

NAME = "moto"
UNCHECKED = {
    "L": "signature, expiry and method of a link",
    "M": "Content-MD5 and digests in headers or trailers",
    "O": "credentials, and who may do what",
}
"""What passes there whatever it is, by category of the suite."""


@contextmanager
def start() -> Iterator[Server]:
    """moto on a free port.

    Raises:
        MissingServerError: it is not installed.
        StartError: it did not start.
    """
    if find_spec("moto") is None or find_spec("flask") is None:
        raise MissingServerError("moto is not installed: pip install 'moto[s3]' flask flask-cors")
    with started(_launch, NAME) as server:
        yield server


def _launch(processes: Processes) -> Server:
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    processes.spawn(
        NAME,
        *(sys.executable, "-m", "tests.servers.moto_app", str(port)),
        env={"PYTHONPATH": str(CACHE.parent)},
    )
    processes.wait_http(f"{endpoint}/moto-api/data.json")
    return processes.server(NAME, metadata.version("moto"), endpoint, profiles(endpoint))


def profiles(endpoint: str) -> dict[str, dict[str, object]]:
    """What profiles of it say."""
    profile: dict[str, object] = {
        "driver": "s3",
        "preset": "moto",
        "endpoint_url": endpoint,
        "region": "eu-central-1",  # in us-east-1 a bucket of one's own can be made again
        "access_key_id": "AKIAMOTO",
        "secret_access_key": "moto-checks-no-secret",
    }
    return {"default": profile}
