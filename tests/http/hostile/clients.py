"""The transports under test, each driven as its face would drive it."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from storage_core.errors import OperationTimeoutError
from storage_core.http import HttpSettings, Origin, Request, Response, Transport, open_transport
from storage_core.model import Buffer
from storage_core.runtime import drive
from tests.http.hostile.server import Server
from tests.waiting import PATIENCE

T = TypeVar("T")

QUICK = HttpSettings(
    connect_timeout=PATIENCE, read_timeout=PATIENCE, max_connections=4, trust_env=False
)
"""Settings of tests that are not about time. Their timeouts pass in failing tests alone."""

HASTY = replace(QUICK, read_timeout=0.3)
"""Settings of tests in which a timeout has to pass. What has to succeed under them is tried
`patiently`, as a busy machine may be later than that."""


class Interrupted(BaseException):
    """What a signal handler raises in the middle of a blocking call, like Ctrl-C."""


@dataclass(frozen=True)
class Kind:
    """One way to run one transport."""

    name: str
    io: Literal["blocking", "asyncio"]
    transport: Literal["lean", "library"]
    uvloop: bool = False

    @property
    def library(self) -> str | None:
        """Name of the library that carries the bytes, None where that is our own code."""
        if self.transport == "lean":
            return None
        return "urllib3" if self.io == "blocking" else "aiohttp"


KINDS = (
    Kind("lean-blocking", "blocking", "lean"),
    Kind("lean-asyncio", "asyncio", "lean"),
    Kind("lean-uvloop", "asyncio", "lean", uvloop=True),
    Kind("urllib3", "blocking", "library"),
    Kind("aiohttp", "asyncio", "library"),
    Kind("aiohttp-uvloop", "asyncio", "library", uvloop=True),
)


class Pieces:
    """A body that comes piece by piece.

    Args:
        pieces: What to send.
        size: As announced; None sends it chunked, by default it is counted.
        error: What is raised after the last piece.
        before: Called before each piece with its number, so that a test can wait.
    """

    def __init__(
        self,
        *pieces: Buffer,
        size: int | None = -1,
        error: BaseException | None = None,
        before: Callable[[int], Awaitable[object]] | None = None,
    ) -> None:
        self._pieces = pieces
        self.size = sum(map(len, pieces)) if size == -1 else size
        self._error = error
        self._before = before
        self.begun = False
        self.given = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        self.begun = True
        try:
            for number, piece in enumerate(self._pieces):
                if self._before is not None:
                    await self._before(number)
                self.given += 1
                yield piece
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


@dataclass
class Client:
    """Runs a test's coroutine with a transport of one kind."""

    kind: Kind
    failures: list[dict[str, Any]] = field(default_factory=list)

    def run(
        self,
        main: Callable[[Transport], Coroutine[Any, Any, Any]],
        settings: HttpSettings = QUICK,
    ) -> Any:
        """Run ``main`` on a fresh transport (and a fresh loop), which is closed afterwards."""

        async def opened() -> Any:
            async with self.opened(settings) as transport:
                return await main(transport)

        if self.kind.io == "blocking":
            return drive(opened())
        factory = None
        if self.kind.uvloop:
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory, debug=True) as runner:
            runner.get_loop().set_exception_handler(lambda _, seen: self.failures.append(seen))
            runner.get_loop().slow_callback_duration = PATIENCE
            found = runner.run(opened())
        assert not self.failures, self.failures
        return found

    @asynccontextmanager
    async def opened(self, settings: HttpSettings) -> AsyncIterator[Transport]:
        transport = await open_transport(
            self.kind.io, replace(settings, transport=self.kind.transport)
        )
        try:
            yield transport
        finally:
            await transport.close()
            await transport.close()  # may be called twice

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait for something that must happen soon."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, "it did not happen"
            if self.kind.io == "blocking":
                time.sleep(0.001)  # noqa: ASYNC251 - driven without a loop
            else:
                await asyncio.sleep(0.001)

    async def pause(self, seconds: float) -> None:
        """Let time pass: of the caller, not of the service."""
        if self.kind.io == "blocking":
            time.sleep(seconds)  # noqa: ASYNC251
        else:
            await asyncio.sleep(seconds)

    async def together(self, *works: Coroutine[Any, Any, Any]) -> list[Any]:
        """Do all at the same time, in threads or tasks."""
        if self.kind.io == "asyncio":
            return await asyncio.gather(*works)
        with ThreadPoolExecutor(len(works)) as threads:
            return list(threads.map(drive, works))

    async def settle(self) -> None:
        """Let what has reached this machine reach the transport."""
        if self.kind.io == "asyncio":
            for _ in range(20):
                await asyncio.sleep(0.001)

    async def interrupted(self, work: Coroutine[Any, Any, Any], when: threading.Event) -> None:
        """Do ``work`` and break it off once ``when`` is set: by cancelling its task, or by a
        signal whose handler raises. It must end by that and by nothing else."""
        if self.kind.io == "asyncio":
            task = asyncio.create_task(work)
            await self.until(lambda: when.is_set() or task.done())
            assert not task.done(), "the work ended before it was cancelled"
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), task
            return
        raised = threading.Event()

        def handler(*_: object) -> None:
            if not raised.is_set():
                raised.set()
                raise Interrupted

        def interrupt() -> None:
            when.wait(PATIENCE)
            while not raised.wait(0.02):  # a signal that comes between two calls may be lost
                signal.pthread_kill(main, signal.SIGUSR1)

        main = threading.get_ident()
        before = signal.signal(signal.SIGUSR1, handler)
        thread = threading.Thread(target=interrupt, name="interrupt", daemon=True)
        thread.start()
        try:
            await work
        except Interrupted:
            return
        finally:
            raised.set()
            thread.join()
            signal.signal(signal.SIGUSR1, before)
        raise AssertionError("the work ended before it was interrupted")


def request(
    server: Server,
    method: str = "GET",
    target: str = "/bucket/key",
    headers: Mapping[str, str] | None = None,
    body: Any = None,
) -> Request:
    """A request to the server."""
    origin = Origin.of(f"{server.scheme}://localhost:{server.port}")
    return Request(method, origin._replace(host="127.0.0.1"), target, headers or {}, body)


async def whole(response: Response, size: int = 65536) -> bytes:
    """The body, read piece by piece."""
    found = b""
    while piece := await response.read(size):
        assert len(piece) <= size
        found += piece
    assert await response.read(size) == b""  # the end stays the end
    return found


async def fetch(transport: Transport, asked: Request) -> tuple[int, bytes]:
    """Status and body of the answer to a request."""
    response = await transport.send(asked)
    return response.status, await response.body(1 << 24)


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """The result of an attempt under timeouts so short that a busy machine may miss them:
    another one follows then. What times out by itself does so every time, and fails."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return await attempt()
        except OperationTimeoutError:
            if time.monotonic() >= until:
                raise


async def fetch_patiently(transport: Transport, asked: Request) -> tuple[int, bytes]:
    """`fetch` by a transport with short timeouts; each attempt may need a new connection."""
    return await patiently(lambda: fetch(transport, asked))
