"""`BucketCore`: the operations on the objects of one bucket, as coroutines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from copy import copy as shallow_copy
from dataclasses import replace
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar, cast

from storage_core import keys
from storage_core.core import attributes as attribute_rules
from storage_core.core import copying
from storage_core.core.bodies import Data, make_body
from storage_core.core.listing import Pages
from storage_core.core.reader import ReaderCore
from storage_core.core.sending import Settle, send, send_again
from storage_core.core.settling import look, new_write_id, settle_write, unknown
from storage_core.core.upload import UploadCore, public_upload_id, split_upload_id
from storage_core.core.writer import WriterCore
from storage_core.errors import (
    BucketNotFoundError,
    ClosedError,
    InvalidRequestError,
    ObjectNotFoundError,
    QuotaExceededError,
    StorageError,
)
from storage_core.model import (
    NO_ATTRIBUTES,
    NO_CONDITIONS,
    Attributes,
    BucketInfo,
    ByteRange,
    Conditions,
    DeleteResult,
    ObjectInfo,
    ObjectSummary,
    Operation,
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
    from storage_core.core.retry import Deadline
    from storage_core.streams import Body

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

    def check_read(
        self, operation: Operation, key: str, version: str | None, conditions: Conditions
    ) -> None:
        """Refuse a read that can not be carried out, before any I/O."""
        client = self.client
        keys.check_existing_key(key, client.capabilities.max_key_bytes)
        if version is not None:
            client.require(client.capabilities.versions, "versions")
        if conditions is not NO_CONDITIONS:
            client.require_conditions(operation, conditions)

    async def get(
        self,
        key: str,
        byte_range: Range | None,
        version: str | None,
        conditions: Conditions,
        verify: bool,
        seconds: float | Deadline | None,
    ) -> ReaderCore:
        client = self.client
        self.check_read("get", key, version, conditions)
        wanted = None if byte_range is None else ByteRange.of(byte_range)
        request = GetRequest(self.name, key, wanted, version, conditions)
        deadline = client.deadline(seconds)
        stream = await client.call("get", client.driver.get, request, deadline)
        return ReaderCore(client, request, stream, verify, deadline)

    async def head(
        self, key: str, version: str | None, conditions: Conditions, seconds: float | None
    ) -> ObjectInfo:
        client = self.client
        self.check_read("head", key, version, conditions)
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
        compute: Collection[str],
        seconds: float | Deadline | None,
    ) -> PutResult:
        client = self.client
        keys.check_key(key, client.capabilities.max_key_bytes)
        write_id = None
        if conditions is not NO_CONDITIONS:
            client.require_conditions("put", conditions)
            write_id = self.write_id(conditions)
        if attributes is not NO_ATTRIBUTES:
            attributes = attribute_rules.checked(client, attributes)
        deadline = client.deadline(seconds)
        asked: tuple[str, ...] = ()
        keep: tuple[str, ...] = ()
        names = self.digests_to_compute(compute) if compute else client.always
        if compute or checksums:
            # The declared digests are the body's to check, and computed as those asked for.
            asked = (*compute, *(checksums or ()))
            kept = client.capabilities.checksums
            keep = tuple([name for name in dict.fromkeys(asked) if name in kept])
        body = make_body(
            data, client.runtime, size=size, expected=checksums, compute=names, deadline=deadline
        )
        size = body.size
        if (size is None or size > client.one_put) and not self._fits_one_put(body):
            writer = self.writer(key, attributes, conditions, None, asked, deadline)
            return await writer.take(body)
        row = (self.name, key, body, attributes, conditions, keep, write_id)
        request = tuple.__new__(PutRequest, row)  # without the detour of `PutRequest(*row)`
        if client.closed:
            client.check_open()
        put = client.driver.put
        try:
            if deadline is None:
                result = await put(request)
            else:
                result = await client.runtime.within(deadline.left(), put(request))
        except Exception as failure:  # noqa: BLE001 - classified like every driver error
            settle = None if conditions is NO_CONDITIONS else self._settles_put(request, deadline)
            result = await send_again(
                client, "put", put, request, failure, deadline, body=body, settle=settle
            )
        if not body.computed or body.computed.keys() <= result.checksums.keys():
            return result
        return replace(result, checksums={**result.checksums, **body.digests()})

    def _fits_one_put(self, body: Body) -> bool:
        """Whether one request takes the body.

        Raises:
            QuotaExceededError: no number of requests would.
        """
        capabilities = self.client.capabilities
        size = body.size
        if size is None:
            return capabilities.unsized_put
        most = capabilities.max_object_size
        if not capabilities.multipart:
            most = min(most, capabilities.max_put_size)
        if size > most:
            raise QuotaExceededError(f"the body has {size} bytes, an object here at most {most}")
        return size <= capabilities.max_put_size

    def _settles_put(self, request: PutRequest, deadline: Deadline | None) -> Settle[PutResult]:
        async def settle(lost: StorageError, _: StorageError) -> PutResult | None:
            return await settle_write(
                self, "put", request.key, request.write_id, request.conditions, lost, deadline
            )

        return settle

    def digests_to_compute(self, asked: Iterable[str]) -> tuple[str, ...]:
        """Algorithms of a write: the profile's own and those the caller asks for."""
        return (*self.client.always, *asked)

    def write_id(self, conditions: Conditions) -> str | None:
        """A new id where it can resolve a lost answer to a conditional write."""
        if conditions is NO_CONDITIONS or not self.client.capabilities.write_ids:
            return None
        return new_write_id()

    def writer(
        self,
        key: str,
        attributes: Attributes,
        conditions: Conditions,
        checksums: Mapping[str, str] | None,
        compute: Iterable[str],
        seconds: float | Deadline | None,
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

        async def settle(lost: StorageError, _: StorageError) -> DeleteResult | None:
            info = await look(self, "delete", key, version, deadline)
            if info is not None and info.etag == conditions.if_match:
                return None
            raise unknown("delete", self, key, "the object is gone or another one") from lost

        delete = client.driver.delete
        return await send(client, "delete", delete, request, deadline, settle=settle)

    async def delete_many(
        self, items: Iterable[str | tuple[str, str | None]], seconds: float | None
    ) -> list[DeleteResult]:
        client = self.client
        given = list(_not_a_str(items))
        if keys.all_plain(given, client.capabilities.max_key_bytes):
            pairs: list[tuple[str, str | None]] = list(
                zip(cast("list[str]", given), repeat(None), strict=False)
            )
        else:
            pairs = [self._key_and_version(item) for item in given]
        client.deadline(seconds)
        client.check_open()
        results: list[DeleteResult] = []
        limit = max(1, client.capabilities.delete_many_limit)
        for start in range(0, len(pairs), limit):
            batch = pairs[start : start + limit]
            try:
                results += await self._delete_batch(batch, client.deadline(seconds))
            except (BucketNotFoundError, ClosedError):
                raise
            except StorageError as error:
                # The others' results must not be lost over these.
                results += [_failed(key, version, error) for key, version in batch]
        return results

    def _key_and_version(self, item: str | tuple[str, str | None]) -> tuple[str, str | None]:
        if isinstance(item, str):
            key, version = item, None
        else:
            try:
                key, version = item
            except (TypeError, ValueError):
                raise InvalidRequestError(
                    f"{item!r} is not a key or a pair (key, version)"
                ) from None
        keys.check_existing_key(key, self.client.capabilities.max_key_bytes)
        if version is not None:
            self.client.require(self.client.capabilities.versions, "versions")
        return key, version

    async def _delete_batch(
        self, batch: list[tuple[str, str | None]], deadline: Deadline | None
    ) -> Sequence[DeleteResult]:
        client = self.client
        if client.capabilities.delete_many_limit <= 1:
            ((key, version),) = batch
            one = DeleteRequest(self.name, key, version)
            return [await client.call("delete_many", client.driver.delete, one, deadline)]
        request = DeleteManyRequest(self.name, batch)
        answer = await client.call_bucket(
            "delete_many", self.name, client.driver.delete_many, request, deadline
        )
        for result in answer:
            if result.error is not None:
                result.error.with_context("delete_many", self.name, result.key)
        return answer

    copy = copying.copy
    move = copying.move
    update_metadata = copying.update_metadata

    # --- tags -------------------------------------------------------------------------

    async def get_tags(self, key: str, version: str | None) -> dict[str, str]:
        client = self.client
        client.require(client.capabilities.tags, "tags")
        if version is not None:
            client.require(client.capabilities.versions, "versions")
        keys.check_existing_key(key, client.capabilities.max_key_bytes)
        request = TagsRequest(self.name, key, version)
        return dict(await client.call("get_tags", client.driver.get_tags, request))

    async def put_tags(self, key: str, tags: Mapping[str, str], version: str | None) -> None:
        client = self.client
        client.require(client.capabilities.tags, "tags")
        if version is not None:
            client.require(client.capabilities.versions, "versions")
        keys.check_existing_key(key, client.capabilities.max_key_bytes)
        keys.check_tags(tags, client.capabilities.max_tags)
        request = PutTagsRequest(self.name, key, dict(tags), version)
        await client.call("put_tags", client.driver.put_tags, request)

    # --- listings ---------------------------------------------------------------------

    def pages(
        self,
        operation: str,
        method: Callable[[R], Coroutine[Any, Any, Page[T]]],
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
        self,
        key: str,
        attributes: Attributes,
        compute: Iterable[str],
        seconds: float | Deadline | None = None,
    ) -> UploadCore:
        client = self.client
        client.require(client.capabilities.multipart, "multipart uploads")
        keys.check_key(key, client.capabilities.max_key_bytes)
        attributes = attribute_rules.checked(client, attributes)
        keep = tuple(name for name in compute if name in client.capabilities.checksums)
        request = CreateUploadRequest(self.name, key, attributes, keep)
        create, deadline = client.driver.create_upload, client.deadline(seconds)
        info = await client.call("create_upload", create, request, deadline)
        return UploadCore(self, key, info.id)

    def resume_upload(self, upload_id: str) -> UploadCore:
        client = self.client
        client.require(client.capabilities.multipart, "multipart uploads")
        key, driver_id = split_upload_id(upload_id)
        keys.check_existing_key(key, client.capabilities.max_key_bytes)
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


def _not_a_str(items: Iterable[T]) -> Iterable[T]:
    """Refuse a single key in place of several: it would be taken for its characters."""
    if isinstance(items, str | bytes):
        raise InvalidRequestError("delete_many takes an iterable of keys, not one key; use delete")
    return items


def _failed(key: str, version: str | None, error: StorageError) -> DeleteResult:
    """The result of one key of a batch that failed as a whole."""
    own = shallow_copy(error)
    own.key = key
    return DeleteResult(key, version, error=own)
