"""A proxy that gives each new connection to the next of its backends, as a load balancer does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit


class RoundRobin:
    """Bytes in both directions, unseen. A backend that takes no connection is passed over.

    Attributes:
        backends: Addresses, ``http://host:port``; may change while it runs.
        taken: Connections that each backend took.
    """

    def __init__(self) -> None:
        self.backends: list[str] = []
        self.taken: Counter[str] = Counter()
        self._turn = 0
        self._ended = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Its address, for as long as the block lasts."""
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            self._start(self._accept, listener)
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                _end(listener)
                with self._lock:
                    self._ended = True
                    for one in self._open:
                        _end(one)
                for thread in self._threads:
                    thread.join()

    def _start(self, target: object, *args: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the end
            while True:
                client, _ = listener.accept()
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            pair = {stack.enter_context(client)}
            if (backend := self._next()) is None:
                return
            pair.add(stack.enter_context(backend))
            with self._lock:
                if self._ended:
                    return
                self._open |= pair
            forth = self._start(_copy, client, backend)
            _copy(backend, client)
            forth.join()
            with self._lock:
                self._open -= pair

    def _next(self) -> socket.socket | None:
        for _ in range(len(self.backends)):
            with self._lock:
                backend = self.backends[self._turn % len(self.backends)]
                self._turn += 1
            address = urlsplit(backend)
            with contextlib.suppress(OSError):
                taken = socket.create_connection((str(address.hostname), address.port or 80))
                self.taken[backend] += 1
                return taken
        return None


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until the source ends, which the target is told; until either fails, which both are."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        _end(source)
        _end(target)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
