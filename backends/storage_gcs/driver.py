"""The driver: each method hands its request to the module that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from storage_core.checksum import ALGORITHMS
from storage_core.driver import IO, Driver
from storage_core.errors import ClosedError, ConfigError, UnsupportedError
from storage_core.http import open_transport
from storage_core.model import (
    BucketInfo,
    Capabilities,
    Condition,
    CopyProgress,
    DeleteResult,
    Link,
    Method,
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
    PresignRequest,
    PutPartRequest,
    PutRequest,
    UpdateMetadataRequest,
    UploadRequest,
)
from storage_core.streams import ObjectStream
from storage_gcs import buckets, copying, deleting, listing, multipart, reading, uploads, writing
from storage_gcs.credentials import Account
from storage_gcs.names import Endpoint
from storage_gcs.presign import BINDS, MAX_SECONDS, LinkSigner, presign, signer_of
from storage_gcs.requests import MAX_METADATA, RESERVED_METADATA
from storage_gcs.wire import Wire

if TYPE_CHECKING:
    from gcsfs.core import GCSFileSystem
    from pydantic import BaseModel

    from storage_gcs.settings import GcsSettings

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
_METHODS: frozenset[Method] = frozenset(("GET", "HEAD", "PUT", "DELETE"))
_MAX_SIZE = 5 * 1024**4


class GcsDriver(Driver):
    """One project of Google Cloud Storage, or of a service that speaks its APIs; see
    `storage_gcs.settings`."""

    name = "gcs"
    supported_io: frozenset[IO] = frozenset(("blocking", "asyncio"))
    settings: GcsSettings

    def __init__(self, settings: BaseModel) -> None:
        super().__init__(settings)
        self.capabilities = _capabilities(self.settings, signs=False)
        self._opened: Wire | None = None
        self._signer: LinkSigner | None = None
        self._completions = multipart.Completions()

    # --- configuration and life -------------------------------------------------------

    @classmethod
    def settings_model(cls) -> type[BaseModel]:
        from storage_gcs.settings import GcsSettings

        return GcsSettings

    async def open(self, io: IO) -> None:
        await super().open(io)
        settings = self.settings
        try:
            endpoint = Endpoint(settings.url)
        except ValueError as error:
            raise ConfigError(f"endpoint_url: {error}") from None
        account = Account(settings, io)
        await account.open()
        transport = await open_transport(io, settings.http)
        self._opened = Wire(account, endpoint, transport, settings.options())
        self._signer = signer_of(account, transport, io)
        self.capabilities = _capabilities(settings, signs=self._signer is not None)

    @property
    def _wire(self) -> Wire:
        wire = self._opened
        if wire is None:
            raise ClosedError("the driver is not open")
        return wire

    async def close(self) -> None:
        wire, self._opened = self._opened, None
        self._signer = None
        if wire is not None:
            await wire.close()

    def describe(self) -> str:
        project = f" project {self.settings.project}" if self.settings.project else ""
        return f"gcs {self.settings.url}{project}"

    def filesystem(self) -> GCSFileSystem:
        """The same account as a filesystem of gcsfs, for other libraries.

        Raises:
            ConfigError: gcsfs is not installed.
        """
        return self._wire.account.filesystem()

    # --- buckets ----------------------------------------------------------------------

    async def create_bucket(self, name: str) -> BucketInfo:
        return await buckets.create(self._wire, name)

    async def delete_bucket(self, name: str) -> None:
        await buckets.delete(self._wire, name)

    async def head_bucket(self, name: str) -> BucketInfo:
        return await buckets.head(self._wire, name)

    async def list_buckets_page(self, request: ListBucketsRequest) -> Page[BucketInfo]:
        return await buckets.list_page(self._wire, request)

    # --- objects ----------------------------------------------------------------------

    async def put(self, request: PutRequest) -> PutResult:
        return await writing.put(self._wire, request)

    async def get(self, request: GetRequest) -> ObjectStream:
        return await reading.get(self._wire, request)

    async def head(self, request: HeadRequest) -> ObjectInfo:
        return await reading.head(self._wire, request)

    async def delete(self, request: DeleteRequest) -> DeleteResult:
        return await deleting.delete(self._wire, request)

    async def delete_many(self, request: DeleteManyRequest) -> Sequence[DeleteResult]:
        return await deleting.delete_many(self._wire, request)

    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        return await listing.list_page(self._wire, request)

    async def copy(self, request: CopyRequest) -> CopyProgress:
        return await copying.copy(self._wire, request)

    async def update_metadata(self, request: UpdateMetadataRequest) -> PutResult:
        return await writing.update_metadata(self._wire, request)

    # --- multipart sessions -----------------------------------------------------------

    async def create_upload(self, request: CreateUploadRequest) -> UploadInfo:
        return await multipart.create(self._wire, request)

    async def put_part(self, request: PutPartRequest) -> Part:
        return await multipart.put_part(self._wire, request)

    async def copy_part(self, request: CopyPartRequest) -> Part:
        return await multipart.copy_part(self._wire, request)

    async def list_parts_page(self, request: UploadRequest) -> Page[Part]:
        return Page(*await multipart.list_parts(self._wire, request))

    async def complete_upload(self, request: CompleteUploadRequest) -> PutResult:
        return await self._completions.complete(self._wire, request)

    async def abort_upload(self, request: UploadRequest) -> None:
        await multipart.abort(self._wire, request)

    async def list_uploads_page(self, request: ListUploadsRequest) -> Page[UploadInfo]:
        return await uploads.list_page(self._wire, request)

    # --- links and versions -----------------------------------------------------------

    async def presign(self, request: PresignRequest) -> Link:
        wire = self._wire
        if self._signer is None:
            raise UnsupportedError(
                "these credentials can not sign links: use a service account's key, an HMAC key,"
                " or set service_account_email to have Google sign"
            )
        return await presign(wire.endpoint, self._signer, request)

    async def list_versions_page(self, request: ListVersionsRequest) -> Page[VersionSummary]:
        return await listing.list_versions_page(self._wire, request)


def _capabilities(settings: GcsSettings, *, signs: bool) -> Capabilities:
    return Capabilities(
        conditions=_CONDITIONS,
        server_side_copy=True,
        update_metadata=True,
        delete_many_limit=1000,
        max_object_size=_MAX_SIZE,
        max_put_size=_MAX_SIZE,
        max_metadata_bytes=min(2048, MAX_METADATA - RESERVED_METADATA),
        unsized_put=True,
        write_ids=True,
        atomic_bucket_delete=True,
        checksums=frozenset(ALGORITHMS),
        default_checksum="crc32c",
        ordered_listing=True,
        multipart=True,
        versions=settings.versions,
        presign=_METHODS if signs else frozenset(),
        presign_part=signs,
        presign_binds=BINDS if signs else frozenset(),
        max_presign_seconds=MAX_SECONDS,
    )
