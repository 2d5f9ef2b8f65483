"""`PrefixLayer`: a profile that sees only the keys, or the buckets, under a prefix."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from storage_core.driver import IO, Driver
from storage_core.errors import StorageError
from storage_core.model import (
    BucketInfo,
    CopyProgress,
    DeleteResult,
    ObjectInfo,
    ObjectSummary,
    Page,
    Part,
    Prefix,
    PutResult,
    UploadInfo,
    VersionSummary,
)
from storage_core.requests import (
    CompleteUploadRequest,
    CopyPartRequest,
    CopyRequest,
    CreateUploadRequest,
    DeleteManyRequest,
    DeleteRequest,
    GetRequest,
    HeadRequest,
    ListBucketsRequest,
    ListRequest,
    ListUploadsRequest,
    ListVersionsRequest,
    MoveRequest,
    PutPartRequest,
    PutRequest,
    PutTagsRequest,
    TagsRequest,
    UpdateMetadataRequest,
    UploadRequest,
)
from storage_core.streams import FileSlice, ObjectStream

R = TypeVar("R", bound=NamedTuple)
T = TypeVar("T")
Keyed = TypeVar(
    "Keyed",
    ObjectInfo,
    PutResult,
    DeleteResult,
    UploadInfo,
    VersionSummary,
    ObjectSummary | Prefix,
)


class PrefixLayer(Driver):
    """Puts strings in front of names on the way in and takes them off on the way out.

    It never signs links itself, since a native link would show the inner names; gateway
    links carry the outer ones.

    Args:
        inner: The driver underneath.
        prefix: In front of every key.
        bucket_prefix: In front of every bucket name.
    """

    def __init__(self, inner: Driver, prefix: str = "", bucket_prefix: str = "") -> None:
        super().__init__(inner.settings)
        self.inner = inner
        self.prefix = prefix
        self.bucket_prefix = bucket_prefix
        self.name = inner.name
        self.supported_io = inner.supported_io

    @classmethod
    def settings_model(cls) -> type[Any]:
        raise TypeError("a layer has no settings of its own; ask the driver underneath")

    def __reduce__(self) -> tuple[object, ...]:
        return PrefixLayer, (self.inner, self.prefix, self.bucket_prefix)

    async def open(self, io: IO) -> None:
        await self.inner.open(io)
        self.io = io
        inner = self.inner.capabilities
        self.capabilities = replace(
            inner,
            presign=frozenset(),
            presign_part=False,
            max_key_bytes=inner.max_key_bytes - len(self.prefix.encode()),
            max_bucket_name=inner.max_bucket_name - len(self.bucket_prefix),
        )

    async def close(self) -> None:
        await self.inner.close()

    def describe(self) -> str:
        names = f"{self.bucket_prefix}*/{self.prefix}*"
        return f"{self.inner.describe()}, names {names}"

    def local_folder(self) -> str | None:
        return self.inner.local_folder()

    def classify(self, error: Exception) -> StorageError | None:
        return self.inner.classify(error)

    def link_keys(self) -> Mapping[str, bytes] | None:
        """The inner keys, changed by the prefixes: a link names an object by its outer name,
        which without the layer, or with another one, is a different object."""
        keys = self.inner.link_keys()
        if keys is None:
            return None
        names = repr(("prefix layer", self.bucket_prefix, self.prefix)).encode()
        return {key_id: _derived(secret, names) for key_id, secret in keys.items()}

    # --- names ------------------------------------------------------------------------

    def _in(self, request: R) -> R:
        """The request with inner names."""
        changes: dict[str, Any] = {}
        for name in request._fields:
            value = getattr(request, name)
            if name in ("bucket", "source_bucket"):
                changes[name] = self.bucket_prefix + value
            elif name in ("key", "source_key", "prefix") or (name == "start_after" and value):
                changes[name] = self.prefix + value
        return request._replace(**changes)

    def _out(self, answer: Keyed) -> Keyed:
        """The answer with outer names."""
        return replace(answer, key=answer.key[len(self.prefix) :])

    def _page(self, page: Page[Keyed]) -> Page[Keyed]:
        return Page([self._out(item) for item in page.items], page.next_token)

    def _bucket(self, info: BucketInfo) -> BucketInfo:
        return replace(info, name=info.name[len(self.bucket_prefix) :])

    async def _ask(self, work: Coroutine[Any, Any, T]) -> T:
        """The inner driver's answer; errors tell the outer names."""
        try:
            return await work
        except StorageError as error:
            if error.bucket is not None:
                error.bucket = error.bucket.removeprefix(self.bucket_prefix)
            if error.key is not None:
                error.key = error.key.removeprefix(self.prefix)
            raise

    # --- buckets ----------------------------------------------------------------------

    async def create_bucket(self, name: str) -> BucketInfo:
        return self._bucket(await self._ask(self.inner.create_bucket(self.bucket_prefix + name)))

    async def delete_bucket(self, name: str) -> None:
        await self._ask(self.inner.delete_bucket(self.bucket_prefix + name))

    async def head_bucket(self, name: str) -> BucketInfo:
        return self._bucket(await self._ask(self.inner.head_bucket(self.bucket_prefix + name)))

    async def list_buckets_page(self, request: ListBucketsRequest) -> Page[BucketInfo]:
        inner = request._replace(prefix=self.bucket_prefix + request.prefix)
        page = await self._ask(self.inner.list_buckets_page(inner))
        return Page([self._bucket(info) for info in page.items], page.next_token)

    # --- objects ----------------------------------------------------------------------

    async def put(self, request: PutRequest) -> PutResult:
        return self._out(await self._ask(self.inner.put(self._in(request))))

    async def get(self, request: GetRequest) -> ObjectStream:
        stream = await self._ask(self.inner.get(self._in(request)))
        return _RenamedStream(stream, request.key)

    def get_now(self, request: GetRequest) -> ObjectStream | None:
        stream = self.inner.get_now(self._in(request))
        return None if stream is None else _RenamedStream(stream, request.key)

    async def head(self, request: HeadRequest) -> ObjectInfo:
        return self._out(await self._ask(self.inner.head(self._in(request))))

    def head_now(self, request: HeadRequest) -> ObjectInfo | None:
        info = self.inner.head_now(self._in(request))
        return None if info is None else self._out(info)

    async def delete(self, request: DeleteRequest) -> DeleteResult:
        return self._out(await self._ask(self.inner.delete(self._in(request))))

    async def delete_many(self, request: DeleteManyRequest) -> Sequence[DeleteResult]:
        inner = DeleteManyRequest(
            self.bucket_prefix + request.bucket,
            [(self.prefix + key, version) for key, version in request.items],
        )
        return [self._out(result) for result in await self._ask(self.inner.delete_many(inner))]

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        return self._page(await self._ask(self.inner.list_page(self._in(request))))

    async def copy(self, request: CopyRequest) -> CopyProgress:
        progress = await self._ask(self.inner.copy(self._in(request)))
        if progress.result is None:
            return progress
        return CopyProgress(self._out(progress.result))

    async def move(self, request: MoveRequest) -> PutResult:
        return self._out(await self._ask(self.inner.move(self._in(request))))

    async def update_metadata(self, request: UpdateMetadataRequest) -> PutResult:
        return self._out(await self._ask(self.inner.update_metadata(self._in(request))))

    # --- multipart sessions -----------------------------------------------------------

    async def create_upload(self, request: CreateUploadRequest) -> UploadInfo:
        return self._out(await self._ask(self.inner.create_upload(self._in(request))))

    async def put_part(self, request: PutPartRequest) -> Part:
        return await self._ask(self.inner.put_part(self._in(request)))

    async def copy_part(self, request: CopyPartRequest) -> Part:
        return await self._ask(self.inner.copy_part(self._in(request)))

    async def list_parts_page(self, request: UploadRequest) -> Page[Part]:
        return await self._ask(self.inner.list_parts_page(self._in(request)))

    async def complete_upload(self, request: CompleteUploadRequest) -> PutResult:
        return self._out(await self._ask(self.inner.complete_upload(self._in(request))))

    async def abort_upload(self, request: UploadRequest) -> None:
        await self._ask(self.inner.abort_upload(self._in(request)))

    async def list_uploads_page(self, request: ListUploadsRequest) -> Page[UploadInfo]:
        return self._page(await self._ask(self.inner.list_uploads_page(self._in(request))))

    # --- versions and tags ------------------------------------------------------------

    async def list_versions_page(self, request: ListVersionsRequest) -> Page[VersionSummary]:
        return self._page(await self._ask(self.inner.list_versions_page(self._in(request))))

    async def get_tags(self, request: TagsRequest) -> Mapping[str, str]:
        return await self._ask(self.inner.get_tags(self._in(request)))

    async def put_tags(self, request: PutTagsRequest) -> None:
        await self._ask(self.inner.put_tags(self._in(request)))


class _RenamedStream(ObjectStream):
    """A stream whose info shows the outer key."""

    __slots__ = ("_inner", "_key")

    def __init__(self, inner: ObjectStream, key: str) -> None:
        super().__init__(inner.start, inner.length, inner.data, inner.checksum)
        self._inner = inner
        self._key = key

    @property
    def info(self) -> ObjectInfo:
        return replace(self._inner.info, key=self._key)

    @property
    def file(self) -> FileSlice | None:
        return self._inner.file

    async def read(self, size: int) -> bytes:
        return await self._inner.read(size)

    async def readinto(self, buffer: memoryview) -> int:
        return await self._inner.readinto(buffer)

    async def close(self) -> None:
        await self._inner.close()

    def close_now(self) -> bool:
        return self._inner.close_now()


def _derived(secret: bytes, purpose: bytes) -> bytes:
    import hmac

    return hmac.digest(secret, purpose, "sha256")
