"""What clients of the benchmarks have in common: two kinds, the keys, and their tasks.

A peer has a method for each task it takes part in; `benchmarks/_peer.py` runs them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from benchmarks._content import content

T = TypeVar("T")

BUCKET = "bench"
REGION = "us-east-1"
ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "secret"
KEYS = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
BODY = content(1024)
PIECE = 1024 * 1024
PART = 8 * PIECE
WIDTH = 64
"""Small objects at a time, where a peer leaves it to its user."""
SMALL = frozenset({"get", "put", "head"})
TREE_MTIME = 1_600_000_000
"""When files of a tree were last changed; the service has them from later."""


def key(number: int) -> str:
    """Of a small object."""
    return f"bench/object-{number:08}-1024"


def big(size: int) -> str:
    """Key of a large object."""
    return f"big-{size}"


def tree_files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Names below the folder and what the file system knows of them, in no order."""
    stack = [(str(folder), "")]
    while stack:
        path, name = stack.pop()
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append((entry.path, f"{name}{entry.name}/"))
                else:
                    yield name + entry.name, entry.stat()


def batches(count: int) -> Iterator[list[dict[str, str]]]:
    """Keys to be deleted, as the AWS SDKs want them."""
    numbers = iter(range(count))
    while batch := [{"Key": key(number)} for number in itertools.islice(numbers, 1000)]:
        yield batch


class Peer:
    """A client with all its connections.

    Large objects are moved by ``down(path, size)`` and ``up(path, size)``; trees by
    ``tree_up(folder, prefix)``, ``tree_down(folder, prefix)`` and, where there is nothing left to
    do, ``tree_same(folder, prefix)``: the folder stands for the whole tree, and the prefix tells
    what of it to take, such as ``t0/`` or, for all of it, nothing.
    """

    children = False
    """Whether the work is done by programs that it starts."""
    helpers = False
    """Whether processes that it keeps have a part in the work."""

    def close(self) -> None: ...

    def prepare(self, job: dict[str, Any]) -> None:
        """Make ready for a job; does not count."""

    def run(self, task: str, count: int, width: int) -> None:
        """Do a task on small objects, or on keys."""
        raise NotImplementedError


class Blocking(Peer):
    """A client whose calls block; many at a time run in threads."""

    def keys(self) -> Iterator[int]:
        """Numbers of keys, page by page."""
        raise NotImplementedError

    def run(self, task: str, count: int, width: int) -> None:
        if task == "list":
            self._list(count)
        elif task not in SMALL:
            getattr(self, task)(count)
        else:
            call: Callable[[int], None] = getattr(self, task)
            share = count // width

            def some(first: int) -> None:
                for number in range(first * share, (first + 1) * share):
                    call(number)

            if width == 1:
                some(0)
                return
            threads = [threading.Thread(target=some, args=(n,)) for n in range(width)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _list(self, count: int) -> None:
        seen = 0
        for found in self.keys():
            seen += found
            if seen >= count:
                return
        raise SystemExit(f"{seen} keys were listed, {count} were wanted")


class Async(Peer):
    """A client of coroutines, on uvloop."""

    def __init__(self) -> None:
        import uvloop

        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.runner.run(self.open())

    async def open(self) -> None: ...
    async def shut(self) -> None: ...

    def close(self) -> None:
        self.runner.run(self.shut())
        self.runner.close()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it on the loop."""
        return self.runner.run(coroutine)

    def run(self, task: str, count: int, width: int) -> None:
        call = getattr(self, "keys" if task == "list" else task)
        self.wait(self._many(call, count, width) if task in SMALL else call(count))

    async def _many(self, call: Callable[[int], Awaitable[None]], count: int, width: int) -> None:
        async def some(first: int, share: int) -> None:
            for number in range(first * share, (first + 1) * share):
                await call(number)

        async with asyncio.TaskGroup() as group:
            for n in range(width):
                group.create_task(some(n, count // width))


async def side_by_side(
    items: Iterator[T], call: Callable[[T], Awaitable[object]], width: int
) -> None:
    """Work on items of one iterator, ``width`` at a time."""

    async def work() -> None:
        for item in items:
            await call(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(work())
