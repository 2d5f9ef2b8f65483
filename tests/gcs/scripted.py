"""A server that answers as a test says, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

import storage_core
from storage_core import Storage

NOTHING: Mapping[str, str] = MappingProxyType({})


class Asked(NamedTuple):
    """A request as it came; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What is answered; `lost` closes the connection instead."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = NOTHING
    lost: bool = False


Reply = Answer | Callable[[Asked], Answer]


def resource(name: str = "a", **fields: Any) -> Answer:
    """An answer with an object resource."""
    told = {
        "name": name,
        "size": "3",
        "generation": "1700000000000000",
        "metageneration": "1",
        "updated": "2026-01-31T12:00:00.500Z",
        **fields,
    }
    return Answer(200, json.dumps(told).encode(), {"Content-Type": "application/json"})


def read(body: bytes = b"abc", **headers: str) -> Answer:
    """An answer of the XML API with an object's bytes."""
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    told = {
        "x-goog-generation": "1700000000000000",
        "x-goog-metageneration": "1",
        "Last-Modified": "Sat, 31 Jan 2026 12:00:00 GMT",
        "Content-Type": "application/octet-stream",
        **own,
    }
    return Answer(200, body, told)


def refusal(status: int, reason: str, message: str = "so it is") -> Answer:
    """An answer with an error of the JSON API."""
    error = {"code": status, "message": message, "errors": [{"reason": reason}]}
    return Answer(status, json.dumps({"error": error}).encode())


class Script:
    """Answers in order, and the requests that came. One too many is answered 599."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[Asked] = []
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            reply = self.replies.pop(0) if self.replies else Answer(599)
        return reply if isinstance(reply, Answer) else reply(asked)

    @property
    def lines(self) -> list[str]:
        """Method and target of each request."""
        return [f"{asked.method} {asked.target}" for asked in self.asked]


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length") or 0))
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def _serve(self) -> None:
            try:
                body = self._body()
            except ValueError:  # it broke off
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            if len(body) < int(headers.get("content-length") or 0):
                self.close_connection = True
                return
            answer = script.answer(Asked(self.command, self.path, headers, body))
            if answer.lost:
                self.close_connection = True
                return
            self.send_response(answer.status)
            told = {"Content-Length": str(len(answer.body)), **answer.headers}
            for name, value in told.items():
                self.send_header(name, value)
            self.end_headers()
            if answer.status not in {204, 304}:
                self.wfile.write(answer.body)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

    return Handler


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """A server that follows the script; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def scripted(script: Script, **settings: object) -> Iterator[Storage]:
    """A storage whose service follows the script."""
    with serving(script) as url:
        profile = {
            "driver": "gcs",
            "endpoint_url": url,
            "project": "p",
            "token": "given-token",
            "retry": {"attempts": 2, "base": 0.001},
            **settings,
        }
        profile = {name: value for name, value in profile.items() if value is not None}
        with storage_core.open(config=profile) as storage:
            yield storage
