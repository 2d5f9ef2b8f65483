"""From what a caller may pass as a body to the `Body` a driver reads."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from storage_core import checksum
from storage_core.core.retry import Deadline
from storage_core.errors import (
    InvalidRequestError,
    OperationTimeoutError,
    UnsupportedError,
)
from storage_core.model import Buffer
from storage_core.streams import Body, FileSlice

if TYPE_CHECKING:
    from storage_core.runtime import Runtime

PIECE = checksum.PIECE
"""Bytes read from a file at a time."""


@runtime_checkable
class Readable(Protocol):
    """A file object opened for reading bytes."""

    def read(self, size: int, /) -> bytes: ...


Data: TypeAlias = Buffer | Readable | Iterable[Buffer] | AsyncIterable[Buffer]
"""What a body may be: bytes, a binary file object (read from where it stands), or an
iterable or async iterable of bytes."""


class MemoryBody(Body):
    """Bytes in memory."""

    __slots__ = ()

    async def _pieces(self) -> AsyncIterator[Buffer]:
        if self.data is not None:
            yield self.data


class _SourceBody(Body):
    """Base of bodies read from somewhere, under a deadline and cancellation."""

    __slots__ = ("_deadline", "_runtime")

    def __init__(
        self,
        size: int | None,
        compute: tuple[str, ...],
        expected: dict[str, bytes],
        runtime: Runtime,
        deadline: Deadline,
    ) -> None:
        super().__init__(size, None, compute, expected)
        self._runtime = runtime
        self._deadline = deadline

    def _checkpoint(self) -> None:
        self._runtime.checkpoint()
        if self._deadline.passed():
            raise OperationTimeoutError("the deadline passed while the body was sent")


class FileBody(_SourceBody):
    """A file object, from its position to its end."""

    __slots__ = ("_file", "_slice", "_start")

    def __init__(
        self,
        file: Readable,
        size: int | None,
        compute: tuple[str, ...],
        expected: dict[str, bytes],
        runtime: Runtime,
        deadline: Deadline,
    ) -> None:
        start, rest, fd = _measure(file)
        super().__init__(rest if size is None else size, compute, expected, runtime, deadline)
        self._file = file
        self._start = start
        self._slice = None if fd is None or rest is None else FileSlice(fd, start or 0, rest)

    @property
    def file(self) -> FileSlice | None:
        return self._slice

    @property
    def rewindable(self) -> bool:
        return self._start is not None

    async def rewind(self) -> None:
        await super().rewind()
        if self._start is not None:
            self._file.seek(self._start)  # type: ignore[attr-defined]

    async def _pieces(self) -> AsyncIterator[Buffer]:
        read = self._file.read
        while True:
            self._checkpoint()
            piece = await self._runtime.blocking(read, PIECE)
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise InvalidRequestError(
                    f"the file's read() gave {type(piece).__name__}; open it in binary mode"
                )
            if not piece:
                return
            yield piece


class IteratorBody(_SourceBody):
    """An iterable or async iterable of bytes; read once."""

    __slots__ = ("_source",)

    def __init__(
        self,
        source: Iterable[Buffer] | AsyncIterable[Buffer],
        size: int | None,
        compute: tuple[str, ...],
        expected: dict[str, bytes],
        runtime: Runtime,
        deadline: Deadline,
    ) -> None:
        super().__init__(size, compute, expected, runtime, deadline)
        self._source = source

    async def _pieces(self) -> AsyncIterator[Buffer]:
        if isinstance(self._source, AsyncIterable):
            iterator = aiter(self._source)
            while True:
                self._checkpoint()
                try:
                    piece = await self._runtime.pull(anext(iterator))
                except StopAsyncIteration:
                    return
                yield _bytes_like(piece)
        else:
            source: Iterator[Buffer] = iter(self._source)
            while True:
                self._checkpoint()
                found = await self._runtime.blocking(_next, source)
                if found is None:
                    return
                yield _bytes_like(found)


def _next(source: Iterator[Buffer]) -> Buffer | None:
    # StopIteration can not cross a coroutine, hence the None.
    for piece in source:
        return piece
    return None


def _bytes_like(piece: object) -> Buffer:
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise InvalidRequestError(f"the body gave {type(piece).__name__} instead of bytes")
    return piece


def _measure(file: Readable) -> tuple[int | None, int | None, int | None]:
    """Position, bytes from there to the end, and descriptor, each None if not to be had."""
    try:
        start: int = file.tell()  # type: ignore[attr-defined]
        end: int = file.seek(0, io.SEEK_END)  # type: ignore[attr-defined]
        file.seek(start)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None, None, None
    try:
        fd: int | None = file.fileno()  # type: ignore[attr-defined]
        if fd is not None and not stat.S_ISREG(os.fstat(fd).st_mode):
            fd = None
    except (AttributeError, OSError):
        fd = None
    return start, max(0, end - start), fd


def flat(view: memoryview) -> Buffer:
    """The bytes of a view, whatever its items; copied only where they do not lie together."""
    return view.cast("B") if view.c_contiguous else view.tobytes()


def make_body(
    data: Data,
    runtime: Runtime,
    *,
    size: int | None = None,
    expected: Mapping[str, str] | None = None,
    compute: tuple[str, ...] = (),
    deadline: Deadline | None = None,
) -> Body:
    """Wrap what a caller passed.

    Args:
        data: See `Data`.
        runtime: Reads files and iterators without blocking the face's thread.
        size: Declared length in bytes; more or less is an `IntegrityError`.
        expected: Declared digests, algorithm to hexadecimal.
        compute: Algorithms to compute besides.
        deadline: For bodies that are read piece by piece.

    Raises:
        InvalidRequestError: not a body, an unknown algorithm or a malformed digest.
        IntegrityError: bytes in memory that do not match.
    """
    declared = parse_digests(expected) if expected else {}
    names = tuple(dict.fromkeys((*compute, *declared)))
    for name in names:
        known_algorithm(name)
    if isinstance(data, bytes | bytearray | memoryview):
        view = flat(data) if isinstance(data, memoryview) else data
        return MemoryBody(len(view) if size is None else size, view, names, declared)
    deadline = deadline or Deadline(None)
    if isinstance(data, str):
        raise InvalidRequestError("the body is a str; encode it to bytes first")
    if isinstance(data, Readable):
        return FileBody(data, size, names, declared, runtime, deadline)
    exported = _exported(data)
    if exported is not None:
        total = len(exported) if size is None else size
        return MemoryBody(total, exported, names, declared)
    if isinstance(data, Iterable | AsyncIterable):
        source: Iterable[Buffer] | AsyncIterable[Buffer] = data  # type: ignore[assignment]
        return IteratorBody(source, size, names, declared, runtime, deadline)
    raise InvalidRequestError(
        f"a body is bytes, a binary file or an iterable of bytes, not {type(data).__name__}"
    )


def _exported(data: object) -> memoryview | None:
    """The bytes of an array or another object with a buffer."""
    try:
        return memoryview(data).cast("B")  # type: ignore[arg-type]
    except TypeError:
        return None


def known_algorithm(name: str) -> None:
    """Refuse an algorithm that is not in the table."""
    if name not in checksum.ALGORITHMS:
        raise UnsupportedError(
            f"checksum algorithm {name!r} is not one of {', '.join(checksum.ALGORITHMS)}"
        )


def parse_digests(digests: Mapping[str, str]) -> dict[str, bytes]:
    """Declared digests as bytes.

    Raises:
        InvalidRequestError: not hexadecimal or of the wrong length for its algorithm.
        UnsupportedError: an unknown algorithm.
    """
    parsed: dict[str, bytes] = {}
    for name, text in digests.items():
        known_algorithm(name)
        try:
            value = bytes.fromhex(text)
        except (ValueError, TypeError):
            value = b""
        size = checksum.ALGORITHMS[name][1]
        if len(value) != size:
            raise InvalidRequestError(f"{name} {text!r} is not {2 * size} hexadecimal digits")
        parsed[name] = value
    return parsed
