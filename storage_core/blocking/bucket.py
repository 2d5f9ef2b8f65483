"""`Bucket` of the blocking face."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from storage_core.blocking.listing import Listing
from storage_core.blocking.reader import Reader
from storage_core.blocking.transfers import Transfers
from storage_core.blocking.upload import Upload
from storage_core.blocking.writer import Writer
from storage_core.core.attributes import make_attributes, read_conditions, write_conditions
from storage_core.core.between import End, copy_between, move_between
from storage_core.core.copying import KEEP, Keep
from storage_core.core.presign import presign
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
from storage_core.runtime import drive

if TYPE_CHECKING:
    from io import BufferedReader

    from storage_core.blocking.storage import Storage
    from storage_core.core.bodies import Data
    from storage_core.core.bucket import BucketCore


class Bucket(Transfers):
    """The objects of one bucket.

    Every method may also raise `BucketNotFoundError`, `PermissionDeniedError`,
    `AuthenticationError`, `UnsupportedError` for what the profile does not offer, and after
    the retries one of `TransientError`. A ``deadline`` is in seconds and counts all tries;
    the profile's ``retry.deadline`` holds where none is given.
    """

    __slots__ = ("_core", "_runtime", "storage")

    def __init__(self, storage: Storage, core: BucketCore) -> None:
        self.storage = storage
        self._runtime = storage._runtime
        self._core = core

    @property
    def name(self) -> str:
        """Name of the bucket."""
        return self._core.name

    def info(self) -> BucketInfo:
        """Tell of the bucket.

        Raises:
            BucketNotFoundError: there is none.
        """
        return self._runtime.run(self._core.info())

    # --- writing ----------------------------------------------------------------------

    def put(
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
        """Write an object as a whole, atomically; on any failure what was there stays.

        Args:
            key: 1 to 1024 bytes of UTF-8 (`storage_core.keys.check_key`).
            data: Bytes, a binary file (read from where it stands), or an iterable of bytes.
            size: Declared length in bytes; a body of another length is refused.
            content_type: Media type; nothing is guessed.
            content_encoding: Such as ``gzip``. The bytes are stored and given as they are.
            content_disposition: Header of that name.
            content_language: Header of that name.
            cache_control: Header of that name.
            metadata: User metadata: keys ``[a-z0-9][a-z0-9_-]*`` in any case, any text as
                value, 2 KiB in all.
            tags: Up to ten tags.
            expires_at: Moment from which on the object is gone.
            if_absent: Only if there is no such object; of several racing exactly one wins.
            if_match: Only if the object has this etag.
            checksums: Declared digests, algorithm to hexadecimal; others are refused.
            compute: Algorithms whose digests are wanted in the result; kept with the object
                where the profile can.
            deadline: Seconds.

        Raises:
            InvalidKeyError: the key can not be created.
            InvalidMetadataError: headers, metadata or tags are malformed or too large.
            PreconditionFailedError: a condition does not hold.
            IntegrityError: size or digest differ from what was declared.
            QuotaExceededError: no room, or larger than an object can be.
            OutcomeUnknownError: the answer to a conditional write was lost for good.
        """
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
        return self._runtime.run(
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
    ) -> Writer:
        """An object to be written bit by bit; arguments as for `put`.

        ``with bucket.writer(key) as writer`` commits at the end and aborts on an exception.
        The conditions are checked when it commits; ``deadline`` counts for each request.
        """
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
        return Writer(self._runtime, core)

    def update_metadata(
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
        """Change what is said of an object without sending its bytes again.

        What is not given stays; None removes. User metadata is replaced as a whole.

        Raises:
            ObjectNotFoundError: there is none.
            PreconditionFailedError: ``if_match`` does not hold.
        """
        return self._runtime.run(
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
    ) -> Reader:
        """Open an object for reading; close the reader, best by ``with``.

        Args:
            key: The object's key.
            range: ``(start, stop)`` or ``(start, None)`` in bytes, the stop exclusive and cut
                to the object's end, or ``(-n, None)`` for the last ``n``.
            version: A version instead of the current one.
            if_match: Only if the object has this etag.
            if_none_match: Only if it has another one.
            if_modified_since: Only if it changed after this moment (whole seconds).
            if_unmodified_since: Only if it did not.
            verify: Check the checksum of a whole object while it is read.
            deadline: Seconds, reading included.

        Raises:
            ObjectNotFoundError: there is none.
            InvalidRangeError: the range starts at or past the end.
            NotModifiedError: ``if_none_match`` or ``if_modified_since`` does not hold.
            PreconditionFailedError: ``if_match`` or ``if_unmodified_since`` does not hold.
        """
        conditions = read_conditions(
            if_match, if_none_match, if_modified_since, if_unmodified_since
        )
        core = self._core.get(key, range, version, conditions, verify, deadline)
        return Reader(self._runtime, self._runtime.run(core))

    def open(
        self, key: str, *, version: str | None = None, buffer_size: int = 256 * 1024
    ) -> BufferedReader:
        """An object as a seekable binary file, which reads ranges as they are needed.

        It stays on the object it was opened on: `ObjectChangedError` if that is replaced.

        Args:
            key: The object's key.
            version: A version instead of the current one.
            buffer_size: Bytes read ahead.
        """
        from storage_core.blocking.seekable import open_seekable

        return open_seekable(self, key, version, buffer_size)

    def head(
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
        """All that is known of an object without its bytes; arguments and errors as for
        `get`. A denied answer is `PermissionDeniedError`, never "not found"."""
        conditions = read_conditions(
            if_match, if_none_match, if_modified_since, if_unmodified_since
        )
        return self._runtime.run(self._core.head(key, version, conditions, deadline))

    def exists(
        self, key: str, *, version: str | None = None, deadline: float | None = None
    ) -> bool:
        """Whether there is such an object; any error but "no such object" is raised."""
        return self._runtime.run(self._core.exists(key, version, deadline))

    # --- deleting, copying, moving ----------------------------------------------------

    def delete(
        self,
        key: str,
        *,
        version: str | None = None,
        if_match: str | None = None,
        deadline: float | None = None,
    ) -> DeleteResult:
        """Delete an object; one that is not there is a success.

        With versions kept, a delete marker hides the object; ``version`` deletes that one
        for good.

        Raises:
            PreconditionFailedError: ``if_match`` does not hold.
        """
        conditions = write_conditions(False, if_match)
        return self._runtime.run(self._core.delete(key, version, conditions, deadline))

    def delete_many(
        self, keys: Iterable[str | tuple[str, str | None]], *, deadline: float | None = None
    ) -> list[DeleteResult]:
        """Delete any number of objects.

        Args:
            keys: Keys, or pairs of key and version.
            deadline: Seconds for each request.

        Returns:
            One result per key, in order; one that failed carries its error.
        """
        return self._runtime.run(self._core.delete_many(keys, deadline))

    def copy(
        self,
        key: str,
        target_key: str,
        *,
        target: Bucket | None = None,
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
        """Copy an object, inside the service where it can.

        Args:
            key: The object to copy.
            target_key: Key of the copy; the same key, with a version, restores it.
            target: Bucket of the copy, this one if None. Into another storage the bytes are
                streamed through this process and verified on both sides.
            version: A version of the source instead of the current one.
            attributes: Replace headers, metadata and tags; None keeps the source's.
            if_absent: Only if there is nothing under the target key.
            if_match: Only if the target has this etag.
            source_if_match: Only if the source has this etag.
            source_if_none_match: Only if it has another one.
            source_if_modified_since: Only if it changed after this moment.
            source_if_unmodified_since: Only if it did not.
            deadline: Seconds.

        Raises:
            ObjectNotFoundError: there is no such source.
            PreconditionFailedError: a condition does not hold.
            UnsupportedError: another storage can not keep an attribute of the source, such as
                its tags; ``attributes`` says what to keep instead.
        """
        conditions = write_conditions(if_absent, if_match)
        source_conditions = read_conditions(
            source_if_match,
            source_if_none_match,
            source_if_modified_since,
            source_if_unmodified_since,
        )
        into = self if target is None else target
        if into._core.client is not self._core.client:
            return drive(
                copy_between(
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
            )
        return self._runtime.run(
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

    def move(
        self,
        key: str,
        target_key: str,
        *,
        target: Bucket | None = None,
        if_absent: bool = False,
        deadline: float | None = None,
    ) -> PutResult:
        """Move an object: one atomic step where `Capabilities.atomic_move` says so, else, and
        into another storage, a copy and then a delete, between which both exist.

        Raises:
            ObjectNotFoundError: there is no such source.
            PreconditionFailedError: ``if_absent`` does not hold.
        """
        conditions = write_conditions(if_absent, None)
        into = self if target is None else target
        if into._core.client is not self._core.client:
            source, goal = End(self._core, self._runtime), End(into._core, into._runtime)
            return drive(move_between(source, key, goal, target_key, conditions, deadline))
        return self._runtime.run(self._core.move(key, target_key, into._core, conditions, deadline))

    # --- tags -------------------------------------------------------------------------

    def get_tags(self, key: str, *, version: str | None = None) -> dict[str, str]:
        """Tags of an object."""
        return self._runtime.run(self._core.get_tags(key, version))

    def put_tags(self, key: str, tags: Mapping[str, str], *, version: str | None = None) -> None:
        """Replace all tags of an object; an empty mapping removes them."""
        self._runtime.run(self._core.put_tags(key, tags, version))

    # --- listings ---------------------------------------------------------------------

    def list(
        self,
        prefix: str = "",
        *,
        delimiter: str = "",
        start_after: str = "",
        page_size: int | None = None,
    ) -> Listing[ObjectSummary | Prefix]:
        """Objects in ascending order of their keys' bytes, lazily.

        Args:
            prefix: Only keys that start with this string.
            delimiter: Group what follows its first occurrence after the prefix into `Prefix`
                items; any string.
            start_after: Only keys (and prefixes) after this one.
            page_size: Items per request, the profile's maximum if None.
        """
        pages = self._core.list(prefix, delimiter, start_after, page_size)
        return Listing(self._runtime, pages)

    def list_versions(
        self, prefix: str = "", *, page_size: int | None = None
    ) -> Listing[VersionSummary]:
        """Versions and delete markers: keys ascending, newest first within a key."""
        return Listing(self._runtime, self._core.list_versions(prefix, page_size))

    # --- multipart sessions and links -------------------------------------------------

    def create_upload(
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
    ) -> Upload:
        """Begin a multipart session; arguments as for `put`."""
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
        core = self._runtime.run(self._core.create_upload(key, attributes, tuple(compute)))
        return Upload(self._runtime, self, core)

    def resume_upload(self, id: str) -> Upload:  # noqa: A002 - as `Upload.id`
        """A session begun before, here or elsewhere; nothing is asked.

        Raises:
            InvalidRequestError: the text is not an `Upload.id`.
        """
        return Upload(self._runtime, self, self._core.resume_upload(id))

    def list_uploads(
        self, prefix: str = "", *, page_size: int | None = None
    ) -> Listing[UploadInfo]:
        """Open sessions, ascending by key; their ids are good for `resume_upload`."""
        return Listing(self._runtime, self._core.list_uploads(prefix, page_size))

    def presign(
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
        """A link by which anybody can do one thing to one object until it expires.

        Args:
            key: The object's key; it need not exist.
            method: ``GET``, ``HEAD``, ``PUT`` or ``DELETE``.
            expires_in: Seconds it is good for.
            version: A version instead of the current one.
            content_type: For PUT the type the holder must send; for GET the type of the
                answer.
            content_length: Exact size the holder must send.
            checksum: Algorithm and hexadecimal digest of what he must send.
            filename: Name under which the answer to a GET is to be saved.
            if_absent: Only if there is no such object.

        Raises:
            ConfigError: a gateway link needs ``links.base_url``.
            UnsupportedError: the service's own links can not bind what is asked.
        """
        return self._runtime.run(
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
        return f"<Bucket {self.name!r} of {self.storage.profile!r}>"


def _bucket(storage: Storage, name: str) -> Bucket:
    return storage.bucket(name)
