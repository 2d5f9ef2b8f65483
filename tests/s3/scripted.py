"""A server that answers as a test says, and keeps what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import NamedTuple

import storage_core
from storage_core import Storage

NOTHING: Mapping[str, str] = MappingProxyType({})
MODIFIED = "Sat, 31 Jan 2026 12:00:00 GMT"


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


def of_object(etag: str = "e", **headers: str) -> dict[str, str]:
    """Headers of an answer about an object."""
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"ETag": f'"{etag}"', "Last-Modified": MODIFIED, **own}


def error(status: int, code: str, message: str = "so it is") -> Answer:
    """An answer with S3's error document."""
    return Answer(
        status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    )


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

        def _serve(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(size)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = script.answer(Asked(self.command, self.path, headers, body))
            if answer.lost or len(body) < size:
                self.close_connection = True
                return
            self.send_response(answer.status)
            told = {"Content-Length": str(len(answer.body)), **answer.headers}
            for name, value in told.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD" and answer.status not in {204, 304}:
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

    return Handler


@contextmanager
def scripted(script: Script, **settings: object) -> Iterator[Storage]:
    """A storage whose service follows the script."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    profile = {
        "driver": "s3",
        "preset": "aws",
        "addressing": "path",
        "endpoint_url": f"http://127.0.0.1:{server.server_address[1]}",
        "region": "eu-central-1",
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "secret",
        "retry": {"attempts": 2, "base": 0.001},
        **settings,
    }
    given = {name: value for name, value in profile.items() if value is not None}
    try:
        with storage_core.open(config=given) as storage:
            yield storage
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
