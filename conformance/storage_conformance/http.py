"""A plain HTTP client for links: what any program without credentials would use."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage, HTTPSConnection
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read to its end. Names of headers are case-insensitive."""

    status: int
    headers: HTTPMessage
    body: bytes


class HttpClient:
    """One connection per request; nothing of the URL is rewritten."""

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
    ) -> Response:
        """Send a request. The URL goes out as it is, from the slash after the host on; a body
        that is an iterable goes out in chunks, without a length."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        host = parts.hostname or ""
        if parts.scheme == "https":
            connection: HTTPConnection = HTTPSConnection(
                host, parts.port, timeout=60, context=ssl.create_default_context()
            )
        else:
            connection = HTTPConnection(host, parts.port, timeout=60)
        try:
            connection.request(method, url[len(origin) :] or "/", body, dict(headers or {}))
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()
