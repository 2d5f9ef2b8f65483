"""Files of a backend, and what they are opened for."""

from __future__ import annotations

import contextlib
import enum
import io
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from storage_core.errors import StorageError, UnsupportedError
from storage_core.model import Buffer

CHUNK: Final = 5 * 1024**2
"""Bytes of one step of a transfer."""


class FileMode(enum.Flag):
    """What a file is opened for."""

    read = enum.auto()
    write = enum.auto()

    def __str__(self) -> str:
        letters = "".join(mode.name[0] for mode in FileMode if mode in self and mode.name)
        return f"{letters}b"

    @classmethod
    def as_mode(cls, obj: str | FileMode) -> FileMode:
        """A mode, or the one that a text with ``r`` and ``w`` means.

        Raises:
            ValueError: it is neither.
        """
        if isinstance(obj, cls):
            return obj
        if not isinstance(obj, str):
            raise ValueError(  # noqa: TRY004 - as keg-storage
                "as_mode() accepts only FileMode or str arguments"
            )
        mode = cls(0)
        for letter, one in (("r", cls.read), ("w", cls.write)):
            if letter in obj:
                mode |= one
        return mode


def single_mode(mode: FileMode | str, backend: object) -> FileMode:
    """The mode for a backend that reads or writes.

    Raises:
        UnsupportedError: both.
        ValueError: neither.
    """
    found = FileMode.as_mode(mode)
    if FileMode.read in found and FileMode.write in found:
        raise UnsupportedError(f"Read+write mode not supported by {backend}")
    if not found:
        raise ValueError("Unsupported mode. Accepted modes are FileMode.read or FileMode.write")
    return found


class RemoteFile:
    """A file of a backend: read or written in order.

    What is written appears as a whole when the file is closed. Leaving a ``with`` block by an
    exception aborts instead, and so does the end of a file that nobody closed.

    Attributes:
        mode: What it was opened for.
        size: Bytes in all of a file opened for reading, where that is known.
    """

    iter_chunk_size = CHUNK
    size: int | None = None

    def __init__(self, mode: FileMode) -> None:
        self.mode = mode

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, all that are left if negative; empty at the end."""
        raise NotImplementedError

    def write(self, data: Buffer) -> object:
        """Append bytes."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what the file holds; what was written is published. May be called again."""

    def abort(self) -> None:
        """Drop what was written and let go of what the file holds."""
        self.close()

    def iter_chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The bytes in pieces of ``chunk_size``, 5 MiB if None."""
        while chunk := self.read(chunk_size or self.iter_chunk_size):
            yield chunk

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_chunks()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        self.close()


class WriteOnce(RemoteFile):
    """A file being written, of which nothing is to appear unless it is closed."""

    _ended = True  # until the constructor has come to its end

    def __init__(self, path: str) -> None:
        super().__init__(FileMode.write)
        self.path = path
        self._ended = False

    def _publish(self) -> None:
        raise NotImplementedError

    def _discard(self) -> None:
        raise NotImplementedError

    def read(self, size: int = -1) -> bytes:
        raise io.UnsupportedOperation("File not opened for reading")

    def close(self) -> None:
        if not self._ended:
            self._ended = True
            self._publish()

    def abort(self) -> None:
        if not self._ended:
            self._ended = True
            self._discard()

    def __del__(self) -> None:
        if not self._ended:
            warnings.warn(
                f"file {self.path!r} was never closed; what was written is dropped",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
            with contextlib.suppress(StorageError, OSError):
                self.abort()
