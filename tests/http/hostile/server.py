"""A raw-socket server that does what it is told, byte by byte.

Each connection it accepts is played by the next script, in a thread of its own. A script
that fails, a connection without a script and a script that nobody came for fail the test.
"""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import termios
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.waiting import PATIENCE, wait_until


class Seen(NamedTuple):
    """The head of a request as it came."""

    raw: bytes
    method: str
    target: str
    fields: list[tuple[str, str]]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.fields]

    def get(self, name: str) -> str | None:
        """The value of the one field of that name."""
        found = [value for field, value in self.fields if field.lower() == name]
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, stop: threading.Event) -> None:
        self.socket = sock
        self._stop = stop
        self._rest = bytearray()
        sock.settimeout(PATIENCE)

    # -- what the client sends

    def head(self) -> Seen:
        """Read the head of the next request."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        raw = self._until(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        assert version == "HTTP/1.1" or (method, version) == ("CONNECT", "HTTP/1.0")
        fields = []
        for line in lines:
            name, colon, value = line.partition(": ")
            assert colon, f"{line!r} is no header field"
            fields.append((name, value))
        return Seen(raw + b"\r\n\r\n", method, target, fields)

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes of a body."""
        while len(self._rest) < size:
            self._more()
        found = bytes(self._rest[:size])
        del self._rest[:size]
        return found

    def _until(self, end: bytes) -> bytes:
        """What is before that end, which is there."""
        found, _, rest = self._rest.partition(end)
        self._rest = rest
        return bytes(found)

    def line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._more()
        return self._until(b"\r\n")

    def request(self) -> tuple[Seen, bytes]:
        """The next request with its body."""
        seen = self.head()
        if seen.get("transfer-encoding") == "chunked":
            assert seen.get("content-length") is None
            return seen, self.chunks()
        return seen, self.read(int(seen.get("content-length") or 0))

    def chunks(self) -> bytes:
        pieces = []
        while size := int(self.line(), 16):
            pieces.append(self.read(size))
            assert self.read(2) == b"\r\n"
        assert self.line() == b""
        return b"".join(pieces)

    def _more(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise GoneError
        self._rest += data

    def silent(self) -> bool:
        """Whether nothing has come that was not read, so far."""
        with suppress(BlockingIOError, ssl.SSLWantReadError):
            self.socket.setblocking(False)
            self._rest += self.socket.recv(65536)
        self.socket.settimeout(PATIENCE)
        return not self._rest

    def gone(self) -> bytes:
        """Wait until the client closes; what it still sent."""
        with suppress(GoneError, OSError):
            while True:
                self._more()
        return bytes(self._rest)

    # -- what it gets

    def send(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def split(self, data: bytes, *places: int) -> None:
        """Send in pieces that do not reach the client together."""
        start = 0
        for place in (*places, len(data)):
            self.socket.sendall(data[start:place])
            start = place
            time.sleep(0.002)  # the other side reads meanwhile, as a rule

    def flood(self, piece: bytes) -> None:
        """Send the same again and again until the client hangs up."""
        piece *= max(1, 65536 // len(piece))
        until = time.monotonic() + PATIENCE
        with suppress(OSError):
            while time.monotonic() < until:
                self.socket.sendall(piece)
            raise AssertionError("the client takes whatever comes")

    def arrived(self) -> None:
        """Wait until all that was sent, the end too, is at the client's side of the kernel, which
        a busy machine may take its time for."""
        with suppress(OSError):  # the client is gone
            wait_until(lambda: not any(fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4))))

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close so that the client's kernel reports an error; return when it does."""
        ports = None
        with suppress(OSError):  # the client is gone
            ports = self.socket.getpeername()[1], self.socket.getsockname()[1]
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        if ports is not None:
            wait_until(lambda: ports not in _connected())

    def hold(self) -> None:
        """Keep the connection open, and do nothing, until the test is over."""
        self._stop.wait(PATIENCE)


def _connected() -> set[tuple[int, int]]:
    """Local and remote ports of the connections of this machine; none where they are not told."""
    found = set()
    for table in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, remote, state, *_ = line.split()
            if state == "01":  # established
                found.add((int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16)))
    return found


class GoneError(Exception):
    """The client closed the connection while the script waited for more."""


Script = Callable[[Peer], None]


class Server:
    """Plays one script per connection, in the order in which they are accepted.

    Args:
        scripts: One for each connection that must come.
        spare: For all connections that may come besides.
        tls: Speaks TLS, and closes a connection whose handshake fails.

    Attributes:
        accepted: Connections so far.
        errors: What scripts raised.
    """

    def __init__(
        self, *scripts: Script, spare: Script | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.scripts = deque(scripts)
        self._spare = spare or _uninvited
        self.accepted = 0
        self.errors: list[BaseException] = []
        self._tls = tls
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.scheme = "http" if tls is None else "https"

    def __enter__(self) -> Server:
        thread = threading.Thread(target=self._accept, name="hostile", daemon=True)
        self._threads.append(thread)
        thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._stop.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()
        if error is None:
            assert not self.errors, f"scripts failed: {self.errors!r}"
            assert not self.scripts, f"{len(self.scripts)} scripts were not played"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            script = self.scripts.popleft() if self.scripts else self._spare
            thread = threading.Thread(
                target=self._play, args=(sock, script), name="hostile-peer", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _play(self, sock: socket.socket, script: Script) -> None:
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                sock.settimeout(PATIENCE)
                if self._tls is not None:
                    sock = self._tls.wrap_socket(sock, server_side=True)
            except OSError:
                return  # a handshake that fails is the client's to report
            try:
                script(Peer(sock, self._stop))
            except BaseException as error:
                self.errors.append(error)
            finally:
                sock.close()


def _uninvited(_: Peer) -> None:
    raise AssertionError("the client made a connection that it should not need")
