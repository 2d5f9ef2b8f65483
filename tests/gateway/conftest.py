"""A real link server on the loopback, and clients that send what they are told."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import storage_core
from storage_core.gateway import GatewaySettings, Server, serve_background
from tests.gateway.clients import Raw

# Small, so that limits can be met in a test.
SETTINGS = GatewaySettings(
    max_body_size=4 * 1024 * 1024,
    min_rate=2,
    drain_timeout=10,
    cors_origins=("https://app.example.org",),
)


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[storage_core.Storage]:
    root = tmp_path_factory.mktemp("root")
    config = {"driver": "local", "root": str(root), "fsync": False, "min_part_size": 1}
    with storage_core.open(config=config) as opened:
        yield opened


@pytest.fixture(scope="session")
def server(storage: storage_core.Storage) -> Iterator[Server]:
    with serve_background(storage, settings=SETTINGS) as running:
        yield running


@pytest.fixture
def hasty(local_profile: dict[str, object]) -> Iterator[storage_core.Bucket]:
    """A bucket behind a server that soon gives up who is slow."""
    settings = replace(SETTINGS, stall_timeout=1.0)
    with (
        storage_core.open(config=local_profile) as opened,
        serve_background(opened, settings=settings),
    ):
        yield opened.create_bucket("hasty")


@pytest.fixture
def bucket(storage: storage_core.Storage, server: Server) -> storage_core.Bucket:
    return storage.create_bucket("t-" + uuid.uuid4().hex[:20])


@pytest.fixture
def raw(server: Server) -> Iterator[Callable[..., Raw]]:
    """Opens connections on which a test writes bytes as it likes, to the server or another."""
    opened: list[Raw] = []

    def connect(url: str = server.base_url) -> Raw:
        host, port = url.split("/")[2].split(":")
        connection = Raw(socket.create_connection((host, int(port)), timeout=60))
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def local_profile(tmp_path: Path) -> dict[str, object]:
    return {"driver": "local", "root": str(tmp_path / "root"), "fsync": False}
