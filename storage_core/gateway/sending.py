"""How answers leave: heads, bodies in pieces, and files by ``sendfile``.

The file extension is ASGI's "Zero Copy Send" (``http.response.zerocopysend``, ASGI spec,
Extensions). An application looks for it in ``scope["extensions"]`` and sends ordinary
bodies where it is missing: under another server, or over TLS, where the kernel has no
plain bytes to send.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import os
import re
import sys
import termios
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from storage_core.gateway.exchange import ZERO_COPY

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

    from storage_core.gateway.protocol import GatewayProtocol

STEP: Final = 1024 * 1024
"""Bytes handed to one ``sendfile``: the loop looks at its other work in between."""
READ_AHEAD: Final = 8 * STEP
"""How far before the sent offset the kernel is asked to read from the disk."""
JOINED: Final = 64 * 1024
"""Bytes of a body that leave in one write with the head, which copies them."""

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_CONTROLS: Final = bytes((*range(9), *range(10, 32), 127))


@functools.lru_cache(1024)
def _named(name: bytes) -> bytes:
    """The beginning of a field of that name.

    Raises:
        RuntimeError: it can not be the name of one.
    """
    if not _TOKEN.fullmatch(name):
        raise RuntimeError("Invalid HTTP header name.")
    return name.lower() + b": "


class Sender:
    """The ``send`` of one request, instead of uvicorn's own: it knows files, and writes a head
    together with the first bytes of its body, which ASGI wants to be waited for anyway.

    Args:
        protocol: Of the connection.
        cycle: uvicorn's request and answer, whose state it keeps.
    """

    __slots__ = ("_cycle", "_head", "_protocol")

    def __init__(self, protocol: GatewayProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._head = b""

    async def __call__(self, message: MutableMapping[str, Any] | ASGISendEvent) -> None:
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        # Of pipelined requests uvicorn tells only the last that the client is gone.
        if cycle.disconnected or cycle.transport.is_closing():
            return
        event: Any = message
        kind = event["type"]
        if not cycle.response_started and kind == "http.response.start":
            self._head = self._start(event["status"], event.get("headers", ()))
        elif not cycle.response_started or cycle.response_complete:
            raise RuntimeError(f"Unexpected ASGI message {kind!r}.")
        elif kind == "http.response.body":
            self._write(event.get("body", b""), more=event.get("more_body", False))
        elif kind == ZERO_COPY:
            await self._send_file(event["file"], event["offset"], event["count"])
            if not cycle.disconnected:
                self._write(b"", more=event.get("more_body", False))
        else:
            raise RuntimeError(f"Unexpected ASGI message {kind!r}.")

    def _start(self, status: int, headers: Any) -> bytes:
        """The head, once it is found to be one."""
        cycle = self._cycle
        keep_alive, length, chunked, closes = cycle.keep_alive, 0, None, False
        lines = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            named = _named(name)
            if named == b"content-length: " and chunked is None:
                length, chunked = int(value), False
            elif named == b"transfer-encoding: " and value.lower() == b"chunked":
                length, chunked = 0, True
            elif named == b"connection: " and b"close" in value.lower():
                keep_alive, closes = False, True
            lines.append(b"%b%b\r\n" % (named, value))
        if not keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        if chunked is None and cycle.scope["method"] != "HEAD" and status not in {204, 304}:
            chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(lines)
        # No other control characters than those that end the lines.
        if len(head.translate(None, _CONTROLS)) != len(head) - 2 * len(lines):
            raise RuntimeError("Invalid HTTP header value.")
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        cycle.keep_alive = keep_alive
        cycle.expected_content_length = length
        cycle.chunked_encoding = chunked
        return head + b"\r\n"

    def _write(self, body: bytes, *, more: bool) -> None:
        cycle = self._cycle
        if cycle.scope["method"] == "HEAD":
            cycle.expected_content_length = 0
            body = b""
        elif cycle.chunked_encoding:
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
            if not more:
                body += b"0\r\n\r\n"
        elif len(body) > cycle.expected_content_length:
            raise RuntimeError("Response content longer than Content-Length")
        else:
            cycle.expected_content_length -= len(body)
        if not more and cycle.expected_content_length:
            raise RuntimeError("Response content shorter than Content-Length")
        head, self._head = self._head, b""
        if len(body) <= JOINED:
            head, body = head + body, b""
        for data in filter(None, (head, body)):
            cycle.transport.write(data)
        if not more:
            cycle.response_complete = True
            cycle.message_event.set()
            if not cycle.keep_alive:
                cycle.transport.close()
            cycle.on_response()

    async def _send_file(self, fd: int, offset: int, count: int) -> None:
        cycle, protocol = self._cycle, self._protocol
        if cycle.chunked_encoding is not False:
            raise RuntimeError(f"{ZERO_COPY} needs a response with a Content-Length")
        if count > cycle.expected_content_length:
            raise RuntimeError("Response content longer than Content-Length")
        if self._head:
            cycle.transport.write(self._head)
            self._head = b""
        protocol.file = FileSender(cycle.transport, protocol.watch, fd, offset, count)
        try:
            await protocol.file.run()
        except ConnectionError:
            # The peer is gone; there is nobody left to tell.
            cycle.disconnected = True
            cycle.transport.abort()
        finally:
            protocol.file = None
        cycle.expected_content_length -= count


class StallWatch:
    """Closes a connection whose peer hardly takes what waits for it.

    That a socket is not writable says little: it becomes so when a third of its buffer is
    free, which a slow but living peer may need minutes for. The kernel tells how much waits.

    Args:
        transport: The connection.
        seconds: How long to wait before each look.
        min_rate: Bytes per second a peer must take in that time.
        loop: Its loop.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        seconds: float,
        min_rate: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._transport = transport
        self._seconds = seconds
        self._least = seconds * min_rate
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch: from now on nothing more is written until `stop`."""
        self.stop()
        self._timer = self._loop.call_later(self._seconds, self._check, self._waiting())

    def stop(self) -> None:
        """The peer has taken enough."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self, before: int) -> None:
        self._timer = None
        waiting = self._waiting()
        if before - waiting < self._least:
            self._transport.abort()
        else:
            self._timer = self._loop.call_later(self._seconds, self._check, waiting)

    def _waiting(self) -> int:
        """Bytes written that the peer has not acknowledged yet (ioctl SIOCOUTQ, tcp(7))."""
        socket = self._transport.get_extra_info("socket").fileno()
        try:
            answer = fcntl.ioctl(socket, termios.TIOCOUTQ, b"\0" * 4)
        except OSError:
            answer = b"\0" * 4
        return int.from_bytes(answer, sys.byteorder) + self._transport.get_write_buffer_size()


