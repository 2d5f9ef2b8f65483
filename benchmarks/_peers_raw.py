"""Bare sockets as clients of the benchmarks: what a program that does nothing else reaches."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks._peers import BUCKET, PIECE, Peer, big


class Raw(Peer):
    """A loop that receives into one buffer and writes that to the file; no signature, no
    checksum, no look at the answer but where its head ends."""

    streams = 1

    def __init__(self, url: str) -> None:
        self.address = (urlsplit(url).hostname, urlsplit(url).port)
        self.connections = [socket.create_connection(self.address) for _ in range(self.streams)]
        self.buffers = [memoryview(bytearray(PIECE)) for _ in range(self.streams)]

    def close(self) -> None:
        for connection in self.connections:
            connection.close()

    def down(self, path: Path, size: int) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.truncate(fd, size)
        share = size // self.streams
        threads = [
            threading.Thread(target=self._range, args=(number, fd, size, share))
            for number in range(self.streams)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.close(fd)

    def _range(self, number: int, fd: int, size: int, share: int) -> None:
        connection, buffer = self.connections[number], self.buffers[number]
        at, stop = number * share, (number + 1) * share
        connection.sendall(
            f"GET /{BUCKET}/{big(size)} HTTP/1.1\r\nHost: here\r\n"
            f"Range: bytes={at}-{stop - 1}\r\n\r\n".encode()
        )
        count = connection.recv_into(buffer[:1024])
        start = bytes(buffer[:count]).index(b"\r\n\r\n") + 4
        while True:
            at += os.pwrite(fd, buffer[start:count], at)
            if at >= stop:
                return
            start, count = 0, connection.recv_into(buffer)


class RawParallel(Raw):
    """Four such loops in threads, a range each."""

    streams = 4
