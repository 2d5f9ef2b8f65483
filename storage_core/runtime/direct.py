"""`Direct`: the async face over a driver that knows asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from storage_core.runtime import AsyncRuntime
from storage_core.runtime.tasks import interrupted_after

if TYPE_CHECKING:
    from storage_core.driver import IO

T = TypeVar("T")
P = ParamSpec("P")


class Direct(AsyncRuntime):
    """The caller's own loop."""

    io: IO = "asyncio"

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        return coroutine  # as it is: another one around it would only cost time

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def within(self, seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
        return await interrupted_after(seconds, work)

    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(function, *args, **kwargs)

    async def pull(self, iterator: AsyncIterator[T], seconds: float | None = None) -> T:
        if seconds is None:
            return await anext(iterator)
        return await interrupted_after(seconds, _item(iterator))


async def _item(iterator: AsyncIterator[T]) -> T:
    return await anext(iterator)
