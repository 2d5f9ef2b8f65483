"""A seekable file over ranged gets, of the blocking face."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from storage_core.core.ranged import RangedCore
from storage_core.model import ObjectInfo

if TYPE_CHECKING:
    from storage_core.blocking.bucket import Bucket
    from storage_core.runtime import BlockingRuntime


def open_seekable(
    bucket: Bucket, key: str, version: str | None, buffer_size: int
) -> io.BufferedReader:
    """The file `Bucket.open` gives."""
    runtime = bucket._runtime
    core = runtime.run(RangedCore.open(bucket._core, key, version))
    return io.BufferedReader(SeekableReader(runtime, core), buffer_size)


class SeekableReader(io.RawIOBase):
    """Reads any stretch of one object, and only of that one."""

    def __init__(self, runtime: BlockingRuntime, core: RangedCore) -> None:
        super().__init__()
        self._runtime = runtime
        self._core = core

    @property
    def info(self) -> ObjectInfo:
        """The object."""
        return self._core.info

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._core.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._core.seek(offset, whence)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        data = self._runtime.run(self._core.read(len(view)))
        view[: len(data)] = data
        return len(data)
