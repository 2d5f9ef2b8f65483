"""`Bucket` of the async face."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from storage_core.aio.listing import AsyncListing
from storage_core.aio.reader import AsyncReader, OpeningReader
from storage_core.aio.seekable import AsyncSeekableReader
from storage_core.aio.transfers import AsyncTransfers
from storage_core.aio.upload import AsyncUpload
from storage_core.aio.writer import AsyncWriter
from storage_core.core import immediate
from storage_core.core.attributes import make_attributes, read_conditions, write_conditions
from storage_core.core.between import End, copy_between, move_between
from storage_core.core.copying import KEEP, Keep
from storage_core.core.presign import presign
from storage_core.core.ranged import RangedCore
from storage_core.model import (
    Attributes,
    BucketInfo,
    DeleteResult,
    Link,
    Method,
    ObjectInfo,
    ObjectSummary,
    Prefix,
    PutResult,
    UploadInfo,
    VersionSummary,
)

if TYPE_CHECKING:
    from storage_core.aio.storage import AsyncStorage
    from storage_core.core.bodies import Data
    from storage_core.core.bucket import BucketCore
    from storage_core.core.immediate import GetArguments


class AsyncBucket(AsyncTransfers):
    """The objects of one bucket.

    Every method may also raise `BucketNotFoundError`, `PermissionDeniedError`,
    `AuthenticationError`, `UnsupportedError` for what the profile does not offer, and after
    the retries one of `TransientError`. A ``deadline`` is in seconds and counts all tries;
    the profile's ``retry.deadline`` holds where none is given.
    """

    __slots__ = ("_core", "_runtime", "storage")

    def __init__(self, storage: AsyncStorage, core: BucketCore) -> None:
        self.storage = storage
        self._runtime = storage._runtime
        self._core = core

    @property
    def name(self) -> str:
        """As `storage_core.Bucket.name`."""
        return self._core.name

    async def info(self) -> BucketInfo:
        """As `storage_core.Bucket.info`."""
        return await self._runtime.run(self._core.info())

    # --- writing ----------------------------------------------------------------------

    async def put(
        self,
        key: str,
        data: Data,
        *,
        size: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        content_disposition: str | None = None,
        content_language: str | None = None,
        cache_control: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        expires_at: datetime | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
        checksums: Mapping[str, str] | None = None,
        compute: Iterable[str] = (),
        deadline: float | None = None,
    ) -> PutResult:
        """As `storage_core.Bucket.put`."""
        attributes = make_attributes(
            content_type,
            content_encoding,
            content_disposition,
            content_language,
            cache_control,
            metadata,
            tags,
            expires_at,
        )
        conditions = write_conditions(if_absent, if_match)
        return await self._runtime.run(
            self._core.put(
                key, data, size, attributes, conditions, checksums, tuple(compute), deadline
            )
        )

    def writer(
        self,
        key: str,
        *,
        content_type: str | None = None,
        content_encoding: str | None = None,
        content_disposition: str | None = None,
        content_language: str | None = None,
        cache_control: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        expires_at: datetime | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
        checksums: Mapping[str, str] | None = None,
        compute: Iterable[str] = (),
        deadline: float | None = None,
    ) -> AsyncWriter:
        """As `storage_core.Bucket.writer`."""
        attributes = make_attributes(
            content_type,
            content_encoding,
            content_disposition,
            content_language,
            cache_control,
            metadata,
            tags,
            expires_at,
        )
        conditions = write_conditions(if_absent, if_match)
        core = self._core.writer(key, attributes, conditions, checksums, tuple(compute), deadline)
        return AsyncWriter(self._runtime, core)

    async def update_metadata(
        self,
        key: str,
        *,
        content_type: str | Keep | None = KEEP,
        content_encoding: str | Keep | None = KEEP,
        content_disposition: str | Keep | None = KEEP,
        content_language: str | Keep | None = KEEP,
        cache_control: str | Keep | None = KEEP,
        metadata: Mapping[str, str] | Keep | None = KEEP,
        expires_at: datetime | Keep | None = KEEP,
        if_match: str | None = None,
        deadline: float | None = None,
    ) -> PutResult:
        """As `storage_core.Bucket.update_metadata`."""
        return await self._runtime.run(
            self._core.update_metadata(
                key,
                content_type,
                content_encoding,
                content_disposition,
                content_language,
                cache_control,
                metadata,
                expires_at,
                if_match,
                deadline,
            )
        )

    # --- reading ----------------------------------------------------------------------

    def get(
        self,
        key: str,
        *,
        range: tuple[int, int | None] | None = None,  # noqa: A002 - the field's word
        version: str | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        if_modified_since: datetime | None = None,
        if_unmodified_since: datetime | None = None,
        verify: bool = True,
        deadline: float | None = None,
    ) -> OpeningReader:
        """As `storage_core.Bucket.get`."""
        conditions = read_conditions(
            if_match, if_none_match, if_modified_since, if_unmodified_since
        )
        return OpeningReader(self._opened(key, range, version, conditions, verify, deadline))

    async def _opened(self, *request: *GetArguments) -> AsyncReader:
        core, runtime = self._core, self._runtime
        reader = immediate.get(core, *request) if runtime.io == "blocking" else None
        if reader is None:
            reader = await runtime.run(core.get(*request))
        return AsyncReader(runtime, reader)

    async def open(
        self, key: str, *, version: str | None = None, buffer_size: int = 256 * 1024
    ) -> AsyncSeekableReader:
        """As `storage_core.Bucket.open`."""
        core = await self._runtime.run(RangedCore.open(self._core, key, version))
        return AsyncSeekableReader(self._runtime, core, buffer_size)

    async def head(
        self,
        key: str,
        *,
        version: str | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        if_modified_since: datetime | None = None,
        if_unmodified_since: datetime | None = None,
        deadline: float | None = None,
    ) -> ObjectInfo:
        """As `storage_core.Bucket.head`."""
        conditions = read_conditions(
            if_match, if_none_match, if_modified_since, if_unmodified_since
        )
        core, runtime = self._core, self._runtime
        if runtime.io == "blocking":
            info = immediate.head(core, key, version, conditions, deadline)
            if info is not None:
                return info
        return await runtime.run(core.head(key, version, conditions, deadline))

    async def exists(
        self, key: str, *, version: str | None = None, deadline: float | None = None
    ) -> bool:
        """As `storage_core.Bucket.exists`."""
        return await self._runtime.run(self._core.exists(key, version, deadline))

    # --- deleting, copying, moving ----------------------------------------------------

    async def delete(
        self,
        key: str,
        *,
        version: str | None = None,
        if_match: str | None = None,
        deadline: float | None = None,
    ) -> DeleteResult:
        """As `storage_core.Bucket.delete`."""
        conditions = write_conditions(False, if_match)
        return await self._runtime.run(self._core.delete(key, version, conditions, deadline))

    async def delete_many(
        self, keys: Iterable[str | tuple[str, str | None]], *, deadline: float | None = None
    ) -> list[DeleteResult]:
        """As `storage_core.Bucket.delete_many`."""
        return await self._runtime.run(self._core.delete_many(keys, deadline))

    async def copy(
        self,
        key: str,
        target_key: str,
        *,
        target: AsyncBucket | None = None,
        version: str | None = None,
        attributes: Attributes | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
        source_if_match: str | None = None,
        source_if_none_match: str | None = None,
        source_if_modified_since: datetime | None = None,
        source_if_unmodified_since: datetime | None = None,
        deadline: float | None = None,
    ) -> PutResult:
        """As `storage_core.Bucket.copy`."""
        conditions = write_conditions(if_absent, if_match)
        source_conditions = read_conditions(
            source_if_match,
            source_if_none_match,
            source_if_modified_since,
            source_if_unmodified_since,
        )
        into = self if target is None else target
        if into._core.client is not self._core.client:
            return await copy_between(
                End(self._core, self._runtime),
                key,
                End(into._core, into._runtime),
                target_key,
                version,
                attributes,
                conditions,
                source_conditions,
                deadline,
            )
        return await self._runtime.run(
            self._core.copy(
                key,
                target_key,
                into._core,
                version,
                attributes,
                conditions,
                source_conditions,
                deadline,
            )
        )

    async def move(
        self,
        key: str,
        target_key: str,
        *,
        target: AsyncBucket | None = None,
        if_absent: bool = False,
        deadline: float | None = None,
    ) -> PutResult:
        """As `storage_core.Bucket.move`."""
        conditions = write_conditions(if_absent, None)
        into = self if target is None else target
        if into._core.client is not self._core.client:
            source, goal = End(self._core, self._runtime), End(into._core, into._runtime)
            return await move_between(source, key, goal, target_key, conditions, deadline)
        return await self._runtime.run(
            self._core.move(key, target_key, into._core, conditions, deadline)
        )

    # --- tags -------------------------------------------------------------------------

    async def get_tags(self, key: str, *, version: str | None = None) -> dict[str, str]:
        """As `storage_core.Bucket.get_tags`."""
        return await self._runtime.run(self._core.get_tags(key, version))

    async def put_tags(
        self, key: str, tags: Mapping[str, str], *, version: str | None = None
    ) -> None:
        """As `storage_core.Bucket.put_tags`."""
        await self._runtime.run(self._core.put_tags(key, tags, version))

    # --- listings ---------------------------------------------------------------------

    def list(
        self,
        prefix: str = "",
        *,
        delimiter: str = "",
        start_after: str = "",
        page_size: int | None = None,
    ) -> AsyncListing[ObjectSummary | Prefix]:
        """As `storage_core.Bucket.list`."""
        pages = self._core.list(prefix, delimiter, start_after, page_size)
        return AsyncListing(self._runtime, pages)

    def list_versions(
        self, prefix: str = "", *, page_size: int | None = None
    ) -> AsyncListing[VersionSummary]:
        """As `storage_core.Bucket.list_versions`."""
        return AsyncListing(self._runtime, self._core.list_versions(prefix, page_size))

    # --- multipart sessions and links -------------------------------------------------

    async def create_upload(
        self,
        key: str,
        *,
        content_type: str | None = None,
        content_encoding: str | None = None,
        content_disposition: str | None = None,
        content_language: str | None = None,
        cache_control: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        expires_at: datetime | None = None,
        compute: Iterable[str] = (),
    ) -> AsyncUpload:
        """As `storage_core.Bucket.create_upload`."""
        attributes = make_attributes(
            content_type,
            content_encoding,
            content_disposition,
            content_language,
            cache_control,
            metadata,
            tags,
            expires_at,
        )
        core = await self._runtime.run(self._core.create_upload(key, attributes, tuple(compute)))
        return AsyncUpload(self._runtime, self, core)

    def resume_upload(self, id: str) -> AsyncUpload:  # noqa: A002 - as `Upload.id`
        """As `storage_core.Bucket.resume_upload`."""
        return AsyncUpload(self._runtime, self, self._core.resume_upload(id))

    def list_uploads(
        self, prefix: str = "", *, page_size: int | None = None
    ) -> AsyncListing[UploadInfo]:
        """As `storage_core.Bucket.list_uploads`."""
        return AsyncListing(self._runtime, self._core.list_uploads(prefix, page_size))

    async def presign(
        self,
        key: str,
        *,
        method: Method = "GET",
        expires_in: int = 900,
        version: str | None = None,
        content_type: str | None = None,
        content_length: int | None = None,
        checksum: tuple[str, str] | None = None,
        filename: str | None = None,
        if_absent: bool = False,
    ) -> Link:
        """As `storage_core.Bucket.presign`."""
        return await self._runtime.run(
            presign(
                self._core,
                key,
                method,
                expires_in,
                version,
                content_type,
                content_length,
                checksum,
                filename,
                if_absent,
            )
        )

    def __reduce__(self) -> tuple[object, ...]:
        return _bucket, (self.storage, self.name)

    def __repr__(self) -> str:
        return f"<AsyncBucket {self.name!r} of {self.storage.profile!r}>"


def _bucket(storage: AsyncStorage, name: str) -> AsyncBucket:
    return storage.bucket(name)
