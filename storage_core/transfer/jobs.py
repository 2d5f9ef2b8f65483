"""Many jobs, some at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from storage_core.runtime.team import Team
from storage_core.transfer.gate import Gate

T = TypeVar("T")


async def each(
    team: Team,
    items: AsyncIterator[T],
    work: Callable[[T], Coroutine[Any, Any, None]],
    width: int,
    gate: Gate | None = None,
    few: int | None = None,
) -> None:
    """Do ``work`` for all items, up to ``width`` at a time, as many as ``gate`` lets,
    and ``few`` at first (see `Team.together`).

    Items are asked for one after the other, never ahead of a worker that is free. The first
    failure stops all the others and is raised.
    """
    lock = team.lock()

    async def worker() -> None:
        while True:
            team.checkpoint()
            entered = None if gate is None else await gate.enter()
            try:
                async with lock:
                    try:
                        item = await anext(items)
                    except StopAsyncIteration:
                        return
                await work(item)
            finally:
                if gate is not None and entered is not None:
                    gate.leave(entered)

    await team.together([worker() for _ in range(max(1, width))], few)
