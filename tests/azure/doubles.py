"""A transport that answers by a script: for requests no obtainable server knows, as Put Blob
From URL and tokens over https."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from storage_azure.driver import AzureDriver
from storage_azure.settings import AzureSettings
from storage_core.http.interface import Request, Response, Transport

T = TypeVar("T")

KEY = base64.b64encode(b"a key of no account").decode()
OBJECT: Mapping[str, str] = {
    "content-length": "5",
    "content-type": "text/csv",
    "etag": '"0x1"',
    "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT",
    "date": "Sun, 06 Nov 1994 08:49:37 GMT",
}
"""What HEAD tells of an object."""


class Answer(Response):
    """An answer that is all there."""

    async def read(self, size: int) -> bytes:
        data, self.data = (self.data or b"")[:size], (self.data or b"")[size:]
        return data

    async def body(self, limit: int) -> bytes:
        return self.data or b""

    async def close(self) -> None:
        pass


def answer(status: int = 201, data: bytes = b"", **headers: str) -> Answer:
    """An answer; ``_`` in the names of headers stands for ``-``."""
    sent = {"etag": '"0x2"', **{n.replace("_", "-"): v for n, v in headers.items()}}
    return Answer(status, sent, len(data), data)


def refused(status: int, code: str) -> Answer:
    """An error of the service."""
    return answer(status, x_ms_error_code=code)


class Script(Transport):
    """Answers as a function says, and keeps what was asked."""

    def __init__(self, play: Callable[[Request], Response]) -> None:
        self.play = play
        self.seen: list[Request] = []

    async def send(self, request: Request) -> Response:
        if request.body is not None and not isinstance(request.body, bytes | bytearray):
            body = request.body
            data = bytes(body) if isinstance(body, memoryview) else b""
            if not isinstance(body, memoryview):
                data = b"".join([bytes(piece) async for piece in body])
            request = request._replace(body=data)
        self.seen.append(request)
        return self.play(request)

    async def close(self) -> None:
        pass

    @property
    def said(self) -> list[str]:
        """Method and target of each request, without what signs it."""
        return [f"{r.method} {r.target}" for r in self.seen]


def scripted(play: Callable[[Request], Response], **values: Any) -> tuple[AzureDriver, Script]:
    """A driver opened over a script."""
    settings = {"account_name": "acc", "account_key": KEY, **values}
    driver = AzureDriver(AzureSettings.model_validate(settings))
    run(driver.open("blocking"))
    script = Script(play)
    driver._transport = script
    return driver, script


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine."""
    return asyncio.run(work)
