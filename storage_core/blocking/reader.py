"""`Reader` of the blocking face."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from storage_core.core.reader import CHUNK, ReaderCore
from storage_core.model import ObjectInfo
from storage_core.runtime import BlockingRuntime

if TYPE_CHECKING:
    from types import TracebackType

    from storage_core.streams import FileSlice


class Reader:
    """The bytes of one `Bucket.get`: a readable binary file that can not seek.

    A whole object is verified: when the last byte does not complete its checksum,
    `IntegrityError` is raised instead of returning it. A reader sees the object as it was
    when it was opened, or fails with `ObjectChangedError`.
    """

    __slots__ = ("_core", "_run")

    def __init__(self, runtime: BlockingRuntime, core: ReaderCore) -> None:
        self._run = runtime.run
        self._core = core

    @property
    def info(self) -> ObjectInfo:
        """The object, known before its first byte."""
        return self._core.info

    @property
    def start(self) -> int:
        """Offset in the object of the reader's first byte."""
        return self._core.start

    @property
    def length(self) -> int:
        """Bytes the reader gives in all."""
        return self._core.length

    @property
    def position(self) -> int:
        """Bytes given so far."""
        return self._core.position

    @property
    def file(self) -> FileSlice | None:
        """The open file that holds exactly these bytes, on drivers that have one and before
        the first read: for handing to the kernel. Bytes taken this way are not verified."""
        return self._core.file

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, all that are left if negative; empty only at the end.

        Raises:
            IntegrityError: the bytes are not those that were stored.
            ObjectChangedError: the object was replaced and the rest is lost.
        """
        data = self._core.read_memory(size)
        return self._run(self._core.read(size)) if data is None else data

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """As `read`, into a buffer, which is filled where the transport can; the number of
        bytes, 0 at the end."""
        return self._run(self._core.readinto(memoryview(buffer).cast("B")))

    def readable(self) -> bool:
        """True: with the following, what `io.TextIOWrapper` asks of a file."""
        return True

    def writable(self) -> bool:
        """False."""
        return False

    def seekable(self) -> bool:
        """False; `Bucket.open` gives a file that is."""
        return False

    def flush(self) -> None:
        """Does nothing."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._core.closed

    def __iter__(self) -> Iterator[bytes]:
        """Chunks of up to 256 KiB."""
        while chunk := self.read(CHUNK):
            yield chunk

    def close(self) -> None:
        """Let go of the connection or file; may be called twice."""
        if not self._core.close_now():
            self._run(self._core.close())

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._core.close_now():
            self._run(self._core.close())

    def __repr__(self) -> str:
        return f"<Reader {self.info.key!r} at {self.position} of {self.length}>"
