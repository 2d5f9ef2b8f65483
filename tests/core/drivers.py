"""The memory driver behind every way of carrying it, and with a script of things that go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from storage_conformance.memory import MemoryDriver
from storage_conformance.memory_settings import MemorySettings
from storage_conformance.watch import REQUESTS
from storage_core.streams import Body, BytesStream, ObjectStream

# Carrier of `storage_core.runtime`: face, and what the driver can do.
CARRIERS = {
    "inline": ("blocking", "blocking"),
    "loop_thread": ("blocking", "asyncio"),
    "direct": ("async", "asyncio"),
    "threaded": ("async", "blocking"),
}


@dataclass
class Lost:
    """A step of a script: the request is carried out, but its answer is lost."""

    error: Exception


@dataclass
class Before:
    """A step: something happens before the request is carried out."""

    action: Callable[[Any], object]


Step = Exception | Lost | Before | None


class Scripted(MemoryDriver):
    """The memory driver; each call of a method takes the next step of its script, if any.

    Under asyncio every request really suspends. `calls` records method and request.
    """

    def __init__(
        self,
        io: Iterable[str] = ("blocking", "asyncio"),
        *,
        versions: bool = False,
        min_part_size: int = 0,
        settings: MemorySettings | None = None,
        **capabilities: Any,
    ) -> None:
        made = settings or MemorySettings(versions=versions, min_part_size=min_part_size)
        super().__init__(made)
        self.supported_io = frozenset(io)  # type: ignore[arg-type]
        self.capabilities = replace(self.capabilities, **capabilities)
        self.script: dict[str, list[Step]] = {}
        self.calls: list[tuple[str, Any]] = []
        self.opened = 0

    async def open(self, io: Any) -> None:
        self.opened += 1
        await super().open(io)

    async def close(self) -> None:
        self.opened -= 1
        await super().close()

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (tuple(self.supported_io),)

    def names(self) -> list[str]:
        """Methods called so far, in order."""
        return [name for name, _ in self.calls]

    def requests(self, name: str) -> list[Any]:
        return [request for called, request in self.calls if called == name]

    async def _played(self, name: str, request: Any) -> Any:
        self.calls.append((name, request))
        if self.io == "asyncio":
            await asyncio.sleep(0)
        steps = self.script.get(name, [])
        step = steps.pop(0) if steps else None
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Before):
            step.action(request)
        answer = await getattr(MemoryDriver, name)(self, request)
        if isinstance(step, Lost):
            raise step.error
        return answer


def _playing(name: str) -> Any:
    async def method(self: Scripted, request: Any) -> Any:
        return await self._played(name, request)

    method.__name__ = name
    return method


for _name in REQUESTS:
    if _name in vars(MemoryDriver):
        setattr(Scripted, _name, _playing(_name))


class Streamed(Scripted):
    """Objects come in pieces of at most `piece` bytes instead of from memory; `breaks` lists
    what each stream does at some position: an error to raise, or the end."""

    piece = 1000

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.breaks: list[tuple[int, Exception | None]] = []
        self.streams: list[PiecewiseStream] = []

    async def get(self, request: Any) -> ObjectStream:
        found = await self._played("get", request)
        broken = self.breaks.pop(0) if self.breaks else None
        stream = PiecewiseStream(found, self.piece, broken, self.io)
        self.streams.append(stream)
        return stream


class PiecewiseStream(ObjectStream):
    __slots__ = ("_broken", "_inner", "_io", "_piece", "closed", "position")

    def __init__(
        self,
        inner: BytesStream,
        piece: int,
        broken: tuple[int, Exception | None] | None,
        io: str,
    ) -> None:
        super().__init__(inner.start, inner.length, None, inner.checksum)
        self._inner = inner
        self._piece = piece
        self._broken = broken
        self._io = io
        self.position = 0
        self.closed = 0

    @property
    def info(self) -> Any:
        return self._inner.info

    async def read(self, size: int) -> bytes:
        assert not self.closed
        if self._io == "asyncio":
            await asyncio.sleep(0)
        stop = self.position + min(size, self._piece)
        if self._broken is not None:
            at, error = self._broken
            if self.position >= at:
                if error is not None:
                    raise error
                return b""
            stop = min(stop, at)
        assert self._inner.data is not None
        data = self._inner.data[self.position : stop]
        self.position += len(data)
        return data

    async def close(self) -> None:
        self.closed += 1


async def collected(body: Body) -> bytes:
    """All bytes of a body."""
    if body.data is not None:
        return bytes(body.data)
    return b"".join([bytes(piece) async for piece in body])
