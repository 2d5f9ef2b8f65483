"""A way to a server that can stand still: with all its sockets open, and without an answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Way:
    """Passes bytes on, both ways, unless it is frozen.

    Attributes:
        port: Where it listens, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._thawed = threading.Event()
        self._thawed.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        _start(self._accept)

    def freeze(self) -> None:
        """Pass nothing on; what comes is still taken by the kernel, and acknowledged."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Go on."""
        self._thawed.set()

    def close(self) -> None:
        """Close all connections."""
        self.thaw()
        for opened in self._sockets:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                _start(self._pass, client, server)
                _start(self._pass, server, client)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._thawed.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def _start(work: object, *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()  # type: ignore[arg-type]


@contextmanager
def way_to(port: int) -> Iterator[Way]:
    """A way to a port of this machine."""
    way = Way(port)
    try:
        yield way
    finally:
        way.close()
