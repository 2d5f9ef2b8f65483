"""`WriterCore`: an object written bit by bit; nothing is visible before commit.

Up to one part is held in memory. What fits goes out as one put; more becomes a multipart
session, or waits in a temporary file where the profile has no sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from storage_core import checksum
from storage_core.core.bodies import bytes_of, known_algorithm, parse_digests
from storage_core.errors import ClosedError, IntegrityError, QuotaExceededError, StorageError
from storage_core.model import Attributes, Buffer, Conditions, Part, PutResult

if TYPE_CHECKING:
    from storage_core.core.bucket import BucketCore
    from storage_core.core.retry import Deadline
    from storage_core.core.upload import UploadCore
    from storage_core.streams import Body

PART = 8 * 1024**2
"""Smallest part a writer makes, in bytes; more where the profile's minimum is larger."""


class WriterCore:
    """Collects pieces and publishes them as one object."""

    __slots__ = (
        "_bucket",
        "_buffer",
        "_compute",
        "_conditions",
        "_created",
        "_declared",
        "_failed",
        "_hashers",
        "_least",
        "_parts",
        "_seconds",
        "_spool",
        "_upload",
        "attributes",
        "done",
        "key",
        "size",
    )

    def __init__(
        self,
        bucket: BucketCore,
        key: str,
        attributes: Attributes,
        conditions: Conditions,
        declared: dict[str, str],
        compute: tuple[str, ...],
        seconds: float | Deadline | None,
    ) -> None:
        self._bucket = bucket
        self._conditions = conditions
        self._declared = parse_digests(declared)
        self._compute = compute
        self._seconds = seconds
        names = dict.fromkeys((*bucket.digests_to_compute(compute), *declared))
        for name in names:
            known_algorithm(name)
        self._hashers = {name: checksum.new(name) for name in names}
        self._buffer = bytearray()
        self._upload: UploadCore | None = None
        self._parts: list[Part] = []
        self._spool: BinaryIO | None = None
        self._failed = False
        self._least = 0
        self._created = attributes
        self.done = ""
        self.key = key
        self.attributes = attributes
        self.size = 0

    def _part_size(self) -> int:
        """Bytes to collect before the next request. Parts grow with the object, so that ten
        thousand of them reach the largest one."""
        capabilities = self._bucket.client.capabilities
        grown: int = PART * 2 ** (len(self._parts) * 10 // max(1, capabilities.max_parts))
        most = capabilities.max_part_size
        if self._upload is None:
            most = min(most, capabilities.max_put_size)  # it may stay with one put
        return max(1, min(max(grown, self._least), most), capabilities.min_part_size)

    def _check_open(self) -> None:
        if self.done:
            raise ClosedError(f"the writer was {self.done} already")
        if self._failed:
            raise ClosedError("an earlier write failed; abort the writer and begin anew")

    async def write(self, data: Buffer) -> int:
        """Take some more bytes; all of them or, with an exception, the writer is lost."""
        self._check_open()
        view = memoryview(bytes_of(data))
        self._failed = True  # until it went well: after a gap nothing may be published
        for hasher in self._hashers.values():
            hasher.update(view)
        taken = 0
        while taken < len(view):
            room = max(1, self._part_size() - len(self._buffer))
            self._buffer += view[taken : taken + room]
            taken += room
            if len(self._buffer) >= self._part_size():
                await self._flush()
        self.size += len(view)
        self._failed = False
        return len(view)

    def interrupted(self) -> None:
        """A write was cancelled; how much of it was taken is not known."""
        self._failed = True

    async def _flush(self) -> None:
        client = self._bucket.client
        if not client.capabilities.multipart:
            await client.runtime.blocking(self._to_spool)
            return
        if self._upload is None:
            client.require_conditions("complete", self._conditions)
            keep = tuple(self._hashers)
            self._created = self.attributes
            self._upload = await self._bucket.create_upload(
                self.key, self.attributes, keep, self._seconds
            )
        data, self._buffer = self._buffer, bytearray()
        number = len(self._parts) + 1
        self._parts.append(await self._upload.put_part(number, data, None, None, self._seconds))

    def _to_spool(self) -> None:
        import tempfile

        try:
            if self._spool is None:
                self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
            self._spool.write(self._buffer)
        except OSError as error:
            raise QuotaExceededError(
                f"no room to collect the object in {tempfile.gettempdir()}: {error.strerror}",
                operation="write",
                bucket=self._bucket.name,
                key=self.key,
                status=error.errno,
            ) from error
        self._buffer = bytearray()

    async def take(self, body: Body) -> PutResult:
        """Write a whole body and commit; abort if it fails."""
        if body.size is not None:
            self._least = -(-body.size // self._bucket.client.capabilities.max_parts)
        try:
            async for piece in body:
                await self.write(piece)
        except BaseException as failure:
            body.take_failure()
            if isinstance(failure, StorageError):
                failure.with_context("put", self._bucket.name, self.key)
            await self.discard(failure)
            raise
        return await self.commit()

    async def commit(self) -> PutResult:
        """Publish the object; a failure, an earlier one too, aborts."""
        if self.done:
            self._check_open()
        try:
            self._check_open()
            self._verify()
            result = await self._publish()
        except BaseException as failure:
            await self.discard(failure)
            raise
        self._end("committed")
        digests = {name: hasher.digest().hex() for name, hasher in self._hashers.items()}
        return PutResult(
            result.key,
            result.etag,
            result.size,
            result.version,
            {**result.checksums, **digests},
        )

    def _verify(self) -> None:
        for name, wanted in self._declared.items():
            found = self._hashers[name].digest()
            if found != wanted:
                raise IntegrityError(
                    f"the {name} of what was written is {found.hex()}, {wanted.hex()} was declared"
                ).with_context("commit", self._bucket.name, self.key)

    async def _publish(self) -> PutResult:
        client = self._bucket.client
        most = client.capabilities.max_put_size
        if self._upload is None and client.capabilities.multipart and len(self._buffer) > most:
            await self._flush()
        if self._upload is not None:
            if self._buffer:
                await self._flush()
            digests = {name: hasher.digest().hex() for name, hasher in self._hashers.items()}
            # Some services take attributes at creation alone, and others cost them a copy.
            changed = None if self.attributes == self._created else self.attributes
            return await self._upload.complete(
                self._parts, changed, self._conditions, self._seconds, digests
            )
        if self._spool is not None:
            await client.runtime.blocking(self._to_spool)
            self._spool.seek(0)
        declared = {name: wanted.hex() for name, wanted in self._declared.items()}
        return await self._bucket.put(
            self.key,
            self._buffer if self._spool is None else self._spool,
            self.size,
            self.attributes,
            self._conditions,
            declared,
            self._compute,
            self._seconds,
        )

    async def abort(self) -> None:
        """Drop what was written."""
        if (upload := self._abandon()) is not None:
            await upload.abort()

    async def discard(self, failure: BaseException) -> None:
        """Abort because of another failure, which this must not hide."""
        if (upload := self._abandon()) is not None:
            await upload.discard(failure)

    def _abandon(self) -> UploadCore | None:
        """End without publishing; the session that is left to abort."""
        if self.done == "aborted":
            return None  # so that `except: writer.abort()` around a failed commit is right
        if self.done:
            self._check_open()
        upload = self._upload
        self._end("aborted")
        return upload

    def _end(self, how: str) -> None:
        self.done = how
        self._buffer = bytearray()
        self._upload = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None
