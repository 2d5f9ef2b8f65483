"""The strict double of Google Cloud Storage and a plain client of it, fresh for each test; and
PostgreSQL."""

from collections.abc import Iterator

import pytest

from tests.servers.base import Server
from tests.servers.fixtures import (  # noqa: F401 - fixtures, found by their names
    database_url,
    postgres,
    strict_gcs,
)
from tests.servers.gate_client import GateClient


@pytest.fixture
def gcs_gate(strict_gcs: Server) -> Iterator[GateClient]:  # noqa: F811
    client = GateClient(strict_gcs.endpoint, strict_gcs.profiles)
    client.admin("POST", "reset", {})
    yield client
    client.admin("POST", "clock", {"shift": 0})


@pytest.fixture
def bucket(gcs_gate: GateClient) -> str:
    """A bucket in the gate."""
    answer = gcs_gate.json("POST", "/storage/v1/b?project=gate-project", {"name": "bucket-1"})
    assert answer.status == 200, answer
    return "bucket-1"
