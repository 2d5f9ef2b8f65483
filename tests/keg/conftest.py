"""Every driver with a gateway before it, and registries of backends over both."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import storage_core
from storage_core.compat import keg
from storage_core.gateway import serve_background
from tests.clients.fixtures import node  # noqa: F401 - a fixture
from tests.servers.fixtures import azurite, moto, strict_gcs  # noqa: F401 - fixtures

DRIVERS = ("local", "memory", "s3", "azure", "gcs", "fsspec")
SERVERS = {"s3": "moto", "azure": "azurite", "gcs": "strict_gcs"}
LINK_KEYS = {"k1": "keg-tests-sign-links-with-this"}


class Clock:
    """The time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True)
class Served:
    """A bucket of a driver, and the gateway that redeems its links."""

    driver: str
    profile: Mapping[str, Any]
    base_url: str
    clock: Clock
    storage: storage_core.Storage

    @property
    def config(self) -> dict[str, Any]:
        """The profile as an application has it, which knows the gateway."""
        return {**self.profile, "links": {"base_url": self.base_url, "keys": LINK_KEYS}}


@pytest.fixture(scope="session", params=DRIVERS)
def every_driver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    driver = request.param
    folder = tmp_path_factory.mktemp(driver)
    profiles: dict[str, Mapping[str, Any]] = {
        "local": {"driver": "local", "root": str(folder / "root"), "fsync": False},
        "memory": {"driver": "memory", "name": "keg"},
        "fsspec": {"driver": "fsspec", "protocol": "file", "root": str(folder / "root")},
    }
    profile = profiles.get(driver) or request.getfixturevalue(SERVERS[driver]).profile
    clock = Clock()
    served = {**profile, "links": {"route": "gateway", "keys": LINK_KEYS}}
    with (
        storage_core.open(config=profile) as storage,
        serve_background(served, now=clock) as server,
    ):
        yield Served(driver, profile, server.base_url, clock, storage)


@pytest.fixture
def served(every_driver: Served) -> Iterator[Served]:
    yield every_driver
    every_driver.clock.ahead = timedelta(0)


@pytest.fixture
def bucket(served: Served) -> Iterator[storage_core.Bucket]:
    """A bucket of this test's own."""
    name = f"keg-{uuid.uuid4().hex[:16]}"
    yield served.storage.create_bucket(name)
    served.storage.delete_bucket(name, force=True)


@pytest.fixture
def backend(served: Served, bucket: storage_core.Bucket) -> Iterator[keg.StorageProfile]:
    """The bucket as an application has it: by its name and its profile."""
    made = keg.StorageProfile(bucket.name, config=served.config, name="uploads")
    yield made
    made.close()


@pytest.fixture
def registry(backend: keg.StorageProfile) -> Iterator[keg.Storage]:
    """What counts for `StorageOperations`."""
    storage = keg.Storage(profiles=[backend])
    with storage.context():
        yield storage
