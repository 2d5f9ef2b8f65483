"""`Wire`: one connection, seen the same way from blocking and from asyncio code."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
from abc import ABC, abstractmethod

from storage_core.errors import IntegrityError
from storage_core.http.parser import AnswerParser

_NOW = socket.MSG_DONTWAIT
_SEND_NOW = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL

_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_READ = 256 * 1024

WAITING = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What sockets raise that can not go on at once."""


class BrokenError(Exception):
    """A socket failed; its cause says how."""


class Wire(ABC):
    """A connection and the parser of what comes over it.

    Whoever took it from its pool has it to himself. Failures of the socket are `BrokenError`,
    so that nobody takes an error of a caller's body for one of the connection.

    Args:
        sock: Connected, the TLS handshake done.
        name: Host and port, for messages.
        read_timeout: Seconds without progress after which waiting fails.
    """

    __slots__ = (
        "_pending",
        "_poll",
        "_tls",
        "fd",
        "idle_since",
        "name",
        "parser",
        "read_timeout",
        "sock",
    )

    def __init__(self, sock: socket.socket, name: str, read_timeout: float) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.name = name
        self.read_timeout = read_timeout
        self.parser = AnswerParser()
        self.idle_since = 0.0
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)

    def readable(self) -> bool:
        """Whether there is something to receive, the end included."""
        if self.fd < 0 or self._poll.poll(0):
            return True
        return self._tls and self.sock.pending() > 0  # type: ignore[attr-defined]

    def send_some(self, data: bytes | memoryview) -> int:
        """Send what can go at once; the number of bytes, possibly 0."""
        try:
            if self._tls:
                return self.sock.send(data)
            return self.sock.send(data, _SEND_NOW)
        except WAITING:
            return 0
        except OSError as error:
            raise BrokenError from error

    @property
    def moves_files(self) -> bool:
        """Whether `send_file` can be used: nothing lies between the kernel and the service."""
        return not self._tls

    def send_file(self, fd: int, offset: int, size: int) -> int:
        """Send what can go at once of a stretch of a file; the number of bytes, possibly 0.

        Raises:
            IntegrityError: the file ends before.
        """
        try:
            sent = os.sendfile(self.fd, fd, offset, size)
        except WAITING:
            return 0
        except OSError as error:
            if error.errno == errno.EIO:
                raise
            if error.errno not in _NO_SENDFILE:
                raise BrokenError from error
            data = os.pread(fd, min(size, _READ), offset)
            if data:
                return self.send_some(data)
            sent = 0
        if not sent:
            raise IntegrityError("the file became shorter while it was sent")
        return sent

    def moving_files(self, on: bool) -> None:
        """`send_file` must not wait from now on; or is not used any more."""

    def recv_now(self, size: int) -> bytes | None:
        """What is there, None if nothing is, empty at the end."""
        try:
            if self._tls:
                return self.sock.recv(size) if self.readable() else None
            return self.sock.recv(size, _NOW)
        except WAITING:
            return None
        except OSError as error:
            raise BrokenError from error

    def take(self, size: int) -> bytes | None:
        """As `recv`, where that is a plain call; None where it has to be awaited."""
        return None

    @abstractmethod
    async def recv(self, size: int) -> bytes:
        """Wait for 1 to ``size`` bytes; empty at the end.

        Raises:
            OperationTimeoutError: nothing came in time.
            BrokenError: the connection failed.
        """

    async def recv_much(self, size: int) -> bytes:
        """As `recv`, for bodies: over TLS one call gives one record of 16 KiB at most, so
        more are taken as long as they are there."""
        data = await self.recv(size)
        if not self._tls or not data:
            return data
        pieces = []
        while data:
            pieces.append(data)
            size -= len(data)
            if not size or not self.readable():
                break
            data = self.recv_now(size) or b""
        return b"".join(pieces)

    @abstractmethod
    async def recv_into(self, buffer: memoryview) -> int:
        """Wait until a buffer is full, for bodies: fewer bytes only where the connection ends
        or the time is over, 0 at the end. Errors as of `recv`."""

    @abstractmethod
    async def sendable(self) -> bool:
        """Wait until more can be sent, or something is to be received (which is told).

        Raises:
            OperationTimeoutError: neither in time.
        """

    @abstractmethod
    async def receivable(self, seconds: float) -> bool:
        """Wait until something is to be received, ``seconds`` at most (which is no error)."""

    def uploading(self, on: bool) -> None:
        """`send_some` and `recv_now` must not wait from now on; or may again."""

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self.fd = -1
        self.sock.close()

    def interrupt(self) -> None:
        """Let whoever uses the connection fail; another thread may call it."""
        with contextlib.suppress(OSError):  # it may be closed already
            # Not the method of SSLSocket, which forgets its session under the user's feet.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def abandon(self) -> None:
        """Close the descriptor alone, in a forked child: the peer must see nothing."""
        self.close()
