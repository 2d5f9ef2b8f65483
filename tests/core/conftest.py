from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import storage_core
from storage_conformance.faces import Portal, as_blocking
from storage_core import Bucket, RetryPolicy, Storage, aio
from storage_core.core.client import Client
from tests.core import running
from tests.core.drivers import CARRIERS, Scripted
from tests.core.sockets import Server, serving

FAST = RetryPolicy(attempts=5)

Opener = Callable[..., Storage]


def client_of(storage: Any) -> Client:
    return getattr(storage, "_target", storage)._client


def scripted(bucket: Bucket) -> Scripted:
    """The driver behind a bucket."""
    driver = bucket.storage.driver
    assert isinstance(driver, Scripted)
    return driver


def without_waiting(storage: Any) -> list[float]:
    """Let waits pass at once; the list of what they would have been."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    client_of(storage).runtime.sleep = sleep  # type: ignore[method-assign]
    return waits


def open_on(carrier: str, driver: Any, portal: Portal | None, **options: Any) -> Storage:
    """A storage on the face and the kind of I/O that the carrier is for."""
    face, io = CARRIERS[carrier]
    if "supported_io" not in vars(driver) or driver.supported_io != {io}:
        driver.supported_io = frozenset((io,))
    options.setdefault("retry", FAST)
    if face == "blocking":
        storage = storage_core.open_driver(driver, **options)
    else:
        assert portal is not None
        twin = aio.open_driver(driver, **options)
        portal.call(twin.__aenter__)
        storage = as_blocking(twin, portal)
    without_waiting(storage)
    return storage


@pytest.fixture(autouse=True)
def threads_of_others() -> None:
    running.OTHERS.clear()
    running.OTHERS.update(threading.enumerate())


@pytest.fixture(params=CARRIERS)
def carrier(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close()


@pytest.fixture
def opened(carrier: str, request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens drivers on each of the four carriers in turn; the async ones behind blocking names."""
    face, _ = CARRIERS[carrier]
    portal = request.getfixturevalue("portal") if face == "async" else None
    made = []

    def open_one(driver: Any = None, **options: Any) -> Storage:
        made.append(open_on(carrier, driver or Scripted(), portal, **options))
        return made[-1]

    yield open_one
    for storage in made:
        storage.close()


@pytest.fixture
def inline() -> Iterator[Opener]:
    """Opens drivers on the blocking face, without threads and loops."""
    made = []

    def open_one(driver: Any = None, **options: Any) -> Storage:
        made.append(open_on("inline", driver or Scripted(), None, **options))
        return made[-1]

    yield open_one
    for storage in made:
        storage.close()


@pytest.fixture
def bucket(opened: Opener) -> Bucket:
    return opened().create_bucket("fruit")


@pytest.fixture
def no_new_descriptors() -> Iterator[None]:
    """Fail if the test leaves more open files and sockets than it found, without any help
    from the garbage collector."""
    gc.collect()
    gc.disable()
    before = descriptors()
    try:
        yield
        left = descriptors() - before
    finally:
        gc.enable()
    assert left == set()


def descriptors() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        if int(name) <= 2:
            continue  # pytest's to change
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue
    return found


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def close() -> Iterator[list[Any]]:
    made: list[Any] = []
    yield made
    for one in made:
        if hasattr(one, "close"):
            one.close()
