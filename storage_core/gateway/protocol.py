"""uvicorn's HTTP/1.1 protocol with two things more: file bodies leave by ``sendfile``, and a
peer can neither make it hold an endless head, nor keep it waiting for one, nor have it guess
what a request means.
"""

from __future__ import annotations

import asyncio

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from storage_core.gateway.exchange import ZERO_COPY
from storage_core.gateway.sending import FileSender, Sender, StallWatch

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
        watch: Closes the connection when the peer takes nothing.
        file: What sends a file just now.
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
        self.file: FileSender | None = None
        self.watch = StallWatch(transport, self.stall_timeout, self.min_rate, self.loop)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self.watch.stop()
        if self.file is not None:
            self.file.abort()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.watch.start()

    def resume_writing(self) -> None:
        self.watch.stop()
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
            self.cycle.send = Sender(self, self.cycle)  # type: ignore[method-assign]

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
