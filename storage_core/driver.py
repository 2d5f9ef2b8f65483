"""What a driver is: the door for the authors of backends.

A driver is bound to one account (one profile). Each method is one request to the service,
or the documented composite where the service offers no single one. A driver does not
retry, validate, page, verify or parallelise: core does that once, for every driver.

Write a subclass of `Driver`, declare honest `Capabilities`, register the class in the
entry-point group ``storage_core.drivers`` and run the conformance suite on it:

    [project.entry-points."storage_core.drivers"]
    mine = "my_package.driver:MyDriver"

Rules that hold for all methods:

- Names arrive checked; keys arrive as text and are the object's key byte for byte.
- Everything a method needs is in its request, everything it has to tell is in its answer.
- A failure is an exception of `storage_core.errors` with a message that says what the
  service answered and what to do, or the backend's own exception, which `classify` turns
  into one. Core adds operation, bucket and key.
- A missing bucket is `BucketNotFoundError` on every call, also when an object was named.
- A driver is shared between threads (blocking) or tasks (asyncio).
- A call can be cancelled at any ``await`` of its body or of the loop, by an exception that
  is no `Exception`: clean up in ``finally`` or ``except BaseException``, and let it pass.
- Under ``"blocking"`` a method must never suspend: it does its I/O by plain calls and every
  ``await`` in it is of something that does not suspend either, but for the library's own
  transport and runtime: hold no lock of threads over them, and leave driving to the library.
  Under ``"asyncio"`` it must never block the loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from storage_core.errors import StorageError, UnsupportedError
from storage_core.model import (
    BucketInfo,
    Capabilities,
    CopyProgress,
    DeleteResult,
    Link,
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
    PresignRequest,
    PutPartRequest,
    PutRequest,
    PutTagsRequest,
    TagsRequest,
    UpdateMetadataRequest,
    UploadRequest,
)
from storage_core.streams import ObjectStream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

IO: TypeAlias = Literal["blocking", "asyncio"]


class Driver(ABC):
    """One account of one backend.

    Args:
        settings: Instance of `settings_model()`; kept, and all that a pickled driver takes
            along.

    Attributes:
        name: The entry point's name, such as ``"local"``.
        supported_io: How the driver can carry its requests. With both, the face chooses;
            with ``"blocking"`` alone the async face uses worker threads, with ``"asyncio"``
            alone the blocking face uses one background loop.
        capabilities: What this instance, with its settings, can do.
        io: The way chosen at `open`.
    """

    name: str
    supported_io: frozenset[IO]
    capabilities: Capabilities
    io: IO

    def __init__(self, settings: BaseModel) -> None:
        self.settings = settings

    # --- configuration and life -------------------------------------------------------

    @classmethod
    @abstractmethod
    def settings_model(cls) -> type[BaseModel]:
        """The pydantic model of the driver's part of a profile. Unknown names are refused,
        secrets are ``SecretStr``, every field has a description. Import pydantic here, not
        at the top of the module."""

    @classmethod
    def settings_from_url(cls, url: str) -> Mapping[str, Any] | None:
        """Settings that host and path of a URL give whose scheme names this driver, such as
        the bucket of ``mine://bucket/prefix``; None (the default) if they give none. Query
        parameters are read by the general rule: their names are settings."""
        return None

    async def open(self, io: IO) -> None:
        """Get ready for requests. Sends none if it can be helped.

        Raises:
            ConfigError: the settings can not work; say which and why.
        """
        self.io = io

    async def close(self) -> None:
        """Release everything; may be called twice. The driver can be opened again."""

    def describe(self) -> str:
        """One line for people and reports: backend and place, such as
        ``local /srv/data``. Never a secret."""
        return self.name

    def local_folder(self) -> str | None:
        """The folder of this machine that holds everything and nothing else, which no transfer
        of a tree may take for a folder of the user's; None where there is none (the default)."""
        return None

    def classify(self, error: Exception) -> StorageError | None:
        """The library's error for one of the backend's, None if it is not known (it then
        passes unchanged, as the bug it is)."""
        return None

    def filesystem(self) -> Any:
        """The fsspec filesystem of this account, for libraries that take one. What goes through
        it has none of the contract's rules, and paths are the service's own.

        Raises:
            UnsupportedError: there is none (the default).
        """
        raise UnsupportedError(f"the driver {self.name!r} has no fsspec filesystem to hand out")

    def link_keys(self) -> Mapping[str, bytes] | None:
        """Keys this backend keeps itself for gateway links: key id to secret, the last one
        signs. None where it keeps none and the profile's ``links.keys`` must say."""
        return None

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.settings,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.describe()}>"

    # --- buckets ----------------------------------------------------------------------

    @abstractmethod
    async def create_bucket(self, name: str) -> BucketInfo:
        """Create a bucket.

        Raises:
            BucketExistsError: it exists, whoever made it.
        """

    @abstractmethod
    async def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket.

        Raises:
            BucketNotFoundError: there is none.
            BucketNotEmptyError: it holds objects or versions, or open uploads.
        """

    @abstractmethod
    async def head_bucket(self, name: str) -> BucketInfo:
        """Tell of a bucket.

        Raises:
            BucketNotFoundError: there is none.
        """

    @abstractmethod
    async def list_buckets_page(self, request: ListBucketsRequest) -> Page[BucketInfo]:
        """Buckets in ascending order of their names."""

    # --- objects ----------------------------------------------------------------------

    @abstractmethod
    async def put(self, request: PutRequest) -> PutResult:
        """Write an object as a whole, atomically; an exception leaves what was there.

        Raises:
            PreconditionFailedError: a condition does not hold. ``if_match`` on a missing
                object is one such case.
            IntegrityError: from the body.
        """

    @abstractmethod
    async def get(self, request: GetRequest) -> ObjectStream:
        """Open an object for reading.

        Raises:
            ObjectNotFoundError: there is none (VersionNotFoundError with a version).
            InvalidRangeError: as `ByteRange.resolve`.
            NotModifiedError: ``if_none_match`` or ``if_modified_since`` does not hold.
            PreconditionFailedError: ``if_match`` or ``if_unmodified_since`` does not hold.
        """

    def get_now(self, request: GetRequest) -> ObjectStream | None:
        """As `get`, where that needs no wait for a disk or a peer; None (the default) where it
        may, or where it fails. An event loop asks this first of a driver that blocks: a trip
        through a worker thread costs far more than a look at what is in memory."""
        return None

    @abstractmethod
    async def head(self, request: HeadRequest) -> ObjectInfo:
        """Tell of an object. Errors as for `get`."""

    def head_now(self, request: HeadRequest) -> ObjectInfo | None:
        """As `head`, where that needs no wait, in the sense of `get_now`."""
        return None

    @abstractmethod
    async def delete(self, request: DeleteRequest) -> DeleteResult:
        """Delete an object, or one version of it. A missing one is a success, unless
        ``if_match`` is given.

        Raises:
            PreconditionFailedError: a condition does not hold.
        """

    async def delete_many(self, request: DeleteManyRequest) -> Sequence[DeleteResult]:
        """Delete several, one result each in the order of the request; a key that fails
        carries its error. Needed when `Capabilities.delete_many_limit` is over 1."""
        raise _undeclared("delete_many")

    @abstractmethod
    async def list_page(self, request: ListRequest) -> Page[ObjectSummary | Prefix]:
        """One page of keys that start with the prefix, what lies behind a delimiter grouped.

        A page may hold fewer items than asked for, even none, with a token to go on. A
        listing sees all writes that were acknowledged before it began and neither skips nor
        repeats keys that others leave alone.
        """

    async def copy(self, request: CopyRequest) -> CopyProgress:
        """Copy inside the service, needed with `server_side_copy`; atomic like `put`.

        Raises:
            ObjectNotFoundError: no such source. BucketNotFoundError names the bucket that
                is missing.
        """
        raise _undeclared("copy")

    async def move(self, request: MoveRequest) -> PutResult:
        """Rename in one step, needed with `atomic_move`. Onto itself it changes nothing."""
        raise _undeclared("move")

    async def update_metadata(self, request: UpdateMetadataRequest) -> PutResult:
        """Replace the attributes of an object, needed with `update_metadata`. The etag
        stays or changes as the service does it."""
        raise _undeclared("update_metadata")

    # --- multipart sessions -----------------------------------------------------------

    async def create_upload(self, request: CreateUploadRequest) -> UploadInfo:
        """Begin a session. Its id is text and all another process needs besides the key."""
        raise _undeclared("create_upload")

    async def put_part(self, request: PutPartRequest) -> Part:
        """Store a part; the last one sent under a number counts.

        Raises:
            UploadNotFoundError: no such session, here and in all that follow.
        """
        raise _undeclared("put_part")

    async def copy_part(self, request: CopyPartRequest) -> Part:
        """Store a part from bytes of an existing object."""
        raise _undeclared("copy_part")

    async def list_parts_page(self, request: UploadRequest) -> Page[Part]:
        """Parts stored so far, ascending by number."""
        raise _undeclared("list_parts_page")

    async def complete_upload(self, request: CompleteUploadRequest) -> PutResult:
        """Publish the parts as one object, atomically like `put`, and end the session.

        Raises:
            InvalidPartError: a part is missing or its etag differs.
            PartTooSmallError: a part other than the last is below the minimum.
            PreconditionFailedError: a condition does not hold; the session stays.
        """
        raise _undeclared("complete_upload")

    async def abort_upload(self, request: UploadRequest) -> None:
        """Drop a session and its parts."""
        raise _undeclared("abort_upload")

    async def list_uploads_page(self, request: ListUploadsRequest) -> Page[UploadInfo]:
        """Open sessions, ascending by key."""
        raise _undeclared("list_uploads_page")

    # --- links, versions, tags --------------------------------------------------------

    async def presign(self, request: PresignRequest) -> Link:
        """Sign a link natively, offline where the credentials allow."""
        raise _undeclared("presign")

    async def list_versions_page(self, request: ListVersionsRequest) -> Page[VersionSummary]:
        """Versions and delete markers: keys ascending, newest first within a key."""
        raise _undeclared("list_versions_page")

    async def get_tags(self, request: TagsRequest) -> Mapping[str, str]:
        """Tags of an object or a version. Errors as for `get`."""
        raise _undeclared("get_tags")

    async def put_tags(self, request: PutTagsRequest) -> None:
        """Replace the tags of an object or a version. Errors as for `get`."""
        raise _undeclared("put_tags")


def _undeclared(operation: str) -> UnsupportedError:
    # Core asks the capabilities first, so this only shows when a driver declares too much.
    return UnsupportedError(f"the driver declares {operation} but does not implement it")
