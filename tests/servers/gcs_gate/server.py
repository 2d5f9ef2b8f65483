"""The gate as an ASGI application: which API a request is for, and how answers go out."""

from __future__ import annotations

from typing import Any

from tests.servers.gcs_gate import admin, json_api, json_batch, oauth, xml_api
from tests.servers.gcs_gate.clock import http_date
from tests.servers.gcs_gate.errors import RefusedError, not_found
from tests.servers.gcs_gate.gate import Gate, request_id
from tests.servers.gcs_gate.wire import GoneError, Request, Response

JSON = "/storage/v1/"
UPLOAD = "/upload/storage/v1/"
DOWNLOAD = "/download/storage/v1/"
BATCH = "/batch/storage/v1"
DRAIN = 64 << 20
"""Bytes of a refused body that are still read, so that the client sees the answer."""


class Application:
    """Answers requests out of one gate."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """One request (ASGI 3)."""
        assert scope["type"] == "http"
        request = Request(
            scope["method"],
            scope["raw_path"].decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
            receive,
        )
        try:
            response = await self.answer(request)
            close = not request.consumed and not await _drained(request)
            await self._send(request, response, send, close=close)
        except GoneError:
            return

    async def answer(self, request: Request) -> Response:
        """The answer to a request, refusals included."""
        try:
            return await self._route(request)
        except RefusedError as refusal:
            if refusal.note:
                self.gate.note(request, refusal.note)
            return _refused(request, refusal)

    async def _route(self, request: Request) -> Response:
        path = request.raw_path
        if path.startswith(JSON):
            return await json_api.handle(self.gate, request, path.removeprefix(JSON))
        if path.startswith(UPLOAD):
            inner = path.removeprefix(UPLOAD)
            return await json_api.handle(self.gate, request, inner, upload=True)
        if path.startswith(DOWNLOAD):
            request.style = "json"
            if request.method != "GET" or request.param("alt") != "media":
                raise not_found()
            return await json_api.handle(self.gate, request, path.removeprefix(DOWNLOAD))
        if path == BATCH:
            return await json_batch.handle(request, self.answer)
        if path == "/token":
            return await oauth.token(self.gate.keyring, request)
        if path.startswith(oauth.SIGN_BLOB):
            request.style = "json"
            return await oauth.sign_blob(self.gate.keyring, request)
        if path.startswith(admin.PREFIX):
            return await admin.handle(self.gate, request)
        return await xml_api.handle(self.gate, request)

    async def _send(self, request: Request, response: Response, send: Any, *, close: bool) -> None:
        headers = [(n.encode("latin-1"), _value(v)) for n, v in response.headers]
        headers.append((b"date", http_date(int(self.gate.clock.now() * 1_000_000)).encode()))
        headers.append((b"server", b"UploadServer"))
        names = {name.lower() for name, _ in headers}
        if b"x-guploader-uploadid" not in names:
            headers.append((b"x-guploader-uploadid", request_id().encode()))
        length = response.length
        if isinstance(response.body, bytes):
            length = len(response.body)
        if length is not None and response.status not in {204, 304}:
            headers.append((b"content-length", str(length).encode()))
        if close:
            headers.append((b"connection", b"close"))
        if self.gate.options.verbose:
            print(f"{request.method} {request.raw_path} {response.status}", flush=True)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if request.method != "HEAD" and response.status not in {204, 304}:
            for piece in response.pieces():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _refused(request: Request, refusal: RefusedError) -> Response:
    """A refusal in the words of the API that was asked."""
    headers = list(refusal.headers.items())
    if refusal.status == 304:
        return Response(304, headers)
    if request.style == "json":
        kind, body = "application/json; charset=UTF-8", refusal.json()
    else:
        kind, body = "application/xml; charset=UTF-8", refusal.xml()
    return Response(refusal.status, [*headers, ("Content-Type", kind)], body)


async def _drained(request: Request) -> bool:
    """Read what is left of a body; no if there is too much, or the client waits to be asked."""
    if not request.declares_body or request.header("content-length") == "0":
        return True
    if request.header("expect").lower() == "100-continue":
        return False
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > DRAIN:
                return False
    except RefusedError:
        return True
    return True


def _value(text: str) -> bytes:
    """A header's bytes; metadata beyond latin-1 goes out as UTF-8."""
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        return text.encode()
