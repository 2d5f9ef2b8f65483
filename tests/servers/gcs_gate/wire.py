"""Requests and answers of HTTP, as ASGI hands them over, without any interpretation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, unquote_to_bytes

from tests.servers.gcs_gate.errors import RefusedError, invalid

LARGEST_DOCUMENT = 8 << 20
"""Bytes of a JSON or XML body."""


class GoneError(Exception):
    """The client went away in the middle of its body."""


@dataclass
class Request:
    """One request.

    Attributes:
        method: In capitals.
        raw_path: As it was sent, percent-encoded.
        raw_query: As it was sent.
        headers: Names in small letters, values as sent, in order.
        receive: Of ASGI.
        style: The API that words refusals: "json" or "xml".
        sha256: What a signature says of the body, hexadecimal.
    """

    method: str
    raw_path: str
    raw_query: str
    headers: list[tuple[str, str]]
    receive: Any = None
    style: str = "xml"
    sha256: str | None = None
    body: bytes | None = None
    consumed: bool = False
    query: list[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.query = list(split_query(self.raw_query))

    def header(self, name: str, default: str = "") -> str:
        """A header that may be sent once."""
        values = self.header_values(name)
        if len(values) > 1:
            raise invalid(f"{name} was sent {len(values)} times")
        return values[0].strip() if values else default

    def header_values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.headers if key == name]

    def param(self, name: str, default: str | None = None) -> str | None:
        """A parameter of the query that may be sent once."""
        values = [value for key, value in self.query if key == name]
        if len(values) > 1:
            raise invalid(f"{name} was sent {len(values)} times", location=name)
        return values[0] if values else default

    @property
    def host(self) -> str:
        """What the client believes to talk to."""
        return self.header("host")

    @property
    def origin(self) -> str:
        """Scheme and host for links to this server."""
        return f"http://{self.host}"

    async def stream(self) -> AsyncIterator[bytes]:
        """The body in pieces.

        Raises:
            GoneError: the client went away first.
        """
        self.consumed = True
        digest = hashlib.sha256() if self.sha256 else None
        async for piece in self._pieces():
            if digest:
                digest.update(piece)
            yield piece
        if digest and digest.hexdigest() != self.sha256:
            raise RefusedError(
                400,
                "BadDigest",
                "invalid",
                "The x-goog-content-sha256 you signed did not match what we received.",
            )

    async def _pieces(self) -> AsyncIterator[bytes]:
        if self.body is not None:
            yield self.body
            return
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body"):
                return

    async def read(self) -> bytes:
        """The whole body, of a document."""
        pieces = bytearray()
        async for piece in self.stream():
            pieces += piece
            if len(pieces) > LARGEST_DOCUMENT:
                raise invalid("the document is too large", code="EntityTooLarge")
        return bytes(pieces)

    async def read_json(self) -> dict[str, Any]:
        """The body as JSON; none is an empty object."""
        data = await self.read()
        if not data.strip():
            return {}
        kind = self.header("content-type").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise invalid(f"Content-Type is {kind!r}, not application/json")
        return parse_json(data)

    @property
    def declares_body(self) -> bool:
        """Whether the length of the body is told, or that it comes in chunks."""
        return bool(self.header("content-length") or self.header("transfer-encoding"))


@dataclass
class Response:
    """One answer; a body is bytes, or pieces with the length told."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | Iterable[bytes] = b""
    length: int | None = None

    def pieces(self) -> Iterator[bytes]:
        """The body."""
        if isinstance(self.body, bytes):
            yield self.body
        else:
            yield from self.body


def json_response(resource: dict | None, status: int = 200, **headers: str) -> Response:
    """A JSON answer."""
    data = b"" if resource is None else json.dumps(resource).encode()
    made = [("Content-Type", "application/json; charset=UTF-8")]
    made += [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Response(status, made, data)


def parse_json(data: bytes) -> dict[str, Any]:
    """A JSON object."""
    try:
        value = json.loads(data)
    except ValueError:
        raise RefusedError(400, "InvalidArgument", "parseError", "Parse Error") from None
    if not isinstance(value, dict):
        raise RefusedError(400, "InvalidArgument", "parseError", "This API only accepts objects")
    return value


def split_query(raw: str) -> Iterator[tuple[str, str]]:
    """Names and values of a query."""
    for pair in raw.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            yield unquote_plus(name), unquote_plus(value)


def decode_segment(raw: str) -> str:
    """A name out of a path; it has to be UTF-8 (docs: objects#naming)."""
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise invalid("the name is not valid UTF-8", code="InvalidArgument") from None
