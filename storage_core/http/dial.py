"""Connections to a host by name: its addresses in turns, a slow one not waited for (the
Happy Eyeballs of RFC 8305, without its resolution delay)."""

from __future__ import annotations

import asyncio as aio
import errno
import os
import select
import socket
import time
from collections.abc import Callable
from functools import partial
from itertools import chain, zip_longest
from typing import Any, TypeAlias

from storage_core.deadline import current
from storage_core.http.watch import Watch, writable
from storage_core.waiting import Wait

Address: TypeAlias = tuple[int, Any]
"""Address family, and what `socket.connect` takes."""

STAGGER = 0.25
"""Seconds after which the next address is tried besides."""


def literal(host: str, port: int) -> list[Address]:
    """The address if ``host`` is one (IPv4 or IPv6 without a zone), else nothing."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return [(family, (host, port))]
    return []


def in_turns(found: list[tuple[Any, ...]]) -> list[Address]:
    """Results of `getaddrinfo`, the families taking turns, in their order."""
    by_family: dict[int, list[Address]] = {}
    for family, _, _, _, address in found:
        by_family.setdefault(family, []).append((family, address))
    turns = chain.from_iterable(zip_longest(*by_family.values()))
    return [address for address in turns if address is not None]


def _opened(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


async def dial(host: str, port: int, until: float) -> socket.socket:
    """A non-blocking connected socket; by turns where a thread carries several coroutines.
    Resolving the name can not be interrupted.

    Args:
        host: Name or address.
        port: Of the service.
        until: A moment of `time.monotonic`.

    Raises:
        TimeoutError: it took longer.
        OSError: of the address that failed last.
    """
    addresses = literal(host, port) or in_turns(await _resolved(host, port))
    attempts = _Attempts()
    try:
        while True:
            if addresses:
                attempts.start(*addresses.pop(0))
            elif not attempts.pending:
                raise attempts.failure
            now = time.monotonic()
            if now >= until:
                raise TimeoutError
            soon = min(until, now + STAGGER) if addresses else until
            if (sock := await attempts.first(soon)) is not None:
                return sock
    finally:
        attempts.close()


async def _resolved(host: str, port: int) -> list[tuple[Any, ...]]:
    resolve: Callable[[], list[tuple[Any, ...]]]
    resolve = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return resolve() if current.carrier is None else await current.carrier.aside(resolve)


class _Attempts:
    """Connections on their way."""

    def __init__(self) -> None:
        self.pending: dict[int, socket.socket] = {}
        self.failure: OSError = TimeoutError()
        self._poll = select.poll()

    def start(self, family: int, address: Any) -> None:
        try:
            sock = _opened(family)
        except OSError as error:  # a family that the machine does not have
            self.failure = error
            return
        code = sock.connect_ex(address)
        if code in {0, errno.EINPROGRESS}:
            self.pending[sock.fileno()] = sock
            self._poll.register(sock, select.POLLOUT)
        else:
            self._fail(sock, code)

    async def first(self, until: float) -> socket.socket | None:
        """The first that is connected; None once one failed or the time is over."""
        if not self.pending:
            return None
        for fd, _ in await self._ready(until):
            self._poll.unregister(fd)
            sock = self.pending.pop(fd)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                return sock
            self._fail(sock, code)
        return None

    async def _ready(self, until: float) -> list[tuple[int, int]]:
        if current.carrier is None:
            return self._poll.poll(max(1, round((until - time.monotonic()) * 1000)))
        if found := self._poll.poll(0):  # as always where the service is on this machine
            return found
        with select.epoll() as watch:  # one descriptor that stands for all of them
            for fd in self.pending:
                watch.register(fd, select.EPOLLOUT)
            await Wait(watch.fileno(), select.EPOLLIN, until).give_way()
        return self._poll.poll(0)

    def _fail(self, sock: socket.socket, code: int) -> None:
        sock.close()
        self.failure = OSError(code, os.strerror(code))

    def close(self) -> None:
        for sock in self.pending.values():
            sock.close()


async def dial_async(
    loop: aio.AbstractEventLoop, watch: Watch, host: str, port: int
) -> socket.socket:
    """As `dial`, without blocking the loop; the caller sets the time."""
    addresses = literal(host, port) or in_turns(
        await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    if len(addresses) == 1:
        return await _connected(watch, *addresses[0])
    failure: BaseException | None = None
    pending: set[aio.Task[socket.socket]] = set()
    try:
        while True:
            if addresses:
                pending.add(loop.create_task(_connected(watch, *addresses.pop(0))))
            elif not pending:
                raise failure or OSError(errno.EADDRNOTAVAIL, "the name has no address")
            done, pending = await aio.wait(
                pending,
                timeout=STAGGER if addresses else None,
                return_when=aio.FIRST_COMPLETED,
            )
            good = [task.result() for task in done if task.exception() is None]
            for spare in good[1:]:
                spare.close()
            if good:
                return good[0]
            failure = next((task.exception() for task in done), failure)
    finally:
        for task in pending:
            task.cancel()
            task.add_done_callback(_close_result)
        failure = None


async def _connected(watch: Watch, family: int, address: Any) -> socket.socket:
    sock = _opened(family)
    try:
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            await writable(watch, sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def _close_result(task: aio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
