"""`BlockingTransport`: HTTP/1.1 over blocking sockets. Its coroutines suspend only in a thread that
carries several by turns (`storage_core.waiting`)."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import struct
import threading
import time

from storage_core import deadline
from storage_core.deadline import current
from storage_core.errors import OperationTimeoutError, StorageError
from storage_core.http.dial import dial
from storage_core.http.failures import not_connected
from storage_core.http.parser import MalformedError
from storage_core.http.pool import Pool, Waiter
from storage_core.http.transport import LeanTransport, Station, tunnel
from storage_core.http.wire import BrokenError, Wire
from storage_core.waiting import SEVERAL, SOON, Wait

_BOTH = select.POLLIN | select.POLLOUT
_PIECE = 256 * 1024
"""Bytes that are taken at a time at most, where others go on in the same thread."""


class BlockingWire(Wire):
    """A connection used by plain calls.

    Without TLS the kernel keeps the time (SO_RCVTIMEO): that is one system call for what
    takes Python's own timeouts two.
    """

    __slots__ = ("_limit", "_near", "_never_near")

    def __init__(self, sock: socket.socket, name: str, read_timeout: float) -> None:
        super().__init__(sock, name, read_timeout)
        if not self._tls:
            sock.setblocking(True)
        self._limit = 0.0
        self._near = False
        self._never_near = self._tls or not SEVERAL
        self._set_limit(read_timeout)

    def _set_limit(self, seconds: float) -> None:
        """Let `recv` wait that long."""
        if seconds <= 0:
            raise self._timeout()
        if seconds == self._limit:
            return
        self._limit = seconds
        if self._tls:
            self.sock.settimeout(seconds)
        else:
            whole = int(seconds)
            value = struct.pack("ll", whole, max(1, int((seconds - whole) * 1e6)))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)

    def _timeout(self) -> OperationTimeoutError:
        at = current.at
        if at is not None and time.monotonic() >= at:
            return OperationTimeoutError(f"{self.name}: the deadline passed")
        return OperationTimeoutError(f"{self.name}: no progress for {self.read_timeout:g} s")

    def take(self, size: int) -> bytes | None:
        """As in general; for the beginning of an answer, so not where pieces of a body would only
        be taken smaller."""
        if current.carrier is not None:
            return None
        if self._never_near:
            return self._waited(size)
        if self._near:
            self._near = self._comes_soon()
            return self._waited(size)
        began = time.monotonic()
        data = self._waited(size)
        self._near = time.monotonic() - began < SOON
        return data

    def _waited(self, size: int) -> bytes:
        if current.at is not None or self._limit != self.read_timeout:
            self._set_limit(deadline.left(self.read_timeout))
        try:
            return self.sock.recv(size)
        except (BlockingIOError, TimeoutError):
            raise self._timeout() from None
        except OSError as error:
            raise BrokenError from error

    def _comes_soon(self) -> bool:
        """Look for an answer instead of sleeping until it is there."""
        poll, until = self._poll.poll, time.monotonic() + SOON
        while not poll(0):
            if time.monotonic() >= until:
                return False
        return True

    async def recv(self, size: int) -> bytes:
        if current.carrier is None:
            return self._waited(size)
        while True:
            if not await self._turn(select.POLLIN, deadline.left(self.read_timeout)):
                raise self._timeout()
            if (data := self.recv_now(size)) is not None:
                return data

    async def _turn(self, events: int, seconds: float) -> bool:
        """Give way to others until the socket is ready; false when the time is over."""
        if self.fd < 0:
            raise BrokenError from ConnectionAbortedError("the transport was closed")
        if self._tls and self.sock.pending():  # type: ignore[attr-defined]
            return True
        return await Wait(self.fd, events, time.monotonic() + seconds).give_way()

    async def recv_into(self, buffer: memoryview) -> int:
        if current.carrier is not None:
            return await self._into_by_turns(buffer)
        if current.at is not None or self._limit != self.read_timeout:
            self._set_limit(deadline.left(self.read_timeout))
        size = 0
        try:
            if not self._tls:
                # The kernel comes back for more; after the timeout it gives what it has.
                return self.sock.recv_into(buffer, 0, socket.MSG_WAITALL)
            while size < len(buffer):  # a record of 16 KiB at most at a time
                if not (got := self.sock.recv_into(buffer[size:])):
                    break
                size += got
                if current.at is not None:
                    if (left := deadline.left(self.read_timeout)) <= 0:
                        break
                    self._set_limit(left)
        except (BlockingIOError, TimeoutError):
            if not size:
                raise self._timeout() from None
        except OSError as error:
            if not size:
                raise BrokenError from error
        return size

    def recv_now(self, size: int) -> bytes | None:
        if not self._tls:
            return super().recv_now(size)
        # A record may have come in part only: its rest is not waited for.
        before = self.sock.gettimeout()
        self.sock.settimeout(0)
        try:
            return super().recv_now(size)
        finally:
            self.sock.settimeout(before)

    async def _into_by_turns(self, buffer: memoryview) -> int:
        size = 0
        while size < len(buffer):
            if not await self._turn(select.POLLIN, deadline.left(self.read_timeout)):
                if not size:
                    raise self._timeout()
                break
            try:
                data = self.recv_now(min(len(buffer) - size, _PIECE))
            except BrokenError:
                if not size:
                    raise
                break
            if data is None:
                continue
            if not data:
                break
            buffer[size : size + len(data)] = data
            size += len(data)
        return size

    async def _wait(self, events: int, seconds: float) -> int:
        """What the socket is ready for; 0 when the time is over."""
        if current.carrier is not None:
            await self._turn(events, seconds)
            seconds = 0
        if self._tls and self.sock.pending():  # type: ignore[attr-defined]
            return select.POLLIN
        self._poll.modify(self.fd, events)
        try:
            found = self._poll.poll(max(0, seconds) * 1000)
        finally:
            self._poll.modify(self.fd, select.POLLIN)
        return found[0][1] if found else 0

    async def sendable(self) -> bool:
        until = time.monotonic() + deadline.left(self.read_timeout)
        while not (found := await self._wait(_BOTH, until - time.monotonic())):
            if time.monotonic() >= until:
                raise self._timeout()
        return bool(found & ~select.POLLOUT)

    async def receivable(self, seconds: float) -> bool:
        if await self._wait(select.POLLIN, deadline.left(seconds)):
            return True
        if deadline.left(seconds) <= 0:
            raise self._timeout()
        return False

    def uploading(self, on: bool) -> None:
        if self._tls:
            self.sock.settimeout(0 if on else self._limit)

    def moving_files(self, on: bool) -> None:
        with contextlib.suppress(OSError):  # it may be closed already
            os.set_blocking(self.fd, not on)


class _StrandWaiter(Waiter[BlockingWire]):
    def __init__(self) -> None:
        self._wait = Wait()

    def wake(self) -> None:
        self._wait.wake()

    async def wait(self, seconds: float) -> bool:
        self._wait.until = time.monotonic() + seconds
        return await self._wait.give_way()


class _ThreadWaiter(Waiter[BlockingWire]):
    def __init__(self) -> None:
        self._woken = threading.Lock()
        self._woken.acquire()

    def wake(self) -> None:
        self._woken.release()

    async def wait(self, seconds: float) -> bool:
        return self._woken.acquire(timeout=max(0, seconds))


class BlockingPool(Pool[BlockingWire]):
    """Connections shared by threads."""

    def _waiter(self) -> Waiter[BlockingWire]:
        return _StrandWaiter() if current.carrier is not None else _ThreadWaiter()

    def pop(self) -> BlockingWire | None:
        if current.at is not None and deadline.left(1) <= 0:
            raise OperationTimeoutError(f"{self.name}: the deadline passed", unsent=True)
        return Pool.pop(self)  # which costs half of what super() does

    def _must_not_wait(self) -> bool:
        return current.nested

    def _time_left(self, most: float) -> float:
        return deadline.left(most)


class BlockingTransport(LeanTransport[BlockingWire]):
    """Sends requests from any number of threads; each waits for its own answer."""

    def _pool(self, name: str) -> Pool[BlockingWire]:
        settings = self._settings
        return BlockingPool(
            name, settings.max_connections, settings.idle_timeout, settings.read_timeout
        )

    async def _connect(self, station: Station[BlockingWire]) -> BlockingWire:
        proxy, origin = station.proxy, station.origin
        name = station.name if proxy is None else f"proxy {proxy.name}"
        until = time.monotonic() + deadline.left(self._settings.connect_timeout)
        sock: socket.socket | None = None
        try:
            place = proxy or origin
            sock = await dial(place.host, place.port, until)
            if station.tls is not None:
                if proxy is not None:
                    wire = BlockingWire(sock, name, max(0.001, until - time.monotonic()))
                    await tunnel(wire, proxy, origin)
                    name = station.name
                sock = station.tls.wrap_socket(
                    sock,
                    server_hostname=origin.host,
                    do_handshake_on_connect=False,
                    suppress_ragged_eofs=False,
                )
                await _handshake(sock, until)
            return BlockingWire(sock, station.name, self._settings.read_timeout)
        except (OSError, UnicodeError, BrokenError, MalformedError, StorageError) as error:
            if sock is not None:
                sock.close()
            if deadline.left(1) <= 0:
                raise OperationTimeoutError(f"{name}: the deadline passed", unsent=True) from None
            raise not_connected(name, error) from None
        except BaseException:
            if sock is not None:
                sock.close()
            raise


async def _handshake(sock: ssl.SSLSocket, until: float) -> None:
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    sock.settimeout(seconds if current.carrier is None else 0)  # of the whole handshake
    while True:
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            events = select.POLLIN
        except ssl.SSLWantWriteError:
            events = select.POLLOUT
        if not await Wait(sock.fileno(), events, until).give_way():
            raise TimeoutError
