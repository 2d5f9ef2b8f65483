"""`StorageCore`: the life of a storage and its buckets."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from storage_core import keys
from storage_core.core.bucket import BucketCore
from storage_core.core.listing import Pages
from storage_core.errors import (
    BucketExistsError,
    BucketNotEmptyError,
    BucketNotFoundError,
    OutcomeUnknownError,
    UploadNotFoundError,
)
from storage_core.model import BucketInfo, Page
from storage_core.requests import ListBucketsRequest, ListVersionsRequest

if TYPE_CHECKING:
    from storage_core.core.client import Client


class StorageCore:
    """Operations on the buckets of one profile."""

    __slots__ = ("client",)

    def __init__(self, client: Client) -> None:
        self.client = client

    def bucket(self, name: str) -> BucketCore:
        keys.check_existing_bucket_name(name)
        return BucketCore(self.client, name)

    async def create_bucket(self, name: str, exist_ok: bool) -> BucketCore:
        client = self.client
        keys.check_bucket_name(name, client.capabilities.max_bucket_name)
        try:
            await client.call_bucket("create_bucket", name, client.driver.create_bucket, name)
        except BucketExistsError as error:
            if not exist_ok and error.attempts > 1:
                raise OutcomeUnknownError(
                    "the bucket exists; this call, whose first answer was lost, may have made it",
                    operation="create_bucket",
                    bucket=name,
                ) from error
            if not exist_ok:
                raise
        return BucketCore(client, name)

    async def delete_bucket(self, name: str, force: bool) -> None:
        client = self.client
        keys.check_existing_bucket_name(name)
        try:
            await self._delete_bucket(name)
        except BucketNotEmptyError:
            if not force:
                raise
            await self._empty(BucketCore(client, name))
            await self._delete_bucket(name)

    async def _delete_bucket(self, name: str) -> None:
        client = self.client
        try:
            await client.call_bucket("delete_bucket", name, client.driver.delete_bucket, name)
        except BucketNotFoundError as error:
            if error.attempts == 1:
                raise
            # An earlier try, whose answer was lost, has done it.

    async def _empty(self, bucket: BucketCore) -> None:
        """Remove all objects, versions and open uploads."""
        capabilities = self.client.capabilities
        if capabilities.versions:
            versions = bucket.pages(
                "list_versions",
                self.client.driver.list_versions_page,
                lambda token: ListVersionsRequest(
                    bucket.name, "", token, capabilities.max_page_size
                ),
            )
            # Twice: between two pages some services leave out the rest of a key whose versions
            # on the first are gone when the second is asked for.
            for _ in range(2):
                async for page in versions:
                    await _raise_first(bucket, [(item.key, item.version) for item in page.items])
        async for listed in bucket.list("", "", "", None):
            await _raise_first(bucket, [(item.key, None) for item in listed.items])
        if capabilities.multipart:
            async for uploads in bucket.list_uploads("", None):
                for upload in uploads.items:
                    with suppress(UploadNotFoundError):
                        await bucket.resume_upload(upload.id).abort()

    async def bucket_exists(self, name: str) -> bool:
        try:
            await self.bucket(name).info()
        except BucketNotFoundError:
            return False
        return True

    def list_buckets(self, prefix: str) -> Pages[BucketInfo]:
        client = self.client
        keys.check_prefix(prefix)

        async def fetch(token: str | None) -> Page[BucketInfo]:
            request = ListBucketsRequest(prefix, token, client.capabilities.max_page_size)
            return await client.call_bucket(
                "list_buckets", None, client.driver.list_buckets_page, request
            )

        return Pages(fetch)


async def _raise_first(bucket: BucketCore, items: list[tuple[str, str | None]]) -> None:
    for result in await bucket.delete_many(items, None):
        if result.error is not None:
            raise result.error
