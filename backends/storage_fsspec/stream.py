"""The bytes of a file, a block at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storage_core.errors import ObjectChangedError
from storage_core.model import ObjectInfo
from storage_core.streams import ObjectStream

BLOCK = 1024 * 1024
"""Bytes asked for at a time."""


class FileStream(ObjectStream):
    """Reads a file by stateless requests for ranges, since a handle may be shared by all who
    have the file open; that it is still the same file is asked at the end.

    Args:
        fs: fsspec's filesystem.
        path: The file.
        info: The object's.
        start: First byte.
        length: Number of bytes.
        checksum: Of these bytes, where known.
        same: Tells whether the object is still this one.
    """

    __slots__ = ("_block", "_fs", "_info", "_path", "_position", "_same")

    def __init__(
        self,
        fs: Any,
        path: str,
        info: ObjectInfo,
        start: int,
        length: int,
        checksum: tuple[str, bytes] | None,
        same: Callable[[], bool],
    ) -> None:
        super().__init__(start, length, checksum=checksum)
        self._fs = fs
        self._path = path
        self._info = info
        self._same = same
        self._position = 0
        self._block = memoryview(b"")

    @property
    def info(self) -> ObjectInfo:
        return self._info

    async def read(self, size: int) -> bytes:
        if not self._block:
            self._fill()
        piece, self._block = self._block[:size], self._block[size:]
        return bytes(piece)

    def _fill(self) -> None:
        want = min(BLOCK, self.length - self._position)
        if not want:
            return
        first = self.start + self._position
        try:
            data = self._fs.cat_file(self._path, start=first, end=first + want)
        except FileNotFoundError:
            raise _changed() from None
        self._position += len(data)
        # Only a file that was replaced is shorter than it was.
        if (len(data) < want or self._position == self.length) and not self._same():
            raise _changed()
        self._block = memoryview(data)


def _changed() -> ObjectChangedError:
    return ObjectChangedError("the object was replaced while it was being read; read again")
