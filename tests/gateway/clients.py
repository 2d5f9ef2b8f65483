"""Plain HTTP: `request` over http.client, and `Raw` bytes on a socket."""

from __future__ import annotations

import http.client
import io
import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from storage_core import Link


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        """Code of an error's JSON body, which has exactly the two promised members."""
        value = json.loads(self.body)
        assert set(value) == {"code", "message"}
        assert self.headers["content-type"] == "application/json"
        return str(value["code"])


def target_of(url: str) -> str:
    """What stands in the request line."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def request(
    link: Link | str,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] | None = None,
) -> Answer:
    """Send one request exactly as it is given, on a connection of its own."""
    url = link if isinstance(link, str) else link.url
    method = method or (link.method if isinstance(link, Link) else "GET")
    sent = dict(link.headers) if isinstance(link, Link) else {}
    sent.update(headers or {})
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request(
            method,
            target_of(url),
            body=body,
            headers=sent,
            encode_chunked=not isinstance(body, bytes | None),
        )
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


class Raw:
    """A connection on which anything can be written."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._file = _Kept(connection.makefile("rb"))

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def head(self, method: str, url: str, *lines: str) -> None:
        """Write the head of a request."""
        self.send("\r\n".join((f"{method} {target_of(url)} HTTP/1.1", "Host: x", *lines, "", "")))

    def answer(self, method: str = "GET") -> Answer:
        """Read one answer off the connection."""
        response = http.client.HTTPResponse(self._file, method=method)  # type: ignore[arg-type]
        response.begin()
        return Answer(response.status, response.headers, response.read())

    def closed(self) -> bool:
        """Whether the server ends the connection, all that it sent being thrown away."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._file.file.close()
        self.socket.close()


class _Kept:
    """What HTTPResponse takes for a socket: one buffer for all answers of a connection, which
    may arrive together."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file
        self.read = file.read
        self.read1 = file.read1
        self.readline = file.readline
        self.readinto = file.readinto
        self.peek = file.peek

    def makefile(self, _mode: str) -> _Kept:
        return self

    def flush(self) -> None:
        """HTTPResponse flushes and closes what it reads; the buffer stays."""

    close = flush
