"""`Exchange`: one request and its reply over ASGI."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from storage_core.gateway.answers import GUARDS, Headers, RefusedError, refusal_for
from storage_core.gateway.settings import GatewaySettings
from storage_core.gateway.uploads import ClientGoneError, Receive, RequestBody

if TYPE_CHECKING:
    from storage_core.gateway.facade import Reply

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ZERO_COPY: Final = "http.response.zerocopysend"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class Exchange:
    """One request and its reply.

    Attributes:
        method: As the client sent it.
        headers: By lower-case name; repeated ones joined by a comma.
        body: What the client sends.
        status: Of the reply, 0 until it has begun.
        sent: Bytes of the reply's body.
        request_id: The client's X-Request-Id where it can be one, else a new one.
        route: Name of what answers, for the log and the figures.
        link_id: Of the verified link, for the log.
        credential_id: Of the authenticated credential, for the log.
        shape: How the facade that answers words a failure; None for the gateway's own way.
        is_last: Whether the connection ends with this reply.
    """

    shape: Callable[[RefusedError], Reply] | None = None
    is_last = False
    route = "none"
    link_id = "-"
    credential_id = "-"

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, settings: GatewaySettings
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.settings = settings
        self.method: str = scope["method"]
        self.headers = _headers(scope["headers"])
        self.body = RequestBody(receive, self.headers, scope["http_version"], settings)
        self.status = 0
        self.sent = 0
        given = self.headers.get("x-request-id")
        valid = given is not None and _REQUEST_ID.fullmatch(given)
        self.request_id: str = given if given and valid else secrets.token_hex(8)

    @property
    def client(self) -> str:
        """The peer's address; ``-`` over a Unix socket."""
        client = self.scope.get("client")
        return client[0] if client else "-"

    @property
    def path(self) -> str:
        """The path as it was sent, below the root path."""
        raw: bytes = self.scope.get("raw_path") or self.scope["path"].encode()
        path = raw.decode("latin-1")
        root = self.settings.root_path or self.scope.get("root_path", "")
        return path.removeprefix(root) if path.startswith(root + "/") else path

    @property
    def query(self) -> str:
        query: bytes = self.scope["query_string"]
        return query.decode("latin-1")

    @property
    def sends_files(self) -> bool:
        """Whether the server lets the kernel send files."""
        return ZERO_COPY in self.scope.get("extensions", ())

    async def start(self, status: int, headers: Headers) -> None:
        """Begin the reply."""
        ends = self.is_last or not self.body.finished
        if ends and self.scope["http_version"].startswith("1"):
            # What is left of the body, or never comes, must not be taken for a request.
            # (Later versions have a stream for each request, and forbid the header.)
            headers = [*headers, (b"connection", b"close")]
        self.status = status
        headers = [*headers, (b"x-request-id", self.request_id.encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, more: bool = False) -> None:
        """Send bytes of the reply; the last ones without ``more``."""
        self.sent += len(data)
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def write_file(self, fd: int, offset: int, count: int) -> None:
        """Send a stretch of a file as all of the reply's body; needs `sends_files`."""
        await self.send({"type": ZERO_COPY, "file": fd, "offset": offset, "count": count})
        self.sent += count

    async def reply(self, status: int, value: Mapping[str, object], headers: Headers) -> None:
        """A small JSON answer."""
        data = json.dumps(value).encode()
        await self.start(status, [*headers, *_json_headers(data), *GUARDS])
        await self.write(data)

    async def refuse(self, refusal: RefusedError) -> None:
        """Answer with a refusal, whatever is left of the request's body."""
        if refusal.status == 304:
            await self.start(304, [*refusal.headers, *GUARDS])
            await self.write(b"")
            return
        status, extra, data = refusal.status, refusal.headers, refusal.body()
        if self.shape is not None:
            reply = self.shape(refusal)
            status, extra = reply.status, (*extra, *reply.headers)
            data = json.dumps(reply.value).encode()
        headers = [*extra, *_json_headers(data), *GUARDS]
        headers.append((b"cache-control", b"no-store"))
        await self.start(status, headers)
        await self.write(data, more=True)
        await self.body.linger()
        await self.write(b"")

    async def disconnected(self) -> None:
        """Return when the client is gone: a server of ASGI 2.3 drops silently what is sent
        to nobody."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


def outcome(error: BaseException) -> str:
    """How a change ended that raised this, for the audit trail: the code of its refusal."""
    if isinstance(error, RefusedError):
        return error.code
    if isinstance(error, ClientGoneError | asyncio.CancelledError):
        return "interrupted"
    return refusal_for(error).code if isinstance(error, Exception) else "internal_error"


def _json_headers(data: bytes) -> Headers:
    return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        text = name.decode("latin-1").lower()
        field = value.decode("latin-1").strip()
        headers[text] = f"{headers[text]}, {field}" if text in headers else field
    return headers
