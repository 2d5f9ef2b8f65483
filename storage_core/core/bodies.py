"""From what a caller may pass as a body to the `Body` a driver reads."""

from __future__ import annotations

import io
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from storage_core import checksum
from storage_core.core.retry import Deadline
from storage_core.errors import (
    InvalidRequestError,
    OperationTimeoutError,
    UnsupportedError,
)
from storage_core.model import Buffer
from storage_core.streams import Body

if TYPE_CHECKING:
    from storage_core.runtime import Runtime

PIECE = checksum.PIECE
"""Bytes read from a file at a time."""
_CRC_ALONE = ("crc32c",)
_ALWAYS = frozenset({(), _CRC_ALONE})
"""What is computed of most bodies."""


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

    def __init__(self, data: Buffer, compute: tuple[str, ...]) -> None:
        # All that the base's does, in fewer steps: most bodies are small.
        self.data = data
        self.size = self.count = len(data)
        self.begun = False
        self.failure = None
        self._expected = {}
        self._hashers = {}
        if not compute:
            self.computed = {}
        elif compute == _CRC_ALONE:
            self.computed = {"crc32c": checksum.crc32c(data).to_bytes(4, "big")}
        else:
            self.computed = {name: checksum.digest(name, data) for name in compute}

    def hold_to(self, size: int | None, expected: dict[str, bytes]) -> None:
        """Check what was declared.

        Raises:
            IntegrityError: the bytes differ from it.
        """
        if size is not None:
            self.size = size
        self._expected = expected
        self._verify()

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

    __slots__ = ("_file", "_start")

    def __init__(
        self,
        file: Readable,
        size: int | None,
        compute: tuple[str, ...],
        expected: dict[str, bytes],
        runtime: Runtime,
        deadline: Deadline,
    ) -> None:
        start, rest = _measure(file)
        super().__init__(rest if size is None else size, compute, expected, runtime, deadline)
        self._file = file
        self._start = start

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
                    f"the file's read() gave {type(piece).__name__} instead of bytes; open it in"
                    " binary and blocking mode"
                )
            if not piece:
                return
            yield bytes_of(piece)


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
                    item = await self._runtime.pull(iterator, self._deadline.left())
                except StopAsyncIteration:
                    return
                yield bytes_of(item)
        else:
            source = iter(self._source)
            while True:
                self._checkpoint()
                found = await self._runtime.blocking(next, source, _END)
                if found is _END:
                    return
                yield bytes_of(found)


_END = object()
# StopIteration can not cross a coroutine, hence a mark for the end.


def bytes_of(piece: object) -> Buffer:
    """A piece of a body, or what a writer is given, as flat bytes.

    Raises:
        InvalidRequestError: it has no bytes.
    """
    if isinstance(piece, bytes | bytearray):
        return piece
    try:
        return flat(memoryview(piece))  # type: ignore[arg-type]
    except TypeError:
        raise InvalidRequestError(
            f"{type(piece).__name__} was given where bytes are expected"
        ) from None


def _measure(file: Readable) -> tuple[int | None, int | None]:
    """Position and bytes from there to the end, both None if they are not to be had."""
    try:
        start: int = file.tell()  # type: ignore[attr-defined]
        file.seek(0, io.SEEK_END)  # type: ignore[attr-defined]
        end: int = file.tell()  # type: ignore[attr-defined]
        file.seek(start)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None, None
    return start, max(0, end - start)


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
        data: See `Data`; a `Body` of the library's own is taken as it is.
        runtime: Reads files and iterators without blocking the face's thread.
        size: Declared length in bytes; more or less is an `IntegrityError`.
        expected: Declared digests, algorithm to hexadecimal.
        compute: Algorithms to compute besides.
        deadline: For bodies that are read piece by piece.

    Raises:
        InvalidRequestError: not a body, an unknown algorithm or a malformed digest.
        IntegrityError: bytes in memory that do not match.
    """
    if type(data) is bytes and size is None and not expected and compute in _ALWAYS:
        return MemoryBody(data, compute)
    declared: dict[str, bytes] = {}
    names = compute
    if expected or len(compute) > 1:
        declared = parse_digests(expected or {})
        names = tuple(dict.fromkeys((*compute, *declared)))
    for name in names:
        if name not in checksum.ALGORITHMS:
            known_algorithm(name)
    if not isinstance(data, bytes | bytearray):
        if isinstance(data, Body):
            return data
        exported = _exported(data)
        if exported is None:
            return _source_body(data, runtime, size, names, declared, deadline or Deadline(None))
        data = exported
    body = MemoryBody(data, names)
    body.hold_to(size, declared)
    return body


def _exported(data: object) -> Buffer | None:
    """The bytes of a memoryview, array, memory map or another object with a buffer."""
    try:
        return flat(memoryview(data))  # type: ignore[arg-type]
    except TypeError:
        return None


def _source_body(
    data: object,
    runtime: Runtime,
    size: int | None,
    names: tuple[str, ...],
    declared: dict[str, bytes],
    deadline: Deadline,
) -> Body:
    """A body that is read piece by piece."""
    if isinstance(data, str | io.TextIOBase):
        remedy = "encode it" if isinstance(data, str) else "open it in binary mode"
        raise InvalidRequestError(f"the body is text, not bytes; {remedy}")
    if isinstance(data, AsyncIterable):
        if not runtime.async_bodies:
            raise InvalidRequestError(
                "the blocking face can not read an async iterable; use storage_core.aio"
            )
        return IteratorBody(data, size, names, declared, runtime, deadline)
    if isinstance(data, Readable):
        return FileBody(data, size, names, declared, runtime, deadline)
    if isinstance(data, Iterable):
        return IteratorBody(data, size, names, declared, runtime, deadline)
    raise InvalidRequestError(
        f"a body is bytes, a binary file or an iterable of bytes, not {type(data).__name__}"
    )


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
