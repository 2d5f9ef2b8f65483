"""What tells when sockets are ready: the event loop, or a poll of our own that it watches."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any, Protocol


class Watch(Protocol):
    """The part of an event loop that watches descriptors."""

    def add_reader(self, fd: int, callback: Callable[..., object], /, *args: Any) -> None: ...
    def add_writer(self, fd: int, callback: Callable[..., object], /, *args: Any) -> None: ...
    def remove_reader(self, fd: int, /) -> object: ...
    def remove_writer(self, fd: int, /) -> object: ...


class EpollWatch:
    """Watches by an epoll instance, whose one descriptor the loop watches.

    libuv, and so uvloop, takes a socket that was reset for a mistake of its user (EBADF) and
    never calls back. An epoll descriptor has no errors.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._readers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self._writers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        loop.add_reader(self._epoll.fileno(), self._dispatch)

    def _dispatch(self) -> None:
        readers = self._readers
        for fd, events in self._epoll.poll(0):
            if events == select.EPOLLIN:  # as most are
                if found := readers.get(fd):
                    found[0](*found[1])
                continue
            # Errors and the end are for both: whoever is told finds out by trying.
            if events & ~select.EPOLLOUT and (found := self._readers.get(fd)):
                found[0](*found[1])
            if events & ~select.EPOLLIN and (found := self._writers.get(fd)):
                found[0](*found[1])

    def add_reader(self, fd: int, callback: Callable[..., object], /, *args: Any) -> None:
        self._readers[fd] = callback, args
        self._set(fd, fd in self._writers)

    def add_writer(self, fd: int, callback: Callable[..., object], /, *args: Any) -> None:
        self._writers[fd] = callback, args
        self._set(fd, fd in self._readers)

    def remove_reader(self, fd: int, /) -> None:
        if self._readers.pop(fd, None):
            self._set(fd, True)

    def remove_writer(self, fd: int, /) -> None:
        if self._writers.pop(fd, None):
            self._set(fd, True)

    def _set(self, fd: int, known: bool) -> None:
        if self._epoll.closed:
            return  # with the transport, while its requests unwind
        events = select.EPOLLIN if fd in self._readers else 0
        if fd in self._writers:
            events |= select.EPOLLOUT
        if not events:
            self._epoll.unregister(fd)
        elif known:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)

    def close(self) -> None:
        """Stop watching; may be called twice."""
        if not self._epoll.closed:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def abandon(self) -> None:
        """In a forked child: what is watched stays so for the parent."""
        self._epoll.close()


def watch_of(loop: asyncio.AbstractEventLoop) -> Watch:
    """What watches sockets on a loop."""
    if isinstance(loop, asyncio.SelectorEventLoop) or not hasattr(select, "epoll"):
        return loop
    return EpollWatch(loop)


async def writable(watch: Watch, sock: socket.socket) -> None:
    """Wait until a socket can be written to, or failed."""
    await _ready(watch.add_writer, watch.remove_writer, sock)


async def readable(watch: Watch, sock: socket.socket) -> None:
    """Wait until a socket has something to read, or failed."""
    await _ready(watch.add_reader, watch.remove_reader, sock)


async def _ready(
    add: Callable[..., None], remove: Callable[[int], object], sock: socket.socket
) -> None:
    fd = sock.fileno()
    future = asyncio.get_running_loop().create_future()
    add(fd, _wake, future)
    try:
        await future
    finally:
        remove(fd)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
