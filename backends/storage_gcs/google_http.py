"""Google's libraries on our own HTTP: what renews credentials goes by the profile's proxy,
certificates and timeouts like all other requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from storage_core.errors import StorageError
from storage_core.http import HttpSettings, Origin, Request, open_transport
from storage_core.waiting import drive

LIMIT = 1024 * 1024
"""Bytes an answer may have."""


class Answer(NamedTuple):
    """What `google.auth.transport.Response` asks for."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class GoogleTransport:
    """A `google.auth.transport.Request`: called for each request, in a thread of its own."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_options: object,
    ) -> Answer:
        """Send a request; its errors are Google's, which its libraries know what to do with."""
        from google.auth import exceptions

        try:
            return drive(self._send(url, method, body, headers or {}))
        except StorageError as error:
            refused: Any = exceptions.TransportError
            raise refused(error.message) from error

    async def _send(
        self, url: str, method: str, body: bytes | str | None, headers: Mapping[str, str]
    ) -> Answer:
        origin = Origin.of(url)
        target = url.partition("://")[2].partition("/")[2]
        data = body.encode() if isinstance(body, str) else body
        transport = await open_transport("blocking", self._settings)
        try:
            response = await transport.send(Request(method, origin, f"/{target}", headers, data))
            return Answer(response.status, response.headers, await response.body(LIMIT))
        finally:
            await transport.close()
