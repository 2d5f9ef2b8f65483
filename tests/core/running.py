"""What tests of the runtime have in common: loops, waiting, slow drivers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.core.drivers import Scripted

WAIT = 120
"""Seconds a test waits for what must happen; only a failing one waits that long."""


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    """A fresh loop in debug mode, which complains of all that is left behind."""

    async def watched() -> Any:
        asyncio.get_running_loop().slow_callback_duration = WAIT
        return await main()

    return asyncio.run(watched(), debug=True)


async def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not happened():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def drain(reader: Any, size: int, begun: threading.Event | None = None) -> None:
    if begun is not None:
        begun.set()
    while reader.read(size):
        pass


OTHERS: set[threading.Thread] = set()
"""Threads that were there before the test: those of other tests that still end."""


def begun() -> set[str]:
    """Names of the threads that the test has begun, whoever's they are."""
    return {one.name for one in set(threading.enumerate()) - OTHERS}


def threads() -> set[str]:
    """Names of the library's threads that the test has begun."""
    return {name for name in begun() if name.startswith("storage-core")}


class Slow(Scripted):
    """A get that waits, and an open reader behind it."""

    def __init__(self, io: tuple[str, ...]) -> None:
        super().__init__(io)
        self.begun = threading.Event()
        self.cancelled = threading.Event()
        self.go_on = threading.Event()
        self.stubborn = False
        self.made: list[Any] = []

    async def get(self, request: Any) -> Any:
        self.begun.set()
        if self.io == "blocking":
            assert self.go_on.wait(WAIT)
        else:
            try:
                await until(self.go_on.is_set)
            except asyncio.CancelledError:
                self.cancelled.set()
                if not self.stubborn:
                    raise
        stream = await super().get(request)
        self.made.append(Watched(stream))
        return self.made[-1]


class Watched:
    """A stream that tells whether it was closed."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.closed = False
        self.data = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    async def close(self) -> None:
        self.closed = True
