"""What all operations share: an account, a transport, and the way of one signed request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import time
from typing import TYPE_CHECKING, Final

from storage_core.driver import IO, Driver
from storage_core.errors import (
    AuthenticationError,
    BucketNotFoundError,
    ConfigError,
    NotFoundError,
    ObjectNotFoundError,
    StorageError,
    UploadNotFoundError,
    VersionNotFoundError,
)
from storage_core.http.interface import (
    Content,
    Origin,
    Request,
    Response,
    Transport,
    open_transport,
)
from storage_core.http.xml import Element, parse_xml
from storage_core.model import EMPTY, BucketInfo, Buffer
from storage_s3.chunked import ChunkedContent, Trailer
from storage_s3.credentials import Account
from storage_s3.errors import REFUSED, Asked, Kind, error_of, error_of_code
from storage_s3.signing import (
    EMPTY_SHA256,
    STREAMING,
    STREAMING_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    Signer,
    encode_key,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from storage_s3.settings import Options, S3Settings

ANSWER_LIMIT: Final = 32 * 1024**2
"""Bytes of an XML answer that are read at most. A full page of the longest keys has 4 MiB."""
_ERROR_LIMIT: Final = 1024**2

_FRAMED = frozenset((STREAMING, STREAMING_TRAILER, STREAMING_UNSIGNED_TRAILER))
_LIST = Asked("s3:ListBucket", "bucket")
_OF_KEYS: Mapping[Kind, tuple[type[NotFoundError], str]] = {
    "upload": (
        UploadNotFoundError,
        "the upload does not exist, or was completed or aborted before",
    ),
    "version": (VersionNotFoundError, "the object has no such version"),
}
_NOTHING = "list-type=2&max-keys=0"
_request: Callable[[tuple[str, Origin, str, Mapping[str, str], Buffer | Content | None]], Request]
_request = partial(tuple.__new__, Request)  # as `Request`, without a call of Python's


class Calls(Driver):
    """A driver that can send requests; the operations are in its subclasses."""

    settings: S3Settings

    def __init__(self, settings: BaseModel) -> None:
        super().__init__(settings)
        self.capabilities = self.settings.capabilities()
        self._preset = self.settings.service
        self._quoted = self._preset.quoted_etags
        self._versions = self.capabilities.versions
        self._account: Account
        self._transport: Transport | None = None
        self._options: Options

    # --- life -------------------------------------------------------------------------

    async def open(self, io: IO) -> None:
        await super().open(io)
        self._account = Account(self.settings, io)
        await self._account.open()
        scheme = self._account.endpoint.origin.scheme
        self._plain = scheme == "http"
        self._options = options = self.settings.options(scheme)
        self._whole_headers = dict(options.read)
        if options.checksums:
            self._whole_headers["x-amz-checksum-mode"] = "ENABLED"
        self._announced: dict[str, str] = {}
        if options.checksums and self._preset.announced:
            self._announced = {"x-amz-sdk-checksum-algorithm": "CRC32C"}
        self._transport = await open_transport(io, self.settings.http)

    async def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    # --- requests ---------------------------------------------------------------------

    async def _send(
        self,
        asked: Asked,
        method: str,
        bucket: str | None,
        key: str | None = None,
        query: str = "",
        headers: Mapping[str, str] = EMPTY,
        body: Buffer | Content | None = None,
        payload: str = EMPTY_SHA256,
        trailer: Trailer | None = None,
    ) -> Response:
        """Sign and send one request.

        Args:
            asked: What it is about, for errors.
            method: Of HTTP.
            bucket: None for requests about the account.
            key: None for requests about the bucket.
            query: Encoded and in the order that is signed.
            headers: Names in lower case; all of them are signed.
            body: None sends none.
            payload: What the signature says of the body.
            trailer: Checksum behind a framed body.

        Returns:
            An answer of status 2xx; its body is still to be read.
        """
        account, transport = self._account, self._transport
        assert transport is not None, "the driver is not open"
        endpoint = account.endpoint
        if bucket is None:
            origin, path = endpoint.origin, endpoint.root
            host = origin.authority
        else:
            origin, host, root, _ = endpoint.bucket(bucket)
            path = root or "/" if key is None else f"{root}/{encode_key(key)}"
        signer = account.signer
        if signer is None and not account.anonymous:
            signer = await account.get()
        if signer is not None:
            headers = signer.sign(method, host, path, query, headers, payload, time())
            if payload in _FRAMED:
                seed = None if payload == STREAMING_UNSIGNED_TRAILER else signer.seed(headers)
                body = ChunkedContent(body, seed, trailer)  # type: ignore[arg-type]
        target = f"{path}?{query}" if query else path
        response = await transport.send(_request((method, origin, target, headers, body)))
        if response.status < 300:
            return response
        raise await self._failure(response, asked, method, bucket, signer)

    async def _failure(
        self,
        response: Response,
        asked: Asked,
        method: str,
        bucket: str | None,
        signer: Signer | None,
    ) -> StorageError:
        """The error an answer means."""
        data = response.data
        if data is None:
            try:
                data = await response.body(_ERROR_LIMIT)
            finally:
                await response.close()
        account = self._account
        error = error_of(
            response.status,
            response.headers,
            data,
            asked,
            region=account.region,
            endpoint=account.endpoint.url,
        )
        if asked.kind in _OF_KEYS and type(error) is ObjectNotFoundError:
            error = _gone(error, asked.kind)
        if error.code in REFUSED and account.refused(signer):
            error.retryable = error.unsent = True
        elif error.code is None and bucket is not None:
            return await self._told(error, asked, method, bucket)
        return error

    async def _told(
        self, error: StorageError, asked: Asked, method: str, bucket: str
    ) -> StorageError:
        """The error that an answer without a code left open: the bucket may be missing where
        an object was asked for, and the credentials may be wrong where the answer to HEAD,
        which has no body, is a refusal."""
        try:
            if isinstance(error, NotFoundError) and asked.kind != "bucket":
                await self.head_bucket(bucket)
            elif method == "HEAD" and error.status in {400, 403}:
                await self._done(
                    await self._send(_LIST, "GET", bucket, None, _NOTHING, self._options.read)
                )
        except (BucketNotFoundError, AuthenticationError, ConfigError) as told:
            return told
        except StorageError:
            pass
        return error

    async def head_bucket(self, name: str) -> BucketInfo:
        await self._done(await self._send(_LIST, "HEAD", name, headers=self._options.read))
        return BucketInfo(name)

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

    async def _result(self, response: Response, asked: Asked) -> Element:
        """The XML of a composed operation, which may fail after status 200 was sent. The
        service may send white space to keep the connection busy."""
        root = parse_xml((await self._body(response)).lstrip())
        if root.name == "Error":
            code, message = root.get("Code") or "InternalError", root.get("Message") or ""
            raise error_of_code(code, message, asked, status=response.status)
        return root


def _gone(error: ObjectNotFoundError, kind: Kind) -> NotFoundError:
    """Some services say of a missing session or version that the key is not there."""
    cls, message = _OF_KEYS[kind]
    return cls(
        message,
        status=error.status,
        code=error.code,
        request_id=error.request_id,
    )
