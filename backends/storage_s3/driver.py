"""The driver: account and transport of one profile, and the operations on them.

Each kind of operation has its module; `calls.py` has the way of a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage_core.driver import IO
from storage_core.errors import InvalidRequestError
from storage_core.model import Link, ObjectSummary, Page, Prefix, VersionSummary
from storage_core.requests import ListRequest, ListVersionsRequest, PresignRequest
from storage_s3 import presign, tokens
from storage_s3.buckets import Buckets
from storage_s3.errors import Asked
from storage_s3.listing import parse_page
from storage_s3.multipart import Uploads
from storage_s3.requests import list_query
from storage_s3.responses import parse_versions

if TYPE_CHECKING:
    from pydantic import BaseModel

_LIST = Asked("s3:ListBucket", "bucket")
_LIST_VERSIONS = Asked("s3:ListBucketVersions", "bucket")


class S3Driver(Buckets, Uploads):
    """Amazon S3, and services that speak its API; see `storage_s3.settings`."""

    name = "s3"
    supported_io: frozenset[IO] = frozenset(("blocking", "asyncio"))

    @classmethod
    def settings_model(cls) -> type[BaseModel]:
        from storage_s3.settings import S3Settings

        return S3Settings

    def describe(self) -> str:
        settings = self.settings
        account = getattr(self, "_account", None)
        if account is not None:
            return f"s3 {account.endpoint.url} ({account.region})"
        place = settings.endpoint_url or settings.preset_name
        return f"s3 {place} ({settings.region})" if settings.region else f"s3 {place}"

    def filesystem(self) -> Any:
        """The same account as a filesystem of s3fs, for other libraries.

        Raises:
            ConfigError: s3fs is not installed.
        """
        return self._account.filesystem()

    # --- listings ---------------------------------------------------------------------

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        start_after = "" if request.token else request.start_after
        query = list_query(
            limit=("max-keys", request.limit),
            prefix=request.prefix,
            names=(
                ("list-type", "2"),
                ("delimiter", request.delimiter),
                ("start-after", start_after),
                ("continuation-token", request.token or ""),
            ),
        )
        response = await self._send(_LIST, "GET", request.bucket, None, query, self._options.read)
        return parse_page(await self._body(response))

    async def list_versions_page(self, request: ListVersionsRequest) -> Page[VersionSummary]:
        key, version = tokens.split(request.token)
        query = list_query(
            limit=("max-keys", request.limit),
            prefix=request.prefix,
            names=(("key-marker", key), ("version-id-marker", version)),
            sub_resource="versions",
        )
        response = await self._send(
            _LIST_VERSIONS, "GET", request.bucket, None, query, self._options.read
        )
        items, following = parse_versions(await self._body(response))
        return Page(items, None if following is None else tokens.join(*following))

    # --- links ------------------------------------------------------------------------

    async def presign(self, request: PresignRequest) -> Link:
        account = self._account
        signer = account.signer or await account.get()
        if signer is None:
            raise InvalidRequestError("an anonymous profile has no keys to sign links with")
        if request.upload_id is not None:
            request = request._replace(upload_id=self._session(request.upload_id)[0])
        place = account.endpoint.bucket(request.bucket)
        return presign.presign(request, place, signer, self._options)
