"""`AsyncioTransport`: HTTP/1.1 over sockets that an event loop watches.

The loop's readiness calls (``add_reader``, ``add_writer``) serve better here than its
transports and protocols: nothing lies between socket and parser, what nobody asked for stays
in the kernel (which is backpressure), and a write fails only after what was readable is read.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from storage_core.errors import InvalidRequestError, OperationTimeoutError, StorageError
from storage_core.http.dial import dial_async
from storage_core.http.failures import not_connected
from storage_core.http.interface import Request, Response
from storage_core.http.parser import MalformedError
from storage_core.http.pool import Pool, Waiter
from storage_core.http.settings import HttpSettings
from storage_core.http.transport import LeanTransport, Station, tunnel
from storage_core.http.watch import EpollWatch, Watch, readable, watch_of, writable
from storage_core.http.wire import WAITING, BrokenError, Wire

EAGER = 8
"""Reads in a row that may find their bytes at once, before other tasks get their turn."""


class AsyncioWire(Wire):
    """A connection whose socket the loop watches as long as somebody waits, or it is idle."""

    __slots__ = (
        "_eager",
        "_got",
        "_into",
        "_loop",
        "_lost",
        "_waiter",
        "_wanted",
        "_watch",
        "_watching",
        "waiting_since",
    )

    def __init__(
        self,
        sock: socket.socket,
        name: str,
        read_timeout: float,
        loop: asyncio.AbstractEventLoop,
        watch: Watch,
        lost: Callable[[AsyncioWire], None],
    ) -> None:
        super().__init__(sock, name, read_timeout)
        self._loop = loop
        self._watch = watch
        self._lost = lost
        self._waiter: asyncio.Future[Any] | None = None
        self._wanted = 0
        self._into: memoryview | None = None
        self._got = 0
        self._watching = False
        self._eager = 0
        self.waiting_since = 0.0

    # --- events -----------------------------------------------------------------------

    def _on_readable(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._unwatch()  # until somebody wants it; an idle connection is at its end
            self._lost(self)
            return
        if self._into is not None:
            self.waiting_since = self._loop.time()
            try:
                if self._pull(self._into):
                    waiter.set_result(True)
            except BrokenError as failed:
                waiter.set_exception(failed)
            return
        if not self._wanted:
            waiter.set_result(True)
            return
        try:
            data = self.sock.recv(self._wanted)
        except WAITING:
            return
        except OSError as error:
            broken = BrokenError()
            broken.__cause__ = error
            waiter.set_exception(broken)
        else:
            waiter.set_result(data)

    def _on_writable(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(False)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._watch.remove_reader(self.fd)

    async def _wait(self, wanted: int) -> Any:
        """Wait for an event: ``wanted`` bytes at most, or readiness if it is 0."""
        if self.fd < 0:
            raise BrokenError from ConnectionAbortedError("the transport was closed")
        self._wanted = wanted
        self._waiter = waiter = self._loop.create_future()
        self.waiting_since = self._loop.time()
        if not self._watching:
            self._watching = True
            self._watch.add_reader(self.fd, self._on_readable)
        try:
            return await waiter
        finally:
            self._waiter = None

    def check_progress(self, now: float) -> None:
        """Fail who has waited too long."""
        waiter = self._waiter
        if (
            waiter is not None
            and not waiter.done()
            and now - self.waiting_since >= self.read_timeout
        ):
            waiter.set_exception(
                OperationTimeoutError(f"{self.name}: no progress for {self.read_timeout:g} s")
            )

    # --- input and output -------------------------------------------------------------

    async def recv(self, size: int) -> bytes:
        data: bytes
        if self._eager:
            # More may be here already, which saves a turn of the loop.
            self._eager -= 1
            if not self._eager:
                await asyncio.sleep(0)
                self._eager = EAGER
            try:
                data = self.sock.recv(size)
            except WAITING:
                self._eager = 0
            except OSError as error:
                raise BrokenError from error
            else:
                if not self._tls and len(data) < size:
                    self._eager = 0
                return data
        if self.fd < 0:
            raise BrokenError from ConnectionAbortedError("the transport was closed")
        # As `_wait`, without a coroutine of its own: this is where small answers wait.
        loop = self._loop
        self._wanted = size
        self._waiter = waiter = loop.create_future()
        self.waiting_since = loop.time()
        if not self._watching:
            self._watching = True
            self._watch.add_reader(self.fd, self._on_readable)
        try:
            data = await waiter
        finally:
            self._waiter = None
        # A record of TLS is all that one call gives: try again at once.
        self._eager = EAGER if self._tls or len(data) == size else 0
        return data

    async def recv_into(self, buffer: memoryview) -> int:
        if self._eager == 1:
            await asyncio.sleep(0)
        self._eager = EAGER if self._eager < 2 else self._eager - 1
        self._got = 0
        # What TLS has decrypted already makes no socket readable: it is always asked first.
        if not self._pull(buffer):
            self._into = buffer
            try:
                await self._wait(0)
            finally:
                self._into = None
            self._eager = EAGER
        return self._got

    def _pull(self, buffer: memoryview) -> bool:
        """Receive what is there; true once the buffer is full or no more will come."""
        try:
            while self._got < len(buffer):
                asked = len(buffer) - self._got
                got = self.sock.recv_into(buffer[self._got :])
                self._got += got
                if not got:
                    return True
                if got < asked and not self._tls:
                    return False
        except WAITING:
            return False
        except OSError as error:
            if not self._got:
                raise BrokenError from error
        return True

    def send_some(self, data: bytes | memoryview) -> int:
        self._eager = 0
        return super().send_some(data)

    async def sendable(self) -> bool:
        self._watch.add_writer(self.fd, self._on_writable)
        try:
            found: bool = await self._wait(0)
        finally:
            if self.fd >= 0:
                self._watch.remove_writer(self.fd)
        return found

    async def receivable(self, seconds: float) -> bool:
        if self.readable():
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._wait(0)
        except TimeoutError as error:
            if isinstance(error, OperationTimeoutError):
                raise
            return False
        return True

    # --- the end ----------------------------------------------------------------------

    def close(self) -> None:
        if self.fd >= 0 and not self._loop.is_closed():
            self._unwatch()
        super().close()

    def interrupt(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(BrokenError("the transport was closed"))
        super().interrupt()

    def abandon(self) -> None:
        # The loop's epoll is the parent's as well: leave it alone.
        self._watching = False
        super().abandon()

    def detach(self) -> socket.socket:
        """The socket, no longer watched."""
        self._unwatch()
        self.fd = -1
        return self.sock


class _TaskWaiter(Waiter[AsyncioWire]):
    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._woken.wait()
        except TimeoutError:
            return False


class AsyncioPool(Pool[AsyncioWire]):
    """Connections of one loop."""

    def __init__(
        self,
        name: str,
        settings: HttpSettings,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            name, settings.max_connections, settings.idle_timeout, settings.read_timeout
        )
        self.loop = loop
        self._tick = min(1.0, settings.read_timeout / 8)
        self._timer: asyncio.TimerHandle | None = None

    def _waiter(self) -> Waiter[AsyncioWire]:
        return _TaskWaiter()

    def add(self, wire: AsyncioWire) -> None:
        super().add(wire)
        if self._timer is None:
            self._timer = self.loop.call_later(self._tick, _tick, weakref.ref(self))

    def tick(self) -> None:
        """Look after timeouts: one timer for all connections instead of one for each wait."""
        now = self.loop.time()
        for wire in self:
            wire.check_progress(now)
        self.expire()
        self._timer = (
            self.loop.call_later(self._tick, _tick, weakref.ref(self)) if len(self) else None
        )

    def forsake(self, wire: AsyncioWire) -> None:
        if self.loop.is_closed() or not self.loop.is_running():
            self.discard(wire)
        else:
            self.loop.call_soon_threadsafe(self.discard, wire)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().close()


def _tick(pool: weakref.ref[AsyncioPool]) -> None:
    if (alive := pool()) is not None:
        alive.tick()


class AsyncioTransport(LeanTransport[AsyncioWire]):
    """Sends requests from the tasks of the loop that runs when it is made.

    Once that loop is closed another one may take over; its connections are gone then.
    """

    def __init__(self, settings: HttpSettings) -> None:
        super().__init__(settings)
        self._loop = asyncio.get_running_loop()
        self._watch: Watch | None = None

    def send(self, request: Request) -> Coroutine[Any, Any, Response]:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        return LeanTransport.send(self, request)  # which costs half of what super() does

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._stations and not self._loop.is_closed():
            raise InvalidRequestError(
                "the storage was opened on another event loop, which still exists; open one for"
                " each loop"
            )
        self._forget()
        self._loop = loop

    async def close(self) -> None:
        await super().close()
        if isinstance(self._watch, EpollWatch):
            self._watch.close()

    def _forget(self) -> None:
        super()._forget()
        if isinstance(self._watch, EpollWatch):
            self._watch.abandon()
        self._watch = None

    def _pool(self, name: str) -> Pool[AsyncioWire]:
        return AsyncioPool(name, self._settings, self._loop)

    async def _connect(self, station: Station[AsyncioWire]) -> AsyncioWire:
        proxy = station.proxy
        name = station.name if proxy is None else f"proxy {proxy.name}"
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                return await self._connected(station)
        except (OSError, UnicodeError, BrokenError, MalformedError, StorageError) as error:
            raise not_connected(name, error) from None

    async def _connected(self, station: Station[AsyncioWire]) -> AsyncioWire:
        loop, proxy, origin = self._loop, station.proxy, station.origin
        if self._watch is None:
            self._watch = watch_of(loop)
        watch = self._watch
        place = proxy or origin
        timeout = self._settings.read_timeout
        sock = await dial_async(loop, watch, place.host, place.port)
        try:
            if station.tls is not None:
                if proxy is not None:
                    wire = AsyncioWire(sock, proxy.name, timeout, loop, watch, _nobody)
                    try:
                        await tunnel(wire, proxy, origin)
                    finally:
                        wire.detach()
                sock = station.tls.wrap_socket(
                    sock,
                    server_hostname=origin.host,
                    do_handshake_on_connect=False,
                    suppress_ragged_eofs=False,
                )
                await _handshake(watch, sock)
        except BaseException:
            sock.close()
            raise
        return AsyncioWire(sock, station.name, timeout, loop, watch, station.pool.lost)


def _nobody(wire: AsyncioWire) -> None:
    """A connection that is in no pool has nobody to tell of its end."""


async def _handshake(watch: Watch, sock: ssl.SSLSocket) -> None:
    while True:
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            await readable(watch, sock)
        except ssl.SSLWantWriteError:
            await writable(watch, sock)
