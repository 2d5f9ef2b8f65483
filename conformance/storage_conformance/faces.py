"""The async face behind blocking names, so that one text of a case drives both faces."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, cast

from storage_core import Bucket, Storage, aio

FACES = ("blocking", "async")


class Portal:
    """A thread with an event loop, where the async objects of a storage live."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="conformance-loop", daemon=True
        )
        self._thread.start()

    def run(self, awaitable: Awaitable[Any], meanwhile: Callable[[], object] | None = None) -> Any:
        """Result of an awaitable. `meanwhile` is called while it runs; its return asks for
        cancellation."""

        async def wait() -> Any:
            return await awaitable

        future = asyncio.run_coroutine_threadsafe(wait(), self._loop)
        if meanwhile is not None:
            meanwhile()
            future.cancel()
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Result of a function called in the loop's thread, awaited if it is awaitable."""

        async def work() -> Any:
            found = function(*arguments, **named)
            return await found if inspect.isawaitable(found) else found

        return self.run(work())

    def close(self) -> None:
        """Stop the loop; its thread ends."""

        async def settle() -> None:
            await self._loop.shutdown_asyncgens()
            await self._loop.shutdown_default_executor()

        self.run(settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


_BODY_METHODS = frozenset(("put", "put_part"))


class Blocking:
    """An object of the async face whose methods wait for their results."""

    def __init__(self, target: Any, portal: Portal) -> None:
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_portal", portal)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found) or isinstance(found, type):
            return self._wrap(found)

        def call(*arguments: Any, **named: Any) -> Any:
            given = [_unwrap(argument) for argument in arguments]
            if name in _BODY_METHODS and len(given) > 1:
                given[1] = _async_body(given[1])
            answer = self._portal.call(
                found, *given, **{key: _unwrap(value) for key, value in named.items()}
            )
            return self._wrap(answer)

        return call

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._target, name, value)

    def _wrap(self, value: Any) -> Any:
        if hasattr(value, "__aiter__") or type(value).__module__.startswith(aio.__name__):
            return Blocking(value, self._portal)
        return value

    def __enter__(self) -> Any:
        return self._wrap(self._portal.call(self._target.__aenter__))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Any:
        return self._portal.call(self._target.__aexit__, kind, error, trace)

    def __iter__(self) -> Iterator[Any]:
        if hasattr(self._target, "__anext__"):
            return self
        return iter(Blocking(self._portal.call(self._target.__aiter__), self._portal))

    def __next__(self) -> Any:
        try:
            return self._wrap(self._portal.call(self._target.__anext__))
        except StopAsyncIteration:
            raise StopIteration from None

    def __eq__(self, other: object) -> bool:
        return bool(self._target == _unwrap(other))

    def __hash__(self) -> int:
        return hash(self._target)

    def __repr__(self) -> str:
        return repr(self._target)


def _unwrap(value: Any) -> Any:
    return value._target if isinstance(value, Blocking) else value


def _async_body(data: Any) -> Any:
    """A generator as an async one: what callers of the async face pass."""
    if not isinstance(data, Iterator) or hasattr(data, "read"):
        return data
    return _pieces(data)


async def _pieces(source: Iterable[Any]) -> AsyncIterator[Any]:
    for piece in source:
        yield piece


def as_blocking(storage: aio.AsyncStorage, portal: Portal) -> Storage:
    """An async storage that cases can use like a blocking one."""
    return cast("Storage", Blocking(storage, portal))


class Interrupted(BaseException):
    """What ends a call on the blocking face, as a signal or Ctrl-C would."""


def interrupted_put(bucket: Bucket, key: str, pieces: Iterable[bytes]) -> None:
    """Begin to put ``pieces``, and break off before the body ends: by an exception from
    outside on the blocking face, by cancelling the task on the async one."""
    if not isinstance(bucket, Blocking):

        def broken() -> Iterator[bytes]:
            yield from pieces
            raise Interrupted

        try:
            bucket.put(key, broken())
        except Interrupted:
            return
        raise AssertionError("put went on after its body was interrupted")

    reached = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        reached.set()
        await asyncio.Event().wait()

    try:
        bucket._portal.run(bucket._target.put(key, endless()), lambda: reached.wait(60))
    except concurrent.futures.CancelledError:
        return
    raise AssertionError("put went on after it was cancelled")
