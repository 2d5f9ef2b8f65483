"""`ReaderCore`: the bytes of one get, verified on the way, taken up again when the
connection breaks, and never mixed from two objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_core import checksum
from storage_core.core.retry import Deadline
from storage_core.errors import (
    ClosedError,
    IntegrityError,
    InvalidRangeError,
    ObjectChangedError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PreconditionFailedError,
    StorageError,
)
from storage_core.model import NO_CONDITIONS, ByteRange, Conditions, ObjectInfo
from storage_core.requests import GetRequest
from storage_core.runtime import Releasable

if TYPE_CHECKING:
    from storage_core.core.client import Client
    from storage_core.streams import FileSlice, ObjectStream

CHUNK = 256 * 1024
"""Bytes in a chunk when a reader is iterated."""


class ReaderCore(Releasable):
    """Reads one `ObjectStream` to its end."""

    __slots__ = (
        "_attempts",
        "_client",
        "_closed",
        "_deadline",
        "_hasher",
        "_request",
        "_stream",
        "_want",
        "length",
        "position",
        "start",
    )

    def __init__(
        self,
        client: Client,
        request: GetRequest,
        stream: ObjectStream,
        verify: bool,
        deadline: Deadline | None,
    ) -> None:
        self._client = client
        self._request = request
        self._stream = stream
        self._deadline = deadline
        self._closed = False
        self._attempts = 0
        self._hasher: checksum.Hasher | None = None
        self._want: bytes | None = None
        self.start = stream.start
        self.length = stream.length
        self.position = 0
        if verify and stream.checksum is not None:
            self._want = stream.checksum[1]

    @property
    def info(self) -> ObjectInfo:
        return self._stream.info

    @property
    def file(self) -> FileSlice | None:
        """The file behind the reader, for kernels to send; it stays open until `release`.
        What is read this way is not verified."""
        return self._stream.file if self.position == 0 else None

    def read_memory(self, size: int) -> bytes | None:
        """As `read`, where the bytes are in memory already, else None. The faces ask this
        first: it saves a small object a coroutine, and the async face a worker thread."""
        data = self._stream.data
        if data is None:
            return None
        if self._closed:
            raise ClosedError("the reader is closed")
        if self._want is not None:
            algorithm = self._stream.checksum[0]  # type: ignore[index]
            self._check(checksum.digest(algorithm, data))
        if self.position == 0 and (size < 0 or size >= len(data)):
            self.position = len(data)
            return data
        piece = data[self.position :] if size < 0 else data[self.position : self.position + size]
        self.position += len(piece)
        return piece

    async def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, all that is left if negative; empty at the end."""
        if self._closed:
            raise ClosedError("the reader is closed")
        found = self.read_memory(size)
        if found is not None:
            return found
        if size < 0:
            pieces = []
            while piece := await self._next(CHUNK * 4):
                pieces.append(piece)
            return b"".join(pieces)
        return await self._next(size) if size else b""

    async def _next(self, size: int) -> bytes:
        self._client.runtime.checkpoint()
        if self._deadline is not None and self._deadline.passed():
            raise self._placed(OperationTimeoutError("the deadline passed during the read"))
        if self.position >= self.length:
            return b""
        piece = await self._piece(min(size, self.length - self.position))
        self.position += len(piece)
        if self._want is not None:
            if self._hasher is None:
                self._hasher = checksum.new(self._stream.checksum[0])  # type: ignore[index]
            self._hasher.update(piece)
            if self.position == self.length:
                self._check(self._hasher.digest())
        return piece

    async def _piece(self, size: int) -> bytes:
        """The next bytes of the stream, or of one opened anew where the old one broke off."""
        while True:
            try:
                piece = await self._stream.read(size)
                if piece:
                    return piece
                failure: Exception = IntegrityError(
                    f"the body ended after {self.position} of {self.length} bytes"
                )
                # A short body is most often a broken connection, so it is taken up again.
                failure.retryable = True  # type: ignore[attr-defined]
            except Exception as raised:  # noqa: BLE001 - classified below
                failure = raised
            request, client = self._request, self._client
            self._attempts += 1
            error = client.classified(failure, "get", request.bucket, request.key, self._attempts)
            deadline = self._deadline or Deadline(None)
            if not await client.may_repeat(error, self._attempts, deadline):
                raise error from (failure if error is not failure else error.__cause__)
            await self._resume()

    async def _resume(self) -> None:
        request, client = self._request, self._client
        info, old_checksum = self._stream.info, self._stream.checksum
        await self._stream.close()
        conditional = client.capabilities.allows("get", "if_match")
        rest = GetRequest(
            request.bucket,
            request.key,
            ByteRange(self.start + self.position, self.start + self.length),
            request.version or info.version,
            Conditions(if_match=info.etag) if conditional else NO_CONDITIONS,
        )
        try:
            stream = await client.call("get", client.driver.get, rest, self._deadline)
        except (PreconditionFailedError, ObjectNotFoundError, InvalidRangeError) as error:
            raise self._changed() from error
        if stream.info.etag != info.etag:
            await stream.close()
            raise self._changed()
        stream.checksum = old_checksum  # that of all bytes, hashed across both streams
        self._stream = stream

    def _check(self, found: bytes) -> None:
        want, self._want = self._want, None
        if found != want:
            raise self._corrupt(self._stream.checksum[0])  # type: ignore[index]

    def _changed(self) -> StorageError:
        return self._placed(
            ObjectChangedError("the object was replaced while it was being read; read again")
        )

    def _corrupt(self, algorithm: str) -> StorageError:
        return self._placed(
            IntegrityError(
                f"the bytes do not have the object's {algorithm}; what was read is not to be used"
            )
        )

    def _placed(self, error: StorageError) -> StorageError:
        return error.with_context("get", self._request.bucket, self._request.key)

    def close_memory(self) -> bool:
        """Close what holds nothing but memory; false if `close` must be awaited."""
        if self._stream.data is None:
            return False
        self._closed = True
        return True

    async def close(self) -> None:
        """Release the stream; may be called twice."""
        if not self._closed:
            self._closed = True
            await self._stream.close()

    def release(self) -> None:
        from storage_core.runtime import drive

        drive(self.close())
