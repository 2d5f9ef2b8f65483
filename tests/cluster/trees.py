"""Trees of objects, and what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage_core import Bucket, TransferOptions
from storage_core.cluster import sync
from storage_core.cluster.engine import Engine


def fill(bucket: Bucket, count: int, size: int = 100, prefix: str = "") -> dict[str, bytes]:
    """Put so many objects under a prefix, each different, in several groups."""
    made = {
        f"{number % 7}/{number:05}.bin": f"{number:05}".encode().ljust(size, b".")
        for number in range(count)
    }
    for key, data in made.items():
        bucket.put(prefix + key, data)
    return made


def content(bucket: Bucket, prefix: str = "") -> dict[str, bytes]:
    """Keys below a prefix and their bytes."""
    return {
        item.key.removeprefix(prefix): bucket.get(item.key).read()
        for item in bucket.list(prefix=prefix)
        if not item.is_prefix
    }


def files(folder: Path) -> dict[str, bytes]:
    """Files of a folder and their bytes, without those that are not complete."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".storage-part")
    }


def call_off(source: Bucket, target: Bucket, engine: Engine, bandwidth: int) -> None:
    """Interrupt a sync at the first object that is done, while others are slow to be."""

    def interrupt(outcome: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sync(
            source.tree(),
            target.tree(),
            engine=engine,
            options=TransferOptions(bandwidth=bandwidth),
            on_outcome=interrupt,
        )
