"""`LeanTransport`: what the blocking and the asyncio transport have in common, which is all
but waiting."""

from __future__ import annotations

import os
import ssl
import weakref
from abc import abstractmethod
from typing import Any, Generic, TypeVar

from storage_core.errors import ClosedError
from storage_core.http.failures import broken
from storage_core.http.head import Head, encode_head, plain_request
from storage_core.http.interface import Content, Origin, Request, Response, Transport
from storage_core.http.limits import HEAD
from storage_core.http.parser import MalformedError
from storage_core.http.pool import Pool
from storage_core.http.proxy import Proxies, Proxy
from storage_core.http.response import MemoryResponse, WireResponse
from storage_core.http.settings import HttpSettings
from storage_core.http.tls import tls_context
from storage_core.http.upload import SMALL, push, send_content, send_head, send_memory
from storage_core.http.wire import BrokenError, Wire
from storage_core.model import Buffer

W = TypeVar("W", bound=Wire)


MEMORY = (bytes, bytearray, memoryview)
_ABOUT_HTTP = frozenset({407, 417})
REPEATABLE = frozenset({"GET", "HEAD"})
"""Methods that are sent again when a kept connection turns out to be closed."""


class Station(Generic[W]):
    """All about one origin.

    Attributes:
        name: Host and port, for messages.
        proxy: What to connect to instead, if anything.
        tls: For https.
        prefix: Goes before the target in the request line.
        extra: More header lines for plain requests through a proxy.
        expect_from: As the setting; 0 once the service left us without an answer.
        plain: Bytes of a body in memory up to which a request is like most.
    """

    __slots__ = (
        "expect_from",
        "extra",
        "name",
        "origin",
        "plain",
        "pool",
        "prefix",
        "proxy",
        "tls",
    )

    def __init__(
        self,
        origin: Origin,
        pool: Pool[W],
        proxy: Proxy | None,
        tls: ssl.SSLContext | None,
        expect_from: int,
    ) -> None:
        self.origin = origin
        self.pool = pool
        self.proxy = proxy
        self.tls = tls
        self.expect_from = expect_from
        self.prefix = self.extra = ""
        self.name = pool.name
        self.plain = min(SMALL, expect_from - 1) if expect_from > 0 else SMALL
        if proxy is not None and tls is None:
            self.prefix = origin.url
            if proxy.authorization is not None:
                self.extra = f"Proxy-Authorization: {proxy.authorization}\r\n"
                self.plain = -1


