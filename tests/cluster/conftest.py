"""Two worker processes on this machine, of either engine, and storages that they reach."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dask import config
from distributed import LocalCluster

import storage_core
from storage_core import Bucket, Storage
from storage_core.cluster import DaskEngine, ProcessEngine
from storage_core.cluster.engine import Engine
from storage_core.transfer.memory import DEFAULT, MEMORY
from tests.servers import Server
from tests.servers.fixtures import moto  # noqa: F401 - a fixture, found by its name
from tests.waiting import PATIENCE, wait_until

WORKERS = 2


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    # On a busy machine a killed worker takes a while to come back.
    patience = config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"})
    with (
        patience,
        LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=":0",
            silence_logs=logging.ERROR,
            local_directory=str(tmp_path_factory.mktemp("dask")),
        ) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def scheduler(cluster: LocalCluster) -> Any:
    """Of the cluster, in this process."""
    return cluster.scheduler


@pytest.fixture(scope="session")
def connected(cluster: LocalCluster) -> Iterator[DaskEngine]:
    with DaskEngine(cluster.scheduler_address) as engine:
        yield engine


@pytest.fixture
def dask(connected: DaskEngine) -> Iterator[DaskEngine]:
    """With all its workers, also after a test that killed one."""
    connected.client.wait_for_workers(WORKERS, timeout=PATIENCE)
    yield connected
    # All that was out has come back, or was called off.
    wait_until(lambda: not connected.client.futures)
    # One that returns later would open its sockets in another test.
    connected.client.wait_for_workers(WORKERS, timeout=PATIENCE)


@pytest.fixture(scope="session")
def started() -> Iterator[ProcessEngine]:
    with ProcessEngine(WORKERS) as engine:
        yield engine


@pytest.fixture
def processes(started: ProcessEngine, monkeypatch: pytest.MonkeyPatch) -> ProcessEngine:
    """None of them is killed for being slow on a busy machine; and the budget, which an earlier
    test may have lowered, does for all of them."""
    monkeypatch.setattr(MEMORY, "limit", DEFAULT)
    monkeypatch.setattr("storage_core.cluster.processes.crew.PATIENCE", PATIENCE)
    return started


@pytest.fixture(params=["processes", "dask"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Either of them; what is told of one holds for the other."""
    found: Engine = request.getfixturevalue(request.param)
    return found


Opener = Callable[[str], Storage]


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Opener]:
    """Opens storages on local disk, by name."""
    opened: list[Storage] = []

    def open_storage(name: str) -> Storage:
        profile = {"driver": "local", "root": str(tmp_path / name), "fsync": False}
        opened.append(storage_core.open(config=profile))
        return opened[-1]

    yield open_storage
    for storage in opened:
        storage.close()


@pytest.fixture
def source(on_disk: Opener) -> Bucket:
    return on_disk("source").create_bucket("source")


@pytest.fixture
def target(on_disk: Opener) -> Bucket:
    return on_disk("target").create_bucket("target")


@pytest.fixture
def on_s3(moto: Server) -> Iterator[Bucket]:  # noqa: F811
    with storage_core.open(config=moto.profile) as storage:
        bucket = storage.create_bucket(f"cluster-{uuid.uuid4().hex}")
        yield bucket
        storage.delete_bucket(bucket.name, force=True)
