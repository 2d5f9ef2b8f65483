"""The clients as fixtures; what can not be installed is told as of servers."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests import clients
from tests.servers.fixtures import required


class Node(Protocol):
    def __call__(
        self,
        script: str | Path,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def node() -> Node:
    """`tests.clients.node`."""
    with required(clients.NAME):
        clients.prepare()
    return clients.node
