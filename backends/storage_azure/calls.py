"""What all operations share: an account, a transport, and the way of one signed request."""

from __future__ import annotations

from collections.abc import Mapping
from time import sleep, time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from storage_azure.credentials import Account
from storage_azure.errors import REFUSED, Asked, Context, error_of
from storage_azure.keys import encode_key, quote_name
from storage_azure.signing import API_VERSION, Query, encode_query
from storage_core import deadline
from storage_core.driver import IO, Driver
from storage_core.errors import StorageError
from storage_core.http.dates import format_http_date, parse_http_date
from storage_core.http.interface import Content, Request, Response, Transport, open_transport
from storage_core.model import Buffer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from storage_azure.settings import AzureSettings

ANSWER_LIMIT: Final = 64 * 1024**2
"""Bytes of an XML answer that are read at most: a list of blocks can have 100 000."""
REMEMBERED: Final = 1000
"""Buckets whose path is kept."""
_ERROR_LIMIT: Final = 1024**2
PAUSE: Final = 0.5
"""Seconds between two looks at a copy that the service makes by and by."""


class Calls(Driver):
    """A driver that can send requests; the operations are in its subclasses."""

    settings: AzureSettings

    def __init__(self, settings: BaseModel) -> None:
        super().__init__(settings)
        self._account: Account
        self._transport: Transport | None = None
        self._context: Context
        self._dated: tuple[int, str] = (0, "")
        self._ahead = 0.0
        self._refused: str | None = None
        self._versions = self.settings.versions
        self._buckets: dict[str, str] = {}

    # --- life -------------------------------------------------------------------------

    async def open(self, io: IO) -> None:
        await super().open(io)
        account = Account(self.settings, io)
        self._account = account
        self._buckets.clear()
        self._context = context_of(account)
        self._transport = await open_transport(io, self.settings.http)

    async def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    def filesystem(self) -> Any:
        """The account as a filesystem of adlfs, for libraries that take one."""
        return self._account.filesystem()

    # --- requests ---------------------------------------------------------------------

    def _path(self, bucket: str, name: str | None = None) -> str:
        """Path of a container, or of a blob in it, as it is sent."""
        place = self._buckets.get(bucket)
        if place is None:
            place = f"{self._account.base}/{quote_name(bucket)}"
            if len(self._buckets) < REMEMBERED:
                self._buckets[bucket] = place
        return place if name is None else f"{place}/{quote_name(name)}"

    def _object(self, bucket: str, key: str) -> str:
        """Path of an object."""
        return self._path(bucket, encode_key(key))

    def _date(self, now: float) -> str:
        """The time as a header; the same for a second."""
        second, text = self._dated
        if int(now) != second:
            from datetime import UTC, datetime

            text = format_http_date(datetime.fromtimestamp(int(now), UTC))
            self._dated = int(now), text
        return text

    async def _send(
        self,
        asked: Asked,
        method: str,
        path: str,
        headers: dict[str, str],
        query: Query = (),
        body: Buffer | Content | None = None,
    ) -> Response:
        """Sign and send one request.

        Args:
            asked: What it is about, for errors.
            method: Of HTTP.
            path: As it is sent.
            headers: Names in lower case; those of the signature are added.
            query: Parameters as text, ascending by name.
            body: None sends none.

        Returns:
            An answer of status 2xx; its body is still to be read.
        """
        account, transport = self._account, self._transport
        assert transport is not None, "the driver is not open"
        headers["x-ms-date"] = self._date(time())
        headers["x-ms-version"] = API_VERSION
        target = f"{path}?{encode_query(query)}" if query else path
        token = None
        if account.key is not None:
            length = 0
            if body is not None:
                size = len(body) if isinstance(body, bytes | bytearray | memoryview) else body.size
                length = size or 0
            headers["authorization"] = account.key.authorization(
                method, path, query, headers, length
            )
        elif account.sas:
            target = f"{target}{'&' if query else '?'}{account.sas}"
        elif account.tokens is not None:
            token = account.tokens.current or await account.tokens.get()
            headers["authorization"] = f"Bearer {token}"
        response = await transport.send(Request(method, account.origin, target, headers, body))
        if response.status < 300:
            return response
        raise await self._failure(response, asked, token, path)

    async def _failure(
        self, response: Response, asked: Asked, token: str | None, path: str
    ) -> StorageError:
        """The error an answer means."""
        data = response.data
        if data is None:
            try:
                data = await response.body(_ERROR_LIMIT)
            finally:
                await response.close()
        bucket = unquote(path[len(self._account.base) + 1 :].partition("/")[0])
        context = self._context._replace(bucket=bucket)
        error = error_of(response.status, response.headers, data, asked, context)
        tokens = self._account.tokens
        if token is not None and tokens is not None and error.code in REFUSED:
            # It may have been revoked: once more with a new one, unless the same comes back.
            newest = tokens.current == token
            if newest:
                tokens.refused()
            if not newest or token != self._refused:
                error.retryable = error.unsent = True
            self._refused = token
        return error

    async def _body(self, response: Response) -> bytes:
        """All of an answer."""
        data = response.data
        if data is not None:
            return data
        try:
            return await response.body(ANSWER_LIMIT)
        finally:
            await response.close()

    async def _done(self, response: Response) -> Mapping[str, str]:
        """Read an answer whose body tells nothing; its headers."""
        if response.data is None:
            await self._body(response)
        return response.headers

    async def _call(
        self,
        asked: Asked,
        method: str,
        path: str,
        headers: dict[str, str],
        query: Query = (),
        body: Buffer | Content | None = None,
    ) -> Mapping[str, str]:
        """As `_send`, for answers whose headers tell all."""
        return await self._done(await self._send(asked, method, path, headers, query, body))

    async def _pause(self) -> None:
        """Wait before the service is asked again how far it is."""
        if self.io == "blocking":
            sleep(max(0.0, deadline.left(PAUSE)))  # noqa: ASYNC251 - no loop runs here
            return
        import asyncio

        await asyncio.sleep(PAUSE)

    def _now(self, headers: Mapping[str, str]) -> float:
        """The service's time as an answer of it tells, in seconds of the epoch."""
        try:
            return parse_http_date(headers["date"]).timestamp()
        except (KeyError, ValueError):
            return time()


def context_of(account: Account) -> Context:
    """What errors tell of an account."""
    if account.key is not None:
        return Context(account.access.account, "key")
    if account.sas:
        return Context(account.access.account, "sas", account.sas_expiry)
    if account.tokens is not None:
        return Context(account.access.account, "token")
    return Context(account.access.account, "anonymous")
