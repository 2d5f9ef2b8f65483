"""Watching what reaches a driver: proof that a refusal came before any request."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from storage_core import Storage
from storage_core.driver import Driver

REQUESTS = tuple(
    name
    for name, member in vars(Driver).items()
    if inspect.iscoroutinefunction(member) and name not in {"open", "close"}
)
"""Names of the methods that send something."""


@contextmanager
def requests(storage: Storage) -> Iterator[list[str]]:
    """Names of the driver's methods called inside the block, in order."""
    driver = storage.driver
    seen: list[str] = []

    def watched(name: str) -> Callable[..., Any]:
        method = getattr(driver, name)

        def call(*arguments: Any) -> Any:
            seen.append(name)
            return method(*arguments)

        return call

    for name in REQUESTS:
        setattr(driver, name, watched(name))
    try:
        yield seen
    finally:
        for name in REQUESTS:
            delattr(driver, name)


@contextmanager
def no_requests(storage: Storage) -> Iterator[None]:
    """Fail if anything is sent inside the block."""
    with requests(storage) as seen:
        yield
    assert not seen, f"refused only after a request was sent: {', '.join(seen)}"
