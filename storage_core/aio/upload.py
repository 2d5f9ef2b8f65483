"""`Upload` of the async face."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from storage_core.aio.listing import AsyncListing
from storage_core.core.attributes import write_conditions
from storage_core.core.upload import UploadCore
from storage_core.model import Attributes, Link, Part, PutResult
from storage_core.runtime import AsyncRuntime

if TYPE_CHECKING:
    from storage_core.aio.bucket import AsyncBucket
    from storage_core.core.bodies import Data


class AsyncUpload:
    """A multipart session. Whoever knows its `id` can go on with it, from any process or
    host, by `Bucket.resume_upload`. Parts may be sent in any order and in parallel."""

    __slots__ = ("_core", "_runtime", "bucket")

    def __init__(self, runtime: AsyncRuntime, bucket: AsyncBucket, core: UploadCore) -> None:
        self._runtime = runtime
        self._core = core
        self.bucket = bucket

    @property
    def id(self) -> str:
        """As `storage_core.Upload.id`."""
        return self._core.id

    @property
    def key(self) -> str:
        """As `storage_core.Upload.key`."""
        return self._core.key

    async def put_part(
        self,
        number: int,
        data: Data,
        *,
        size: int | None = None,
        checksums: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Part:
        """As `storage_core.Upload.put_part`."""
        return await self._runtime.run(self._core.put_part(number, data, size, checksums, deadline))

    async def copy_part(
        self,
        number: int,
        key: str,
        *,
        source: AsyncBucket | None = None,
        version: str | None = None,
        range: tuple[int, int | None] | None = None,  # noqa: A002
    ) -> Part:
        """As `storage_core.Upload.copy_part`."""
        name = (source or self.bucket).name
        return await self._runtime.run(self._core.copy_part(number, name, key, version, range))

    def list_parts(self) -> AsyncListing[Part]:
        """As `storage_core.Upload.list_parts`."""
        return AsyncListing(self._runtime, self._core.list_parts())

    async def complete(
        self,
        parts: Iterable[Part] | None = None,
        *,
        attributes: Attributes | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
        deadline: float | None = None,
    ) -> PutResult:
        """As `storage_core.Upload.complete`."""
        conditions = write_conditions(if_absent, if_match)
        return await self._runtime.run(self._core.complete(parts, attributes, conditions, deadline))

    async def abort(self) -> None:
        """As `storage_core.Upload.abort`."""
        await self._runtime.run(self._core.abort())

    async def presign_part(
        self,
        number: int,
        *,
        expires_in: int = 900,
        content_length: int | None = None,
        checksum: tuple[str, str] | None = None,
    ) -> Link:
        """As `storage_core.Upload.presign_part`."""
        return await self._runtime.run(
            self._core.presign_part(number, expires_in, content_length, checksum)
        )

    def __reduce__(self) -> tuple[object, ...]:
        return _upload, (self.bucket, self.id)

    def __repr__(self) -> str:
        return f"<AsyncUpload of {self.key!r} in {self.bucket.name!r}>"


def _upload(bucket: AsyncBucket, upload_id: str) -> AsyncUpload:
    return bucket.resume_upload(upload_id)
