"""Requests in aiohttp's hands: a look at the connection before one is sent, and its body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableSet
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter  # noqa: TC002 - see `aiohttp`
from aiohttp.client_reqrep import ClientRequest, ClientResponse
from aiohttp.connector import Connection  # noqa: TC002

from storage_core.errors import OperationTimeoutError
from storage_core.http import limits
from storage_core.http.interface import Content
from storage_core.http.transport import MEMORY
from storage_core.http.upload import PIECE, held_back
from storage_core.model import Buffer

TURNS = 10
"""Turns of the loop that the task of a body gets to come to its end."""


class StaleError(Exception):
    """The connection out of the pool is not to be used; nothing was sent on it."""


class AgainError(Exception):
    """The service had closed the kept connection: to be sent again on a new one."""


class Attempt:
    """One try to send a request: what is to be known where aiohttp has it in its hands.

    Args:
        used: Connections that were used before; this one is added.
        fresh: Only a new connection will do.
        sized: The request tells the length of its body.
        read_timeout: Seconds.

    Attributes:
        closes: The request asks to close the connection.
        kept: It went out over a connection that was used before.
        sent: Some of it may have gone out.
        waited: ``100 Continue`` was waited for in vain.
        limit: When the head of the answer is due.
    """

    def __init__(
        self, used: MutableSet[Any], read_timeout: float, *, fresh: bool, sized: bool
    ) -> None:
        self.used = used
        self.read_timeout = read_timeout
        self.fresh = fresh
        self.sized = sized
        self.closes = False
        self.kept = self.sent = self.waited = False
        self.limit = asyncio.timeout(None)
        self._consent: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def on(self, transport: asyncio.Transport | None) -> None:
        """The connection it goes out over."""
        self.sent = True
        self._transport = transport

    def cut(self) -> None:
        """Close the connection now: aiohttp would wait until the service has taken what was
        written, and has said farewell over TLS."""
        if self._transport is not None:
            with suppress(AttributeError):  # raised by asyncio if it is closed already
                self._transport.abort()

    def ask(self, consent: asyncio.Future[bool]) -> None:
        """Wait for ``100 Continue``, and not for ever (RFC 9110 section 10.1.1)."""
        loop = asyncio.get_running_loop()
        self._consent = loop.call_later(limits.EXPECT_WAIT, self._go_on, consent)

    def _go_on(self, consent: asyncio.Future[bool]) -> None:
        if not consent.done():
            self.waited = True
            consent.set_result(True)

    def is_out(self) -> None:
        """All of the request went out: the head of the answer is due."""
        when = asyncio.get_running_loop().time() + self.read_timeout
        with suppress(RuntimeError):  # it came already
            self.limit.reschedule(when)

    def ended(self) -> None:
        """The head of the answer came, or it failed."""
        if self._consent is not None:
            self._consent.cancel()


attempt_of: ContextVar[Attempt] = ContextVar("attempt_of")
"""The attempt that the current task makes."""


class CheckedRequest(ClientRequest):
    """A request that looks at its connection before it uses it."""

    async def send(self, conn: Connection) -> ClientResponse:
        attempt = attempt_of.get()
        protocol = conn.protocol
        # The pool asks for nothing but whether the connection is open; an answer that came
        # without a request would be taken for the one to this.
        if protocol is None or conn.closed or protocol.should_close:
            raise StaleError
        attempt.kept = protocol in attempt.used
        if attempt.kept and attempt.fresh:
            raise StaleError
        attempt.used.add(protocol)
        if not attempt.sized:
            self.headers.pop("Content-Length", None)
        if attempt.closes:
            protocol.force_close()
        attempt.on(conn.transport)
        answer = await super().send(conn)
        if self._continue is not None:
            attempt.ask(self._continue)
        if self._body is None:
            attempt.is_out()
        return answer


class Upload(aiohttp.Payload):
    """A body on its way, in a task of aiohttp's.

    Attributes:
        begun: Something of it was asked for.
        given: Bytes handed over so far.
        done: All of it was handed over.
        failure: What the body raised, or that the service took nothing of it in time.
    """

    def __init__(self, body: Buffer | Content, size: int | None, attempt: Attempt) -> None:
        super().__init__(None, content_type="application/octet-stream")
        self._size = size
        self._attempt = attempt
        self._body = body
        self._task: asyncio.Task[Any] | None = None
        self._ended = asyncio.Event()
        self._stopped = False
        self.given = 0
        self.done = False
        self.failure: Exception | None = None

    @property
    def begun(self) -> bool:
        return self._task is not None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise NotImplementedError  # wanted for logging of other payloads

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._task = task = asyncio.current_task()
        source = self._source()
        try:
            await self._write(writer, source)
            self.done = True
            self._attempt.is_out()
        except asyncio.CancelledError:
            if not self._stopped or task is None:
                raise
            task.uncancel()
        finally:
            if (aclose := getattr(source, "aclose", None)) is not None:
                await aclose()
            self._ended.set()
        if self._stopped and not self.done:
            # To return would end the body as if it were whole. aiohttp cancels this task, and
            # closes the connection, when the answer was read.
            await asyncio.Event().wait()

    def _source(self) -> AsyncIterator[Buffer]:
        if isinstance(self._body, MEMORY):
            return _one(self._body)
        return aiter(self._body) if self._size is None else held_back(self._body)

    async def _write(self, writer: AbstractStreamWriter, source: AsyncIterator[Buffer]) -> None:
        while True:
            try:
                piece = await anext(source)
            except StopAsyncIteration:
                return
            except Exception as error:
                self.failure = error
                raise
            view = memoryview(piece)
            for start in range(0, len(view), PIECE):
                # A copy: the piece may change once the next is asked for, and a transport
                # keeps what it was given until it went out.
                part = piece if isinstance(piece, bytes) and len(piece) <= PIECE else None
                if self.given:
                    await asyncio.sleep(0)  # so that an answer is seen while all goes out at once
                self.given += min(PIECE, len(view) - start)
                await self._put(writer, part or bytes(view[start : start + PIECE]))

    async def _put(self, writer: AbstractStreamWriter, part: bytes) -> None:
        seconds = self._attempt.read_timeout
        try:
            async with asyncio.timeout(seconds):
                await writer.write(part)
        except TimeoutError:
            self.failure = OperationTimeoutError(
                f"the service took nothing of the body for {seconds:g} s"
            )
            raise

    async def stop(self) -> bool:
        """Send no more of it, as its answer came; return when nobody reads it any more.

        Returns:
            Whether it was in the middle.
        """
        # The answer to all of it may be there before its task has seen that all went out.
        for _ in range(TURNS):
            if self.done or (self._size is not None and self.given < self._size):
                break
            await asyncio.sleep(0)
        if self.done:
            return False
        self._stopped = True
        await self.abort()
        return True

    async def abort(self) -> None:
        """The same after a failure: the connection is given up."""
        if self._task is not None and not self._ended.is_set():
            self._task.cancel()
            await self._ended.wait()


async def _one(data: Buffer) -> AsyncIterator[Buffer]:
    yield data
