"""The driver: each method hands its request to the module that does it.

The coroutines never suspend; all I/O is by plain system calls in the caller's thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from storage_core.checksum import ALGORITHMS
from storage_core.driver import IO, Driver
from storage_core.errors import BucketNotFoundError, ClosedError, StorageError
from storage_core.model import (
    NO_CONDITIONS,
    BucketInfo,
    Capabilities,
    Condition,
    CopyProgress,
    DeleteResult,
    ObjectInfo,
    ObjectSummary,
    Operation,
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
from storage_core.streams import ObjectStream
from storage_local import (
    cached,
    commit,
    copying,
    errors,
    listing,
    multipart,
    reader,
    sessions,
    writer,
)
from storage_local.bucket import Bucket
from storage_local.layout import Options, Root
from storage_local.tree import TreeGoneError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from storage_local.fsck import Report
    from storage_local.import_tree import ImportReport
    from storage_local.settings import LocalSettings

_READ: frozenset[Condition] = frozenset(
    ("if_match", "if_none_match", "if_modified_since", "if_unmodified_since")
)
_WRITE: frozenset[Condition] = frozenset(("if_absent", "if_match"))
_CONDITIONS: Mapping[Operation, frozenset[Condition]] = MappingProxyType(
    {
        "get": _READ,
        "head": _READ,
        "copy_source": _READ,
        "put": _WRITE,
        "copy": _WRITE,
        "complete": _WRITE,
        "delete": frozenset(("if_match",)),
    }
)
_MAX_SIZE = 5 * 1024**4
PAGE = 4096
"""Items in one page at most: about what one leaf holds, so that a leaf is scanned once."""


class LocalDriver(Driver):
    """Buckets and objects below one root directory; see `storage_local.settings`."""

    name = "local"
    supported_io: frozenset[IO] = frozenset(("blocking",))
    settings: LocalSettings

    def __init__(self, settings: BaseModel) -> None:
        super().__init__(settings)
        given = self.settings
        self.options = Options(
            durable=given.fsync,
            versions=given.versions,
            md5_etags=given.etag == "md5",
            min_part_size=given.min_part_size,
            upload_expiry=given.upload_expiry,
            inline_size=given.inline_size,
        )
        self.capabilities = Capabilities(
            conditions=_CONDITIONS,
            server_side_copy=True,
            # With versions a move leaves a delete marker behind: two steps.
            atomic_move=not given.versions,
            update_metadata=True,
            object_expiry=True,
            delete_many_limit=1000,
            max_object_size=_MAX_SIZE,
            max_put_size=_MAX_SIZE,
            unsized_put=True,
            write_ids=True,
            atomic_bucket_delete=True,
            checksums=frozenset(ALGORITHMS),
            default_checksum="crc32c",
            ordered_listing=True,
            max_page_size=PAGE,
            multipart=True,
            min_part_size=given.min_part_size,
            max_part_size=_MAX_SIZE,
            parts_copied=True,
            versions=given.versions,
            delete_markers=given.versions,
            tags=True,
        )
        self._root: Root | None = None
        self._mutex = threading.Lock()

    # --- configuration and life -------------------------------------------------------

    @classmethod
    def settings_model(cls) -> type[BaseModel]:
        from storage_local.settings import LocalSettings

        return LocalSettings

    async def open(self, io: IO) -> None:
        await super().open(io)
        self._opened()

    def _opened(self) -> Root:
        with self._mutex:
            if self._root is None:
                place = self.settings.root.expanduser().absolute()
                self._root = Root(str(place), self.options)
            return self._root

    @property
    def root(self) -> Root:
        """The open root directory.

        Raises:
            ClosedError: the driver is not open.
        """
        if self._root is None:
            raise ClosedError("the driver is not open")
        return self._root

    async def close(self) -> None:
        root, self._root = self._root, None
        if root is not None:
            root.close()

    def local_folder(self) -> str:
        return str(self.settings.root.expanduser().absolute())

    def describe(self) -> str:
        return f"local {self.settings.root}"

    def classify(self, error: Exception) -> StorageError | None:
        return errors.classify(error) if isinstance(error, OSError) else None

    def link_keys(self) -> Mapping[str, bytes]:
        return self._opened().link_keys()

    # --- buckets ----------------------------------------------------------------------

    async def create_bucket(self, name: str) -> BucketInfo:
        return self.root.create_bucket(name).info()

    async def delete_bucket(self, name: str) -> None:
        self.root.delete_bucket(name)

    async def head_bucket(self, name: str) -> BucketInfo:
        return self.root.run(name, Bucket.info)

    async def list_buckets_page(self, request: ListBucketsRequest) -> Page[BucketInfo]:
        return listing.list_buckets_page(self.root, request)

    # --- objects ----------------------------------------------------------------------

    async def put(self, request: PutRequest) -> PutResult:
        record = await writer.put(self.root, request)
        return record.result(request.key, versions=self.options.versions)

    async def get(self, request: GetRequest) -> ObjectStream:
        root = self._root
        if root is None:
            raise ClosedError("the driver is not open")
        # The shortest way for the most frequent call; `run` does it again with all cases.
        try:
            return reader.get(root.bucket(request.bucket), request)
        except TreeGoneError:
            return root.run(request.bucket, lambda bucket: reader.get(bucket, request))

    def get_now(self, request: GetRequest) -> ObjectStream | None:
        bucket = self._at_hand(request.bucket)
        return None if bucket is None else cached.get(bucket, request)

    def head_now(self, request: HeadRequest) -> ObjectInfo | None:
        bucket = self._at_hand(request.bucket)
        return None if bucket is None else cached.head(bucket, request)

    def _at_hand(self, bucket: str) -> Bucket | None:
        return None if self._root is None else self._root.bucket_at_hand(bucket)

    async def head(self, request: HeadRequest) -> ObjectInfo:
        return self.root.run(request.bucket, lambda bucket: reader.head(bucket, request))

    async def delete(self, request: DeleteRequest) -> DeleteResult:
        return self.root.run(request.bucket, lambda bucket: commit.delete(bucket, request))

    async def delete_many(self, request: DeleteManyRequest) -> Sequence[DeleteResult]:
        return [self._delete_one(request.bucket, *item) for item in request.items]

    def _delete_one(self, bucket: str, key: str, version: str | None) -> DeleteResult:
        request = DeleteRequest(bucket, key, version, NO_CONDITIONS)
        try:
            return self.root.run(bucket, lambda opened: commit.delete(opened, request))
        except BucketNotFoundError:
            raise
        except (OSError, StorageError) as error:
            known = error if isinstance(error, StorageError) else errors.classify(error)
            if known is None:
                raise
            return DeleteResult(key, version, error=known)

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        return self.root.run(request.bucket, lambda bucket: listing.list_page(bucket, request))

    async def copy(self, request: CopyRequest) -> CopyProgress:
        with self.root.present():
            return CopyProgress(copying.copy(self.root, request))

    async def move(self, request: MoveRequest) -> PutResult:
        with self.root.present():
            return copying.move(self.root, request)

    async def update_metadata(self, request: UpdateMetadataRequest) -> PutResult:
        return self.root.run(
            request.bucket, lambda bucket: copying.update_metadata(bucket, request)
        )

    # --- multipart sessions -----------------------------------------------------------

    async def create_upload(self, request: CreateUploadRequest) -> UploadInfo:
        return self.root.run(request.bucket, lambda bucket: sessions.create(bucket, request))

    async def put_part(self, request: PutPartRequest) -> Part:
        return await multipart.put_part(self.root, request)

    async def copy_part(self, request: CopyPartRequest) -> Part:
        return await multipart.copy_part(self.root, request)

    async def list_parts_page(self, request: UploadRequest) -> Page[Part]:
        return self.root.run(request.bucket, lambda bucket: multipart.list_parts(bucket, request))

    async def complete_upload(self, request: CompleteUploadRequest) -> PutResult:
        return self.root.run(request.bucket, lambda bucket: multipart.complete(bucket, request))

    async def abort_upload(self, request: UploadRequest) -> None:
        self.root.run(request.bucket, lambda bucket: sessions.abort(bucket, request))

    async def list_uploads_page(self, request: ListUploadsRequest) -> Page[UploadInfo]:
        return self.root.run(request.bucket, lambda bucket: sessions.list_uploads(bucket, request))

    # --- versions and tags ------------------------------------------------------------

    async def list_versions_page(self, request: ListVersionsRequest) -> Page[VersionSummary]:
        return self.root.run(
            request.bucket, lambda bucket: listing.list_versions_page(bucket, request)
        )

    async def get_tags(self, request: TagsRequest) -> Mapping[str, str]:
        return self.root.run(
            request.bucket,
            lambda bucket: reader.find(bucket, request.key, request.version).tags,
        )

    async def put_tags(self, request: PutTagsRequest) -> None:
        self.root.run(request.bucket, lambda bucket: copying.put_tags(bucket, request))

    # --- what only a local disk needs -------------------------------------------------

    def fsck(
        self,
        *,
        bucket: str | None = None,
        repair: bool = False,
        deep: bool = False,
        progress: Callable[[Report], None] | None = None,
    ) -> Report:
        """Check the root, and repair it if asked to; see `storage_local.fsck.check`."""
        from storage_local.fsck import check

        with _classified():
            return check(self.root, bucket=bucket, repair=repair, deep=deep, progress=progress)

    def import_tree(
        self,
        bucket: str,
        source: str,
        *,
        prefix: str = "",
        overwrite: bool = True,
        progress: Callable[[ImportReport], None] | None = None,
    ) -> ImportReport:
        """Take a directory tree in; see `storage_local.import_tree.import_tree`."""
        from storage_local.import_tree import import_tree

        with _classified():
            return import_tree(
                self.root, bucket, source, prefix=prefix, overwrite=overwrite, progress=progress
            )


@contextlib.contextmanager
def _classified() -> Iterator[None]:
    """For methods that core does not call, and so does not classify the errors of."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageError) or (known := errors.classify(error)) is None:
            raise
        raise known from error
