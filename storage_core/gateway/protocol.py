"""uvicorn's HTTP/1.1 protocol with two things more: file bodies leave by ``sendfile``, and a
peer can neither make it hold an endless head, nor keep it waiting for one, nor have it guess
what a request means.

The file extension is ASGI's "Zero Copy Send" (``http.response.zerocopysend``, ASGI spec,
Extensions). An application looks for it in ``scope["extensions"]`` and sends ordinary
bodies where it is missing: under another server, or over TLS, where the kernel has no
plain bytes to send.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import termios
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

ZERO_COPY = "http.response.zerocopysend"

STEP = 1024 * 1024
"""Bytes handed to one ``sendfile``: the loop looks at its other work in between."""
READ_AHEAD = 8 * STEP
"""How far before the sent offset the kernel is asked to read from the disk."""

_BAD_REQUEST = b"400 Bad Request"
_TOO_LARGE = b"431 Request Header Fields Too Large"
_NOT_IMPLEMENTED = b"501 Not Implemented"


class GatewayProtocol(HttpToolsProtocol):
    """The protocol of one connection.

    Attributes:
        max_overhead: Bytes of head, chunk framing or trailers a peer may send without any
            progress of its message.
        head_timeout: Seconds for a request's head, from the opening of the connection or
            its first byte.
        stall_timeout: Seconds after which it is looked at what a peer has taken.
        min_rate: Bytes per second it must have taken then.
    """

    max_overhead: int = 64 * 1024
    head_timeout: float = 20.0
    stall_timeout: float = 60.0
    min_rate: int = 500

    _overhead = 0
    _progress = False
    _in_head = True
    _flaw = _BAD_REQUEST
    _deaf = False
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.access_log = False  # whatever logging is set to: it holds whole URLs
        self._sender: FileSender | None = None
        self._watch = StallWatch(transport, self.stall_timeout, self.min_rate, self.loop)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._watch.stop()
        if self._sender is not None:
            self._sender.abort()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch.start()

    def resume_writing(self) -> None:
        self._watch.stop()
        super().resume_writing()

    @property
    def _answering(self) -> bool:
        """Whether a request is being answered: nothing else may be written then, and who takes
        long over the answer is not late with the next request."""
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._progress = False
        self._parse(data)
        if self._progress:
            self._overhead = 0
            return
        self._overhead += len(data)
        if self._overhead > self.max_overhead:
            self._refuse(_TOO_LARGE)
        elif self._in_head and self._head_timer is None and not self._answering:
            self._start_head_timer()

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._parse_again(data[upgrade.args[0] :])
        except HttpParserError:
            self._refuse(self._flaw)

    def _refuse(self, status: bytes) -> None:
        """Take nothing more from this peer: what it sends can not be told apart any more. What
        it asked for before is still answered."""
        if self._deaf:
            return
        self._deaf = True
        if self._answering and self._in_head:
            self.cycle.keep_alive = False
            return
        begun = self.pipeline or (self._answering and self.cycle.response_started)
        if not begun and not self.transport.is_closing():
            head = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head % status)
        self.transport.close()

    def _parse_again(self, rest: bytes) -> None:
        """Ignore an Upgrade header, as RFC 9110 section 7.8 allows. The parser can not: it
        takes what follows for another protocol, so a new one gets the head without it."""
        fields = [(name, value) for name, value in self.headers if name != b"upgrade"]
        if len(fields) == len(self.headers):  # a CONNECT
            self._refuse(_BAD_REQUEST)
            return
        line = b"%b %b HTTP/1.1\r\n" % (self.parser.get_method(), self.url)
        head = line + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"
        self.parser = HttpRequestParser(self)
        self._parse(head + rest)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        if self.scheme == "http":
            self.scope["extensions"] = {ZERO_COPY: {}}

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are allowed (RFC 9110 section 6.5) and of no use here
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._progress = True
        if self.parser.should_upgrade():
            return
        if flaw := self._find_flaw():
            self._flaw = flaw
            raise ValueError(flaw)  # stops the parser; `_parse` answers
        self._in_head = False
        self._stop_head_timer()
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            # The cycle's task starts later and looks its `send` up then.
            self.cycle.send = _Send(self, self.cycle)  # type: ignore[method-assign]

    def _find_flaw(self) -> bytes | None:
        """The status for a head that the parser lets pass and RFC 9112 does not."""
        named = [name for name, _ in self.headers]
        if named.count(b"host") != 1 and self.parser.get_http_version() == "1.1":
            return _BAD_REQUEST  # section 3.2
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
            return _NOT_IMPLEMENTED  # section 6.1: the body would be stored still encoded
        return None

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._progress = True
        self._in_head = True
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.abort()


class _Send:
    """The ``send`` of one request, with the extension."""

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, protocol: GatewayProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle

    async def __call__(self, message: MutableMapping[str, Any] | ASGISendEvent) -> None:
        event: Any = message
        if event["type"] == ZERO_COPY:
            await self._send_file(event)
            event = {"type": "http.response.body", "more_body": event.get("more_body", False)}
        await RequestResponseCycle.send(self._cycle, event)

    async def _send_file(self, message: MutableMapping[str, Any]) -> None:
        cycle, protocol = self._cycle, self._protocol
        if cycle.disconnected:
            return
        offset, count = message["offset"], message["count"]
        if not cycle.response_started or cycle.chunked_encoding:
            raise RuntimeError(f"{ZERO_COPY} needs a response with a Content-Length")
        if count > cycle.expected_content_length:
            raise RuntimeError("Response content longer than Content-Length")
        sender = FileSender(protocol.transport, protocol._watch, message["file"], offset, count)
        protocol._sender = sender
        try:
            await sender.run()
        except ConnectionError:
            # The peer is gone; there is nobody left to tell.
            cycle.disconnected = True
            protocol.transport.abort()
        finally:
            protocol._sender = None
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

    It writes to a duplicate of the transport's descriptor: event loops watch a transport's
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
        self._waiter: asyncio.Future[None] | None = None
        self._aborted = False

    async def run(self) -> None:
        """Send all of it.

        Raises:
            ConnectionError: the peer or the transport is gone.
            OSError: the file is shorter than was said, or can not be read.
        """
        await self._flush()
        socket = os.dup(self._transport.get_extra_info("socket").fileno())
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
                if sent == step:
                    await asyncio.sleep(0)
        finally:
            os.close(socket)

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
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        loop.add_writer(socket, _wake, waiter)
        self._watch.start()
        try:
            await waiter
        finally:
            self._watch.stop()
            loop.remove_writer(socket)
            self._waiter = None


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
