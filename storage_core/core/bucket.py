"""`BucketCore`: the operations on the objects of one bucket, as coroutines."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from storage_core import keys
from storage_core.core import attributes as attribute_rules
from storage_core.core import copying
from storage_core.core.bodies import Data, make_body
from storage_core.core.listing import Pages
from storage_core.core.reader import ReaderCore
from storage_core.core.sending import send
from storage_core.core.upload import UploadCore, public_upload_id, split_upload_id
from storage_core.core.writer import WriterCore
from storage_core.errors import (
    BucketNotFoundError,
    InvalidRequestError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    QuotaExceededError,
    StorageError,
)
from storage_core.model import (
    NO_CONDITIONS,
    Attributes,
    BucketInfo,
    ByteRange,
    Conditions,
    DeleteResult,
    ObjectInfo,
    ObjectSummary,
    Page,
    Prefix,
    PutResult,
    UploadInfo,
    VersionSummary,
)
from storage_core.requests import (
    CreateUploadRequest,
    DeleteManyRequest,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    ListRequest,
    ListUploadsRequest,
    ListVersionsRequest,
    PutRequest,
    PutTagsRequest,
    TagsRequest,
)

if TYPE_CHECKING:
    from storage_core.core.client import Client

T = TypeVar("T")
R = TypeVar("R")

Range = tuple[int, int | None]


class BucketCore:
    """Operations on one bucket. Arguments are those of the faces, in their order."""

    __slots__ = ("client", "name")

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name

    async def info(self) -> BucketInfo:
        driver = self.client.driver
        return await self.client.call_bucket("info", self.name, driver.head_bucket, self.name)

    # --- reading ----------------------------------------------------------------------

    async def get(
        self,
        key: str,
        byte_range: Range | None,
        version: str | None,
        conditions: Conditions,
        verify: bool,
        seconds: float | None,
    ) -> ReaderCore:
        client = self.client
        keys.check_existing_key(key, client.capabilities.max_key_bytes)
        if version is not None:
            client.require(client.capabilities.versions, "versions")
        if conditions is not NO_CONDITIONS:
            client.require_conditions("get", conditions)
        request = GetRequest(
            self.name,
            key,
            None if byte_range is None else ByteRange.of(byte_range),
            version,
            conditions,
        )
        deadline = client.deadline(seconds)
        stream = await client.call("get", client.driver.get, request, deadline)
        return ReaderCore(client, request, stream, verify, deadline)

    async def head(
        self, key: str, version: str | None, conditions: Conditions, seconds: float | None
    ) -> ObjectInfo:
        client = self.client
        keys.check_existing_key(key, client.capabilities.max_key_bytes)
        if version is not None:
            client.require(client.capabilities.versions, "versions")
        if conditions is not NO_CONDITIONS:
            client.require_conditions("head", conditions)
        request = HeadRequest(self.name, key, version, conditions)
        return await client.call("head", client.driver.head, request, client.deadline(seconds))

    async def exists(self, key: str, version: str | None, seconds: float | None) -> bool:
        try:
            await self.head(key, version, NO_CONDITIONS, seconds)
        except ObjectNotFoundError:
            return False
        return True

    # --- writing ----------------------------------------------------------------------

    async def put(
        self,
        key: str,
        data: Data,
        size: int | None,
        attributes: Attributes,
        conditions: Conditions,
        checksums: Mapping[str, str] | None,
        compute: Iterable[str],
        seconds: float | None,
    ) -> PutResult:
        client = self.client
        capabilities = client.capabilities
        keys.check_key(key, capabilities.max_key_bytes)
        client.require_conditions("put", conditions)
        attributes = attribute_rules.checked(client, attributes)
        wanted = self.digests_to_compute(compute)
        deadline = client.deadline(seconds)
        body = make_body(
            data,
            client.runtime,
            size=size,
            expected=checksums,
            compute=wanted,
            deadline=deadline,
        )
        if body.size is None and not capabilities.unsized_put:
            writer = self.writer(key, attributes, conditions, None, compute, seconds)
            return await writer.take(body)
        if body.size is not None and body.size > capabilities.max_object_size:
            raise QuotaExceededError(
                f"the body has {body.size} bytes, an object at most {capabilities.max_object_size}"
            )
        if body.size is not None and body.size > capabilities.max_put_size:
            writer = self.writer(key, attributes, conditions, None, compute, seconds)
            return await writer.take(body)
        keep = tuple(n for n in (*compute, *(checksums or ())) if n in capabilities.checksums)
        write_id = self.write_id(conditions)
        request = PutRequest(self.name, key, body, attributes, conditions, keep, write_id)

        async def settle(error: StorageError) -> PutResult | None:
            return await self.own_write(key, write_id, error)

        result = await send(
            client,
            "put",
            client.driver.put,
            request,
            deadline,
            None if conditions is NO_CONDITIONS else settle,
        )
        digests = body.digests()
        return replace(result, checksums={**result.checksums, **digests})

    def digests_to_compute(self, asked: Iterable[str]) -> tuple[str, ...]:
        """Algorithms of a write: the profile's own and those the caller asks for."""
        default = self.client.capabilities.default_checksum
        return (default, *asked) if default else tuple(asked)

    def write_id(self, conditions: Conditions) -> str | None:
        """A new id where it can resolve a lost answer to a conditional write."""
        if conditions is NO_CONDITIONS or not self.client.capabilities.write_ids:
            return None
        return os.urandom(8).hex()

    async def own_write(
        self, key: str, write_id: str | None, error: StorageError
    ) -> PutResult | None:
        """After a conditional write whose answer was lost: its result if it happened, None
        if it did not.

        Raises:
            OutcomeUnknownError: it can not be told.
        """
        if write_id is None:
            raise OutcomeUnknownError(
                "the answer was lost and this profile can not tell whose write it was;"
                " look at the object before writing again"
            ).with_context("put", self.name, key) from error
        try:
            info = await self.head(key, None, NO_CONDITIONS, None)
        except ObjectNotFoundError:
            return None
        except StorageError as unseen:
            raise OutcomeUnknownError(
                "the answer was lost and the object could not be looked at either"
            ).with_context("put", self.name, key) from unseen
        if info.write_id != write_id:
            return None
        return PutResult(key, info.etag, info.size, info.version, info.checksums)

    def writer(
        self,
        key: str,
        attributes: Attributes,
        conditions: Conditions,
        checksums: Mapping[str, str] | None,
        compute: Iterable[str],
        seconds: float | None,
    ) -> WriterCore:
        client = self.client
        keys.check_key(key, client.capabilities.max_key_bytes)
        client.require_conditions("put", conditions)
        attribute_rules.checked(client, attributes)
        return WriterCore(
            self, key, attributes, conditions, dict(checksums or {}), tuple(compute), seconds
        )

    async def delete(
        self, key: str, version: str | None, conditions: Conditions, seconds: float | None
    ) -> DeleteResult:
        client = self.client
        keys.check_existing_key(key, client.capabilities.max_key_bytes)
        if version is not None:
            client.require(client.capabilities.versions, "versions")
        client.require_conditions("delete", conditions)
        request = DeleteRequest(self.name, key, version, conditions)
        deadline = client.deadline(seconds)
        if conditions is NO_CONDITIONS:
            return await client.call("delete", client.driver.delete, request, deadline)
        # A conditional delete whose answer is lost may have happened: do not repeat it.
        return await client.guard("delete", self.name, key, client.driver.delete(request))

    async def delete_many(
        self, items: Iterable[str | tuple[str, str | None]], seconds: float | None
    ) -> list[DeleteResult]:
        client = self.client
        pairs = [(item, None) if isinstance(item, str) else item for item in items]
        for key, version in pairs:
            keys.check_existing_key(key, client.capabilities.max_key_bytes)
            if version is not None:
                client.require(client.capabilities.versions, "versions")
        limit = client.capabilities.delete_many_limit
        if limit <= 1:
            return [await self._delete_one(key, version, seconds) for key, version in pairs]
        results: list[DeleteResult] = []
        deadline = client.deadline(seconds)
        for start in range(0, len(pairs), limit):
            request = DeleteManyRequest(self.name, pairs[start : start + limit])
            answer = await client.call_bucket(
                "delete_many", self.name, client.driver.delete_many, request, deadline
            )
            for result in answer:
                if result.error is not None:
                    result.error.with_context("delete_many", self.name, result.key)
                results.append(result)
        return results

    async def _delete_one(
        self, key: str, version: str | None, seconds: float | None
    ) -> DeleteResult:
        try:
            return await self.delete(key, version, NO_CONDITIONS, seconds)
        except BucketNotFoundError:
            raise
        except StorageError as error:
            return DeleteResult(key, version, error=error)

    copy = copying.copy
    move = copying.move
    update_metadata = copying.update_metadata

    # --- tags -------------------------------------------------------------------------

    async def get_tags(self, key: str, version: str | None) -> dict[str, str]:
        client = self.client
        client.require(client.capabilities.tags, "tags")
        keys.check_existing_key(key, client.capabilities.max_key_bytes)
        request = TagsRequest(self.name, key, version)
        return dict(await client.call("get_tags", client.driver.get_tags, request))

    async def put_tags(self, key: str, tags: Mapping[str, str], version: str | None) -> None:
        client = self.client
        client.require(client.capabilities.tags, "tags")
        keys.check_existing_key(key, client.capabilities.max_key_bytes)
        keys.check_tags(tags, client.capabilities.max_tags)
        request = PutTagsRequest(self.name, key, dict(tags), version)
        await client.call("put_tags", client.driver.put_tags, request)

    # --- listings ---------------------------------------------------------------------

    def pages(
        self,
        operation: str,
        method: Callable[[R], Awaitable[Page[T]]],
        request: Callable[[str | None], R],
    ) -> Pages[T]:
        """A lazy listing of this bucket: ``request`` makes the request behind a token."""
        client = self.client

        async def fetch(token: str | None) -> Page[T]:
            return await client.call_bucket(operation, self.name, method, request(token))

        return Pages(fetch)

    def page_size(self, asked: int | None) -> int:
        most = self.client.capabilities.max_page_size
        if asked is None:
            return most
        if asked < 1:
            raise InvalidRequestError(f"page_size {asked} is not at least 1")
        return min(asked, most)

    def list(
        self, prefix: str, delimiter: str, start_after: str, page_size: int | None
    ) -> Pages[ObjectSummary | Prefix]:
        client = self.client
        for text, what in (
            (prefix, "prefix"),
            (delimiter, "delimiter"),
            (start_after, "start_after"),
        ):
            keys.check_prefix(text, what)
        if start_after:
            client.require(client.capabilities.ordered_listing, "start_after")
        size = self.page_size(page_size)
        return self.pages(
            "list",
            client.driver.list_page,
            lambda token: ListRequest(self.name, prefix, delimiter, start_after, token, size),
        )

    def list_versions(self, prefix: str, page_size: int | None) -> Pages[VersionSummary]:
        client = self.client
        client.require(client.capabilities.versions, "versions")
        keys.check_prefix(prefix)
        size = self.page_size(page_size)
        return self.pages(
            "list_versions",
            client.driver.list_versions_page,
            lambda token: ListVersionsRequest(self.name, prefix, token, size),
        )

    # --- multipart sessions -----------------------------------------------------------

    async def create_upload(
        self, key: str, attributes: Attributes, compute: Iterable[str]
    ) -> UploadCore:
        client = self.client
        client.require(client.capabilities.multipart, "multipart uploads")
        keys.check_key(key, client.capabilities.max_key_bytes)
        attributes = attribute_rules.checked(client, attributes)
        keep = tuple(name for name in compute if name in client.capabilities.checksums)
        request = CreateUploadRequest(self.name, key, attributes, keep)
        info = await client.call("create_upload", client.driver.create_upload, request)
        return UploadCore(self, key, info.id)

    def resume_upload(self, upload_id: str) -> UploadCore:
        client = self.client
        client.require(client.capabilities.multipart, "multipart uploads")
        key, driver_id = split_upload_id(upload_id)
        return UploadCore(self, key, driver_id)

    def list_uploads(self, prefix: str, page_size: int | None) -> Pages[UploadInfo]:
        client = self.client
        client.require(client.capabilities.multipart, "multipart uploads")
        keys.check_prefix(prefix)
        size = self.page_size(page_size)

        async def fetch(token: str | None) -> Page[UploadInfo]:
            request = ListUploadsRequest(self.name, prefix, token, size)
            page = await client.call_bucket(
                "list_uploads", self.name, client.driver.list_uploads_page, request
            )
            items = [replace(item, id=public_upload_id(item.key, item.id)) for item in page.items]
            return Page(items, page.next_token)

        return Pages(fetch)
