"""What many cases do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from storage_core import Bucket, StorageError
from storage_core.model import Capabilities, ObjectSummary, Prefix

T = TypeVar("T")

SECONDS = 240
"""Time that calls at the same moment may take."""


def read(bucket: Bucket, key: str, *, version: str | None = None) -> bytes:
    """Bytes of a whole object."""
    with bucket.get(key, version=version) as reader:
        return reader.read()


def keys_of(items: Iterable[ObjectSummary | Prefix]) -> list[str]:
    """Keys of a listing, as listed."""
    return [item.key for item in items]


def in_order(keys: Iterable[str]) -> list[str]:
    """Keys ascending by their UTF-8 bytes."""
    return sorted(keys, key=str.encode)


def listed(bucket: Bucket, capabilities: Capabilities, prefix: str = "") -> list[str]:
    """Keys under a prefix: as listed where the order is promised, else put in order."""
    keys = keys_of(bucket.list(prefix))
    return keys if capabilities.ordered_listing else in_order(keys)


def part_bytes(capabilities: Capabilities, mark: str) -> bytes:
    """A part of the smallest size allowed, its content told by ``mark``."""
    size = capabilities.min_part_size or 1024
    return (mark.encode() * size)[:size]


def together(*functions: Callable[[], T]) -> list[T | StorageError]:
    """Call all at the same moment, each in a thread of its own.

    Returns:
        Result of each, or its `StorageError`; any other exception is raised.
    """
    barrier = threading.Barrier(len(functions))
    outcomes: list[T | StorageError | None] = [None] * len(functions)
    bugs: list[BaseException] = []

    def run(index: int, function: Callable[[], T]) -> None:
        try:
            barrier.wait(SECONDS)
            outcomes[index] = function()
        except StorageError as error:
            outcomes[index] = error
        except BaseException as error:  # noqa: BLE001 - raised below, in the case's thread
            bugs.append(error)

    threads = [
        threading.Thread(target=run, args=(index, function), daemon=True)
        for index, function in enumerate(functions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    if bugs:
        raise bugs[0]
    assert not any(thread.is_alive() for thread in threads), f"a call did not end in {SECONDS} s"
    return outcomes  # type: ignore[return-value]