class LeanTransport(Transport, Generic[W]):
    """A thin HTTP/1.1 over sockets and llhttp.

    Args:
        settings: Of the profile.

    Raises:
        ConfigError: a certificate can not be read, or a proxy is none.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._proxies = Proxies(settings)
        if settings.ca_file or settings.client_cert or settings.client_key:
            tls_context(settings)  # complains now; the system's certificates load when needed
        self._stations: dict[Origin, Station[W]] = {}
        self._closed = False
        # Without a close, connections are closed when nobody uses the transport any more, or
        # at the end of the interpreter.
        weakref.finalize(self, _close_all, self._stations)
        _transports.add(self)

    @abstractmethod
    def _pool(self, name: str) -> Pool[W]:
        """A pool for one origin."""

    @abstractmethod
    async def _connect(self, station: Station[W]) -> W:
        """A new connection.

        Raises:
            StorageError: there is none; it tells that nothing was sent.
        """

    def _station(self, origin: Origin) -> Station[W]:
        if self._closed:
            raise ClosedError("the storage is closed")
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        station = Station(
            origin,
            self._pool(f"{host}:{origin.port}"),
            self._proxies.find(origin),
            tls_context(self._settings) if origin.scheme == "https" else None,
            self._settings.expect_continue,
        )
        station = self._stations.setdefault(origin, station)
        if self._closed:  # by another thread, which may not have seen this one
            _close_all(self._stations)
            raise ClosedError("the storage is closed")
        return station

    async def send(self, request: Request) -> Response:
        station = self._stations.get(request.origin) or self._station(request.origin)
        data, body, head = _outgoing(station, request)
        pool = station.pool
        wire = pool.pop() or await pool.acquire()
        kept = wire is not None
        while True:
            if wire is None:
                wire = await self._made(station)
            parser = wire.parser
            parser.begin(request.method == "HEAD")
            sent = -1
            try:
                sent = wire.send_some(data)
                if body is not None or sent < len(data):
                    await _upload(station, wire, memoryview(data)[sent:], body, head)
                while not parser.head:
                    got = wire.take(HEAD)
                    if got is None:
                        got = await wire.recv(HEAD)
                    if not got:
                        raise BrokenError from ConnectionResetError("closed without an answer")
                    parser.feed(got)
                if head is not None and head.closes:
                    parser.keep = False
                answer = self._answer(station, wire)
                break
            except BrokenError as error:
                if not kept or (sent >= 0 and not _repeatable(request, wire)):
                    pool.discard(wire)
                    raise broken(station.name, error.__cause__ or error, unsent=sent < 0) from None
                pool.renew(wire)
                wire, kept = None, False
            except MalformedError as error:
                pool.discard(wire)
                raise broken(station.name, error) from None
            except BaseException:
                pool.discard(wire)
                raise
        if answer.status in _ABOUT_HTTP:
            return await self._after(station, request, answer, head)
        return answer

    async def _after(
        self, station: Station[W], request: Request, answer: Response, head: Head | None
    ) -> Response:
        """What becomes of an answer that is about HTTP itself."""
        if answer.status == 407 and station.proxy is not None:
            await answer.close()
            station.proxy.check_tunnel(station.origin, 407)
        if answer.status == 417 and head is not None and head.ours and not _begun(request.body):
            # The service does not know `Expect` (RFC 9110 section 15.5.18).
            station.expect_from = 0
            await answer.close()
            return await self.send(request)
        return answer

    def _answer(self, station: Station[W], wire: W) -> Response:
        """What the parser of a connection has read the head of."""
        parser = wire.parser
        if not parser.complete:
            return WireResponse(wire, station.pool)
        answer = MemoryResponse(parser.status, parser.headers, parser.length, parser.take())
        if parser.keep:
            station.pool.release(wire)
        else:
            station.pool.discard(wire)
        return answer

    async def _made(self, station: Station[W]) -> W:
        """A new connection, for which the pool has given leave."""
        try:
            wire = await self._connect(station)
        except BaseException:
            station.pool.discard(None)
            raise
        station.pool.add(wire)
        return wire

    async def close(self) -> None:
        self._closed = True
        _close_all(self._stations)

    def _forget(self) -> None:
        """In a forked child: what there is belongs to the parent."""
        for station in self._stations.values():
            station.pool.abandon()
        self._stations.clear()


def _outgoing(
    station: Station[W], request: Request
) -> tuple[bytes, Buffer | Content | None, Head | None]:
    """What goes out at once, the body that follows it, and the head of a request that needs more
    than most; a small body in memory goes along with the head."""
    body = request.body
    size: int | None
    if body is None or isinstance(body, MEMORY):
        size = 0 if body is None else len(body)
        if size <= station.plain:
            data = plain_request(request, body, station.prefix)
            if data is not None:
                return data, None, None
    else:
        size = body.size
    head = encode_head(request, size, station.prefix, station.extra, station.expect_from)
    if isinstance(body, MEMORY) and len(body) <= SMALL and not head.expects:
        return b"".join((head.data, body)), None, head
    return head.data, body, head


def _repeatable(request: Request, wire: Wire) -> bool:
    """Whether a request that went out is sent again when its connection, kept from earlier,
    turns out to be closed."""
    return request.method in REPEATABLE and request.body is None and not wire.parser.begun


async def _upload(
    station: Station[W],
    wire: W,
    rest: memoryview,
    body: Buffer | Content | None,
    head: Head | None,
) -> None:
    """Send what is left of a request, unless the answer comes before."""
    wire.uploading(True)
    try:
        if not await send_head(wire, rest, expects=head is not None and head.expects):
            station.expect_from = 0
        if isinstance(body, MEMORY):
            await send_memory(wire, body)
        elif body is not None and not wire.parser.head:
            await send_content(wire, body, chunked=head is not None and head.size is None)
        if wire.parser.head:
            wire.parser.keep = False
    finally:
        wire.uploading(False)


async def tunnel(wire: Wire, proxy: Proxy, origin: Origin) -> None:
    """Have a proxy connect to an origin.

    Raises:
        ConfigError: it refuses.
        UnavailableError: it can not.
        BrokenError: the connection to it failed.
    """
    parser = wire.parser
    parser.begin(head_only=True)
    await push(wire, proxy.connect_request(origin))
    while not parser.head:
        if not (data := await wire.recv(HEAD)):
            raise BrokenError from ConnectionResetError("the proxy closed the connection")
        parser.feed(data)
    proxy.check_tunnel(origin, parser.status)


def _begun(body: Buffer | Content | None) -> bool:
    return body is not None and not isinstance(body, MEMORY) and body.begun


def _close_all(stations: dict[Origin, Station[W]]) -> None:
    """Close each once, whoever else does the same or adds one meanwhile."""
    while stations:
        try:
            _, station = stations.popitem()
        except KeyError:  # another thread has taken the last one
            return
        station.pool.close()


_transports: weakref.WeakSet[LeanTransport[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in _transports:
        transport._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
