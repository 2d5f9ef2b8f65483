"""`ReaderCore`: the bytes of one get, verified on the way, taken up again when the
connection breaks, and never mixed from two objects."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

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
from storage_core.model import NO_CONDITIONS, Buffer, ByteRange, Conditions, ObjectInfo
from storage_core.requests import GetRequest
from storage_core.runtime import Releasable
from storage_core.streams import ObjectStream

if TYPE_CHECKING:
    from storage_core.core.client import Client
    from storage_core.streams import FileSlice

Read = TypeVar("Read", bytes, int)

CHUNK = 256 * 1024
"""Bytes in a chunk when a reader is iterated."""


_INTERRUPTED = ClosedError("a read of this reader was cancelled; get the object again")


class ReaderCore(Releasable):
    """Reads one `ObjectStream` to its end."""

    __slots__ = (
        "_attempts",
        "_client",
        "_deadline",
        "_failure",
        "_hasher",
        "_request",
        "_stream",
        "_want",
        "closed",
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
        self.closed = False
        self._attempts = 0
        self._failure: StorageError | None = None
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
        """The file behind the reader, for kernels to send; it stays open until `close`.
        What is read this way is not verified."""
        return self._stream.file if self.position == 0 else None

    def read_memory(self, size: int) -> bytes | None:
        """As `read`, where the bytes are in memory already, else None. The faces ask this
        first: it saves a small object a coroutine, and the async face a worker thread."""
        data = self._stream.data
        if data is None:
            return None
        if self.closed or self._failure is not None:
            self._refuse()
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
        if self.closed or self._failure is not None:
            self._refuse()
        found = self.read_memory(size)
        if found is not None:
            return found
        if not size:
            return b""
        # Until it went well: an interrupt, such as Ctrl-C, may lose bytes at any point.
        self._failure = _INTERRUPTED
        if size < 0:
            pieces = []
            while piece := await self._next(CHUNK * 4):
                pieces.append(piece)
            data = b"".join(pieces)
        else:
            data = await self._next(size)
        self._failure = None
        return data

    async def readinto(self, buffer: memoryview) -> int:
        """As `read`, into a buffer of bytes: how many came, 0 at the end."""
        if self.closed or self._failure is not None:
            self._refuse()
        if self._stream.data is not None:
            found = self.read_memory(len(buffer)) or b""
            buffer[: len(found)] = found
            return len(found)
        buffer = buffer[: self.length - self.position]
        if not buffer:
            return 0
        self._failure = _INTERRUPTED
        self._check_time()
        size = await self._persistent(lambda stream: stream.readinto(buffer))
        self._passed(buffer[:size])
        self._failure = None
        return size

    def _refuse(self) -> None:
        """Refuse to read on: what comes after bytes that were lost or false is of no use."""
        if self.closed:
            raise ClosedError("the reader is closed")
        if self._failure is not None:
            # A copy, so that no traceback leads from here to it.
            raise self._placed(copy(self._failure))

    def interrupted(self) -> None:
        """A read was cancelled, and what it read is lost."""
        self._failure = _INTERRUPTED

    async def _next(self, size: int) -> bytes:
        self._check_time()
        size = min(size, self.length - self.position)
        if not size:
            return b""
        piece = await self._persistent(lambda stream: stream.read(size))
        self._passed(piece)
        return piece

    def _check_time(self) -> None:
        """Refuse to go on when the call was cancelled or its deadline passed."""
        self._client.runtime.checkpoint()
        if self._deadline is not None and self._deadline.passed():
            self._failure = self._placed(
                OperationTimeoutError("the deadline passed during the read")
            )
            self._refuse()

    def _passed(self, piece: Buffer) -> None:
        """These bytes came next."""
        self.position += len(piece)
        if self._want is not None:
            if self._hasher is None:
                self._hasher = checksum.new(self._stream.checksum[0])  # type: ignore[index]
            self._hasher.update(piece)
            if self.position == self.length:
                self._check(self._hasher.digest())

    async def _persistent(self, step: Callable[[ObjectStream], Coroutine[Any, Any, Read]]) -> Read:
        """The next bytes of the stream, or of one opened anew where the old one broke off."""
        while True:
            try:
                found = await self._within(step(self._stream))
            except Exception as failure:  # noqa: BLE001 - classified like every driver error
                await self._after(failure)
            else:
                self._attempts = 0
                return found

    async def _within(self, work: Coroutine[Any, Any, Read]) -> Read:
        deadline = self._deadline
        if deadline is None:
            found = await work
        else:
            found = await self._client.runtime.within(deadline.left(), work)
        if not found:
            error = IntegrityError(f"the body ended after {self.position} of {self.length} bytes")
            # A short body is most often a broken connection, so it is taken up again.
            error.retryable = True
            raise error
        return found

    async def _after(self, failure: Exception) -> None:
        """Open the rest of the object anew, or raise what is the matter."""
        request, client = self._request, self._client
        self._attempts += 1
        error: Exception | None = None
        try:
            error = client.classified(failure, "get", request.bucket, request.key, self._attempts)
            limit = self._deadline or Deadline(None)
            if not await client.may_repeat(error, self._attempts, limit):
                raise error
            await self._resume()
        except Exception as final:
            self._failure = self._placed(ClosedError("an earlier read failed"))
            if isinstance(final, StorageError):
                # Without traceback and cause, which lead back here.
                self._failure = copy(final)
                self._failure.__cause__ = None
            raise
        finally:
            del failure, error

    async def _resume(self) -> None:
        request, client = self._request, self._client
        info, old_checksum = self._stream.info, self._stream.checksum
        await self._stream.close()
        start, stop = self.start + self.position, self.start + self.length
        conditional = client.capabilities.allows("get", "if_match")
        rest = GetRequest(
            request.bucket,
            request.key,
            ByteRange(start, stop),
            request.version or info.version,
            Conditions(if_match=info.etag) if conditional else NO_CONDITIONS,
        )
        try:
            stream = await client.call("get", client.driver.get, rest, self._deadline)
        except (PreconditionFailedError, ObjectNotFoundError, InvalidRangeError) as error:
            raise self._changed() from error
        if (stream.info.etag, stream.start, stream.length) != (info.etag, start, stop - start):
            await stream.close()
            raise self._changed()
        if stream.data is not None:
            stream = _Unread(stream, stream.data)
        stream.checksum = old_checksum  # that of all bytes, hashed across both streams
        self._stream = stream

    def _check(self, found: bytes) -> None:
        want, self._want = self._want, None
        if found != want:
            self._failure = self._corrupt(self._stream.checksum[0])  # type: ignore[index]
            self._refuse()

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

    def close_now(self) -> bool:
        """Close what can be closed without a wait; false if `close` must be awaited."""
        if self.closed or self._stream.data is not None or self._stream.close_now():
            self.closed = True
        return self.closed

    async def close(self) -> None:
        """Release the stream; may be called twice."""
        if not self.closed:
            self.closed = True
            await self._stream.close()


class _Unread(ObjectStream):
    """A stream whose bytes are in memory, for reading on in the middle of an object."""

    __slots__ = ("_inner", "_rest")

    def __init__(self, inner: ObjectStream, data: bytes) -> None:
        super().__init__(inner.start, inner.length)
        self._inner = inner
        self._rest = memoryview(data)

    @property
    def info(self) -> ObjectInfo:
        return self._inner.info

    async def read(self, size: int) -> bytes:
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)

    async def close(self) -> None:
        await self._inner.close()
