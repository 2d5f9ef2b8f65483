from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_core import Bucket, Storage
from storage_local.driver import LocalDriver
from storage_local.layout import Root
from storage_local.settings import LocalSettings
from storage_local.tree import Limits


@pytest.fixture
def dir_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the root is made."""
    return tmp_path / "root"


@pytest.fixture
def put_clock_forward(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Has the store find it so many seconds later."""
    now = time.time_ns

    def forward(seconds: float) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: now() + int(seconds * 1e9))

    return forward


@pytest.fixture
def fruit(place: Path) -> Path:
    """Where the bucket of that name is."""
    return place / "buckets/fruit"


OpenStorage = Callable[..., Storage]


@pytest.fixture
def open_storage(place: Path) -> Iterator[OpenStorage]:
    """Opens the root through the blocking face, closed at the end of the test."""
    opened: list[Storage] = []

    def open_(limits: Limits | None = None, **settings: Any) -> Storage:
        driver = make_driver(place, limits, **settings)
        storage = storage_core.open_driver(driver)
        opened.append(storage)
        return storage

    yield open_
    for storage in opened:
        storage.close()


def make_driver(place: Path, limits: Limits | None = None, **settings: Any) -> LocalDriver:
    driver = LocalDriver(LocalSettings(**{"root": place, "fsync": False, **settings}))
    if limits is not None:
        driver.options = replace(driver.options, limits=limits)
    return driver


@pytest.fixture
def storage(open_storage: OpenStorage) -> Storage:
    return open_storage()


@pytest.fixture
def bucket(storage: Storage) -> Bucket:
    return storage.create_bucket("fruit")


def driver_of(storage: Storage) -> LocalDriver:
    driver = storage.driver
    assert isinstance(driver, LocalDriver)
    return driver


def root_of(storage: Storage) -> Root:
    return driver_of(storage).root


def read_object(bucket: Bucket, key: str) -> bytes:
    """All bytes of an object."""
    with bucket.get(key) as reader:
        return reader.read()


def open_files(place: Path) -> list[str]:
    """What this process has open below a folder: of all else other threads open and close."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(path for path in found if path.startswith(f"{place}/"))


def data_files(place: Path, bucket: str) -> list[str]:
    """Names of the data files of a bucket."""
    return [found.name for found in (place / "buckets" / bucket / "data").glob("*/*")]


def damage_record(bucket: Path, key: str) -> None:
    """Change a few bytes of an object's record on disk."""
    (record,) = bucket.glob(f"objects/leaves/*/{key}!")
    with record.open("r+b") as file:
        file.seek(30)
        file.write(b"\xff\xff")
