"""Bytes of objects: pieces in memory or in files, put together without copying."""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from tests.servers.gcs_gate.crc32c import combine

IN_MEMORY = 64 << 10
READ = 256 << 10


class Piece:
    """A run of bytes in memory, or a file that goes with its last owner."""

    def __init__(self, data: bytes | Path) -> None:
        self.data = data
        if isinstance(data, Path):
            weakref.finalize(self, _unlink, data)

    def read(self, start: int, length: int) -> Iterator[bytes]:
        """A part of the run."""
        if isinstance(self.data, bytes):
            yield self.data[start : start + length]
            return
        with self.data.open("rb") as file:
            file.seek(start)
            while length > 0:
                chunk = file.read(min(READ, length))
                if not chunk:
                    raise OSError(f"{self.data} is shorter than it was")
                length -= len(chunk)
                yield chunk


@dataclass(frozen=True)
class Content:
    """All bytes of an object or a part. `md5` is None where none exists
    (docs: hashes-etags: composite objects and multipart uploads have none)."""

    pieces: tuple[tuple[Piece, int], ...]
    size: int
    crc32c: int
    md5: bytes | None

    def read(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """A range of the bytes, in chunks."""
        left = self.size - start if length is None else length
        for piece, size in self.pieces:
            if start >= size:
                start -= size
                continue
            if left <= 0:
                return
            take = min(size - start, left)
            yield from piece.read(start, take)
            left -= take
            start = 0


EMPTY = Content((), 0, 0, hashlib.md5(b"").digest())


def concatenated(contents: Iterable[Content]) -> Content:
    """One after the other; the CRC32C is composed, an MD5 does not exist."""
    pieces: list[tuple[Piece, int]] = []
    size = crc = 0
    for content in contents:
        pieces += content.pieces
        crc = combine(crc, content.crc32c, content.size)
        size += content.size
    return Content(tuple(pieces), size, crc, None)


class Writer:
    """Takes bytes as they come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.size = 0
        self._crc = 0
        self._md5 = hashlib.md5()
        self._memory = bytearray()
        self._file: int | None = None
        self._path: Path | None = None

    def write(self, data: bytes) -> None:
        """Append."""
        self.size += len(data)
        self._crc = google_crc32c.extend(self._crc, data)
        self._md5.update(data)
        if self._file is None and len(self._memory) + len(data) <= IN_MEMORY:
            self._memory += data
            return
        if self._file is None:
            self._file, name = tempfile.mkstemp(dir=self.folder)
            self._path = Path(name)
            data = bytes(self._memory) + data
            self._memory.clear()
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def finish(self) -> Content:
        """What was written."""
        piece = Piece(self._close() or bytes(self._memory))
        return Content(((piece, self.size),), self.size, self._crc, self._md5.digest())

    def abort(self) -> None:
        """Forget it."""
        path = self._close()
        if path:
            _unlink(path)

    def _close(self) -> Path | None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        return self._path


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
