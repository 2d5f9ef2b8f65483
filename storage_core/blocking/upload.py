"""`Upload` of the blocking face."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from storage_core.blocking.listing import Listing
from storage_core.core.attributes import write_conditions
from storage_core.core.upload import UploadCore
from storage_core.model import Attributes, Link, Part, PutResult
from storage_core.runtime import BlockingRuntime

if TYPE_CHECKING:
    from storage_core.blocking.bucket import Bucket
    from storage_core.core.bodies import Data


class Upload:
    """A multipart session. Whoever knows its `id` can go on with it, from any process or
    host, by `Bucket.resume_upload`. Parts may be sent in any order and in parallel."""

    __slots__ = ("_core", "_runtime", "bucket")

    def __init__(self, runtime: BlockingRuntime, bucket: Bucket, core: UploadCore) -> None:
        self._runtime = runtime
        self._core = core
        self.bucket = bucket

    @property
    def id(self) -> str:
        """All that `Bucket.resume_upload` needs."""
        return self._core.id

    @property
    def key(self) -> str:
        """Key of the object to be."""
        return self._core.key

    def put_part(
        self,
        number: int,
        data: Data,
        *,
        size: int | None = None,
        checksums: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Part:
        """Send one part; a part sent again under the same number replaces the first.

        Args:
            number: 1 to 10 000.
            data: As for `Bucket.put`. All parts but the last need at least
                `Capabilities.min_part_size` bytes.
            size: Declared length in bytes.
            checksums: Declared digests of the part.
            deadline: Seconds the call may take.

        Raises:
            InvalidPartError: the number or size is out of bounds.
            UploadNotFoundError: the session was completed or aborted.
        """
        return self._runtime.run(self._core.put_part(number, data, size, checksums, deadline))

    def copy_part(
        self,
        number: int,
        key: str,
        *,
        source: Bucket | None = None,
        version: str | None = None,
        range: tuple[int, int | None] | None = None,  # noqa: A002
    ) -> Part:
        """Fill a part with bytes of an existing object, inside the service.

        Args:
            number: 1 to 10 000.
            key: Key of the object to copy from.
            source: Its bucket, this session's own if None.
            version: Its version, the current one if None.
            range: Start and stop in bytes, all of it if None.
        """
        name = (source or self.bucket).name
        return self._runtime.run(self._core.copy_part(number, name, key, version, range))

    def list_parts(self) -> Listing[Part]:
        """Parts stored so far, ascending by number."""
        return Listing(self._runtime, self._core.list_parts())

    def complete(
        self,
        parts: Iterable[Part] | None = None,
        *,
        attributes: Attributes | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
        deadline: float | None = None,
    ) -> PutResult:
        """Publish the parts as one object and end the session.

        Args:
            parts: What `put_part` returned, ascending by number; gaps are allowed. None
                takes all that are stored.
            attributes: Replaces what was given at create.
            if_absent: Only if there is no such object.
            if_match: Only if the object has this etag.
            deadline: Seconds the call may take.

        Raises:
            InvalidPartError: out of order, missing, or sent again since.
            PartTooSmallError: a part other than the last is below the minimum.
            PreconditionFailedError: a condition does not hold; the session stays open.
            UploadNotFoundError: it was completed or aborted before.
        """
        conditions = write_conditions(if_absent, if_match)
        return self._runtime.run(self._core.complete(parts, attributes, conditions, deadline))

    def abort(self) -> None:
        """End the session and drop its parts.

        Raises:
            UploadNotFoundError: it was completed or aborted before.
        """
        self._runtime.run(self._core.abort())

    def presign_part(
        self,
        number: int,
        *,
        expires_in: int = 900,
        content_length: int | None = None,
        checksum: tuple[str, str] | None = None,
    ) -> Link:
        """A link by which somebody without credentials can PUT one part; its etag comes in
        the answer's ``ETag`` header.

        Args:
            number: 1 to 10 000.
            expires_in: Seconds it is good for.
            content_length: Exact size of the part in bytes, if it is to be bound.
            checksum: Algorithm and hexadecimal digest, if it is to be bound.
        """
        return self._runtime.run(
            self._core.presign_part(number, expires_in, content_length, checksum)
        )

    def __reduce__(self) -> tuple[object, ...]:
        return _upload, (self.bucket, self.id)

    def __repr__(self) -> str:
        return f"<Upload of {self.key!r} in {self.bucket.name!r}>"


def _upload(bucket: Bucket, upload_id: str) -> Upload:
    return bucket.resume_upload(upload_id)