class FileSender:
    """Sends a stretch of a file over a plain TCP or Unix transport by ``os.sendfile``.

    To wait it uses a duplicate of the transport's descriptor: event loops watch a transport's
    own for themselves alone, and the duplicate stays ours when the transport is closed.

    Args:
        transport: Its buffered output is flushed first; nobody may write meanwhile.
        watch: Closes the connection when the peer takes nothing.
        fd: Descriptor of a regular file.
        offset: First byte to send.
        count: Number of bytes.
    """

    def __init__(
        self, transport: asyncio.Transport, watch: StallWatch, fd: int, offset: int, count: int
    ) -> None:
        self._transport = transport
        self._watch = watch
        self._fd = fd
        self._offset = offset
        self._end = offset + count
        self._duplicate = -1
        self._waiter: asyncio.Future[None] | None = None
        self._aborted = False

    async def run(self) -> None:
        """Send all of it.

        Raises:
            ConnectionError: the peer or the transport is gone.
            OSError: the file is shorter than was said, or can not be read.
        """
        if self._transport.get_write_buffer_size():
            await self._flush()
        socket = self._transport.get_extra_info("socket").fileno()
        try:
            ahead = self._offset
            while self._offset < self._end:
                self._check()
                if ahead < min(self._offset + READ_AHEAD, self._end):
                    os.posix_fadvise(self._fd, ahead, READ_AHEAD, os.POSIX_FADV_WILLNEED)
                    ahead += READ_AHEAD
                step = min(STEP, self._end - self._offset)
                try:
                    sent = os.sendfile(socket, self._fd, self._offset, step)
                except BlockingIOError:
                    await self._writable(socket)
                    continue
                if sent == 0:
                    raise OSError("the file ended before the announced number of bytes")
                self._offset += sent
                if sent < step:
                    await self._writable(socket)
                elif self._offset < self._end:
                    await asyncio.sleep(0)
        finally:
            if self._duplicate >= 0:
                os.close(self._duplicate)

    def abort(self) -> None:
        """The connection is gone: stop soon."""
        self._aborted = True
        if self._waiter is not None:
            _wake(self._waiter)

    def _check(self) -> None:
        if self._aborted or self._transport.is_closing():
            raise ConnectionAbortedError("the connection was closed")

    async def _flush(self) -> None:
        """Wait until the head, and whatever else was written before, is with the kernel."""
        transport = self._transport
        low, high = transport.get_write_buffer_limits()
        transport.set_write_buffer_limits(0)
        pause = 0.0  # loops write at the end of their turn; only a slow peer needs more
        try:
            while transport.get_write_buffer_size():
                self._check()
                await asyncio.sleep(pause)
                pause = 0.001
            self._check()
        finally:
            transport.set_write_buffer_limits(high, low)

    async def _writable(self, socket: int) -> None:
        """Wait until the socket takes more."""
        if self._duplicate < 0:
            self._duplicate = os.dup(socket)
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        loop.add_writer(self._duplicate, _wake, waiter)
        self._watch.start()
        try:
            await waiter
        finally:
            self._watch.stop()
            loop.remove_writer(self._duplicate)
            self._waiter = None


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
