"""`Wire`: an opened account and its connections, and the one place that sends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from storage_core.errors import (
    BucketNotFoundError,
    NotFoundError,
    StorageError,
    TransientError,
    UnsupportedError,
)
from storage_core.http import Request, Response, Transport
from storage_core.http.interface import Content
from storage_core.model import Buffer
from storage_gcs import errors, requests, responses
from storage_gcs.credentials import Account
from storage_gcs.errors import Asked
from storage_gcs.names import Endpoint, Options, Place

ANSWER: Final = 64 * 1024**2
"""Bytes an answer of JSON or XML may have; a page of a thousand long keys has some 10 MiB."""
ERROR: Final = 256 * 1024
"""Bytes of an error's answer that are taken."""


class Wire:
    """What the operations send through.

    Attributes:
        account: Who asks.
        endpoint: Where.
        options: The profile's settings that requests need.
    """

    __slots__ = ("_place", "_transport", "account", "endpoint", "options", "origin")

    def __init__(
        self, account: Account, endpoint: Endpoint, transport: Transport, options: Options
    ) -> None:
        self.account = account
        self.endpoint = endpoint
        self.origin = endpoint.origin
        self.options = options
        self._transport = transport
        self._place = endpoint.bucket

    def place(self, bucket: str) -> Place:
        """Address of a bucket."""
        return self._place(bucket)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def send(
        self,
        asked: Asked,
        bucket: str | None,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: Buffer | Content | None = None,
    ) -> Response:
        """Send a request; an answer that is none of success is raised.

        Args:
            asked: What it is about.
            bucket: The one it is in, to be asked for where a 404 does not say what is missing.
            method: Of HTTP.
            target: Path and query.
            headers: Besides those of all requests.
            body: None sends none.
        """
        own = self.account.headers
        if own is None:
            own = await self.account.get()
        sent = {**own, **headers} if headers else own
        response = await self._transport.send(Request(method, self.origin, target, sent, body))
        if 200 <= response.status < 300:
            return response
        raise await self._failure(response, asked, bucket, own)

    async def json(
        self,
        asked: Asked,
        bucket: str | None,
        method: str,
        path: str,
        parameters: Iterable[tuple[str, str | None]] = (),
        body: bytes | None = None,
    ) -> dict[str, Any]:
        """Ask the JSON API; the answer, an empty one where it has none."""
        target = requests.query(path, parameters)
        headers = _JSON if body is not None else None
        response = await self.send(asked, bucket, method, target, headers, body)
        data = await self.data(response)
        return responses.parse_json(data) if data else {}

    async def data(self, response: Response) -> bytes:
        """The whole body of an answer."""
        data = response.data
        return data if data is not None else await response.body(ANSWER)

    async def _failure(
        self, response: Response, asked: Asked, bucket: str | None, sent: Mapping[str, str]
    ) -> StorageError:
        body = response.data
        if body is None:
            try:
                body = await response.body(ERROR)
            except TransientError:
                body = b""  # the status says enough
        error = errors.error_of(
            response.status, response.headers, body, asked, endpoint=self.endpoint.url
        )
        if errors.is_refusal(error) and self.account.refused(sent):
            # Newer credentials may do: core tries again, and asks for them then.
            error.retryable = True
        if bucket is not None and isinstance(error, NotFoundError) and not errors.is_certain(error):
            if await self.bucket_is_missing(bucket):
                return BucketNotFoundError("the bucket does not exist", status=404)
            if isinstance(error, BucketNotFoundError):
                return UnsupportedError("the service knows no such request", status=404)
        return error

    async def bucket_is_missing(self, bucket: str) -> bool:
        """Whether the service says so; not where it does not let us ask."""
        path = requests.query(self.place(bucket).json, (("fields", "name"),))
        try:
            await self.data(await self.send(errors.GET_BUCKET, None, "GET", path))
        except BucketNotFoundError:
            return True
        except TransientError:
            raise
        except StorageError:
            return False
        return False


_JSON: Final = {"content-type": "application/json; charset=UTF-8"}
