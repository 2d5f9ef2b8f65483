"""A driver that only knows asyncio and gets its objects over real sockets."""

from __future__ import annotations

import asyncio
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from storage_core.errors import StorageError, UnavailableError
from storage_core.model import ObjectInfo
from storage_core.streams import ObjectStream
from tests.core.drivers import Scripted


class Server(socketserver.ThreadingTCPServer):
    """Gives ``size`` bytes per connection. Of a key that begins with ``stall`` it gives the
    first half, and then waits until the other side is gone."""

    allow_reuse_address = True
    daemon_threads = True
    size = 100_000

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.stalled = threading.Event()
        self.gone = threading.Event()


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        key = self.rfile.readline().decode().strip()
        data = bytes(self.server.size)
        if not key.startswith("stall"):
            self.wfile.write(data)
            return
        self.wfile.write(data[: len(data) // 2])
        self.server.stalled.set()
        # A side that goes with bytes unread resets the connection instead of ending it.
        with suppress(ConnectionResetError):
            if self.connection.recv(1) != b"":
                return
        self.rfile.close()
        self.connection.close()  # before the word, as tests count descriptors after it
        self.server.gone.set()


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class SocketDriver(Scripted):
    """Everything in memory, but the bytes of a get come from the server."""

    def __init__(self, server: Server) -> None:
        super().__init__(("asyncio",))
        self._port = server.server_address[1]
        self._size = server.size

    async def get(self, request: Any) -> ObjectStream:
        found = await super().get(request)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request.key.encode() + b"\n")
        try:
            first = await reader.readexactly(1)
        except BaseException:
            writer.close()
            raise
        return SocketStream(found.info, self._size, first, reader, writer)

    def classify(self, error: Exception) -> StorageError | None:
        return UnavailableError("the connection broke") if isinstance(error, OSError) else None


class SocketStream(ObjectStream):
    __slots__ = ("_first", "_info", "_reader", "_writer")

    def __init__(
        self,
        info: ObjectInfo,
        size: int,
        first: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        super().__init__(0, size)
        self._info = info
        self._first = first
        self._reader = reader
        self._writer = writer

    @property
    def info(self) -> ObjectInfo:
        return self._info

    async def read(self, size: int) -> bytes:
        first, self._first = self._first, b""
        return first or await self._reader.read(size)

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
