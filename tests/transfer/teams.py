"""Runs a coroutine with a team of either face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from storage_core.runtime import drive
from storage_core.runtime.task_team import TaskTeam
from storage_core.runtime.team import Team, ThreadTeam

T = TypeVar("T")

KINDS = ("threads", "tasks")


def run(kind: str, main: Callable[[Team], Coroutine[Any, Any, T]]) -> T:
    """The result of ``main`` with a team of a kind."""
    if kind == "threads":
        return drive(main(ThreadTeam()))

    async def tasks() -> T:
        return await main(TaskTeam())

    return asyncio.run(tasks(), debug=True)


async def stream(items: Iterable[T]) -> AsyncIterator[T]:
    """Items as an async iterator."""
    for item in items:
        yield item
