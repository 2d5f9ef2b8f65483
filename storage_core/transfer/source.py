"""What is uploaded: a file that can be read anywhere, or bytes that come in order.

A regular file, given by its path or opened, is read by ``pread``, so that several parts of it
can be on their way at a time. It is the same file as long as inode, size and time of its last
change stay. Everything else is a stream: pipes, file objects of other kinds, iterables.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from storage_core import checksum
from storage_core.core.bodies import Readable, bytes_of
from storage_core.errors import InvalidRequestError, ObjectChangedError, StorageError
from storage_core.model import Buffer
from storage_core.runtime.strands import Stopped
from storage_core.streams import FileSlice

if TYPE_CHECKING:
    from storage_core.runtime.team import Team

Uploadable: TypeAlias = str | os.PathLike[str] | Readable | Iterable[Buffer] | AsyncIterable[Buffer]
"""What `upload_file` takes: a path, a binary file object (from where it stands), or an iterable
or, on the async face, async iterable of bytes."""

SMALL = 256 * 1024
"""Bytes of a file that is read whole when it is opened."""
_READ = 1024**2
"""Bytes read from a stream at a time."""
_LARGE_PIECE = 64 * 1024
"""Bytes from which a piece of a stream is kept as it is; smaller ones are put together."""
_END = object()
_BUFFERED = (io.BytesIO, io.BufferedReader, io.BufferedRandom)


class FileSource:
    """An open regular file, from a position to its end.

    Args:
        file: Open for reading.
        start: Where the bytes begin.
        owned: Whether `close` closes it.
        given: The caller's file object around it, which is left at its end.

    Attributes:
        size: Bytes from ``start`` to the end.
        data: All of the bytes, where they were read already.
    """

    def __init__(
        self, file: io.FileIO, start: int, *, owned: bool, given: io.IOBase | None = None
    ) -> None:
        self._file = file
        self._owned = owned
        self._given = given
        self.fd = file.fileno()
        self.status = os.fstat(self.fd)
        self.start = start
        self.size = max(0, self.status.st_size - start)
        self.name = _name(file)
        self.data: bytes | None = None
        self._lock = threading.Lock()
        self._borrowers = 0
        self._over = False

    @property
    def path(self) -> str | None:
        """Its absolute path, if another process can find the same bytes by it."""
        name = self._file.name
        if self.start or not isinstance(name, str):
            return None
        path = os.path.abspath(name)
        try:
            found = os.stat(path)
        except OSError:
            return None
        same = (found.st_dev, found.st_ino) == (self.status.st_dev, self.status.st_ino)
        return path if same else None

    def slice(self, start: int, stop: int) -> FileSlice:
        """Bytes ``start`` to ``stop`` of the source."""
        return FileSlice(self.fd, self.start + start, stop - start)

    def check(self) -> None:
        """Make sure that the file is as it was.

        Raises:
            ObjectChangedError: it is not.
        """
        if self._is_changed():
            raise self.changed()

    def _is_changed(self) -> bool:
        now, before = os.fstat(self.fd), self.status
        return (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns)

    def blamed(self, failure: BaseException) -> BaseException:
        """What to raise for a failure, which a change of the file may be the reason of."""
        if isinstance(failure, ObjectChangedError) or not isinstance(failure, StorageError):
            return failure
        return self.changed() if self._is_changed() else failure

    def changed(self) -> ObjectChangedError:
        """The error for a file that is not what it was."""
        return ObjectChangedError(
            f"{self.name} changed while it was uploaded; nothing was written, upload it again"
        )

    def read_whole(self) -> None:
        """Take in all of the bytes.

        Raises:
            ObjectChangedError: the file changed meanwhile.
        """
        data = os.pread(self.fd, self.size, self.start) if self.size else b""
        if len(data) != self.size:
            raise self.changed()
        self.check()
        self.data = data

    def digests(
        self,
        names: Iterable[str],
        start: int,
        stop: int,
        checkpoint: Callable[[], None] | None = None,
    ) -> dict[str, str]:
        """Digests of bytes ``start`` to ``stop``, in hexadecimal.

        Args:
            names: Algorithms.
            start: Of the source.
            stop: Of the source.
            checkpoint: Called between pieces; may raise.

        Raises:
            ObjectChangedError: they are not there any more.
        """
        hashers = {name: checksum.new(name) for name in names}
        position, stop = self.start + start, self.start + stop
        while position < stop:
            piece = os.pread(self.fd, min(checksum.PIECE, stop - position), position)
            if not piece:
                raise self.changed()
            for hasher in hashers.values():
                hasher.update(piece)
            position += len(piece)
            if checkpoint is not None:
                checkpoint()
        return {name: hasher.digest().hex() for name, hasher in hashers.items()}

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Let the file be open as long as the kernel may send from it: a thread that was given up
        goes on with its descriptor, whose number must not become that of another file."""
        with self._lock:
            if self._over:
                raise Stopped
            self._borrowers += 1
        try:
            yield
        finally:
            with self._lock:
                self._borrowers -= 1
                last = self._over and self._owned and not self._borrowers
            if last:
                self._file.close()

    def close(self) -> None:
        """Close the file, or leave the caller's at its end."""
        with self._lock:
            self._over = True
            borrowed = self._borrowers > 0
        if self._owned:
            if not borrowed:
                self._file.close()
        elif self._given is not None and not self._given.closed:
            self._given.seek(self.start + self.size)


class StreamSource:
    """Bytes that come in order.

    Args:
        given: The caller's.
        size: Their number, None if it is not known.
        owned: Whether `close` closes ``given``.

    Attributes:
        count: Bytes taken so far.
        ended: Whether all were taken.
    """

    def __init__(self, given: Any, size: int | None, *, owned: bool = False) -> None:
        self.given = given
        self._owned = owned
        self._left: list[Buffer] = []
        self._iterator: Any = None
        self.size = size
        self.name = _name(given)
        self.count = 0
        self.ended = False

    async def take(self, team: Team, size: int) -> list[Buffer]:
        """The next ``size`` bytes in pieces, fewer only at the end.

        Raises:
            InvalidRequestError: what came are no bytes.
            ObjectChangedError: they are fewer or more than the source said.
        """
        taken: list[Buffer] = []
        missing = size
        block = bytearray()
        while missing and not (self.ended and not self._left):
            piece = self._left.pop() if self._left else await self._next(team, missing)
            if not piece:
                continue
            if len(piece) > missing:
                view = memoryview(piece)
                piece, rest = view[:missing], view[missing:]
                self._left.append(rest)
            missing -= len(piece)
            if len(piece) < _LARGE_PIECE:
                block += piece
                if len(block) < checksum.PIECE:
                    continue
                piece = block
            elif block:
                taken.append(block)
            block = bytearray()
            taken.append(piece)
        if block:
            taken.append(block)
        self.count += size - missing
        self._check()
        return taken

    async def is_ended(self, team: Team) -> bool:
        """Whether all bytes were taken; asks for more to know."""
        while not self.ended and not self._left:
            if piece := await self._next(team, _READ):
                self._left.append(piece)
        self._check()
        return self.ended and not self._left

    def _check(self) -> None:
        if self.size is not None and (
            self.count > self.size or (self.ended and not self._left and self.count < self.size)
        ):
            raise ObjectChangedError(
                f"{self.name} had {self.size} bytes and changed while it was uploaded; nothing"
                " was written"
            )

    async def _next(self, team: Team, most: int) -> Buffer:
        given = self.given
        if isinstance(given, AsyncIterable):
            if self._iterator is None:
                self._iterator = aiter(given)
            found: Any = await anext(self._iterator, _END)
        elif isinstance(given, Readable):
            found = await team.blocking(given.read, min(most, _READ))
            if found is None or isinstance(found, str):
                raise InvalidRequestError(
                    f"{self.name}: read() gave {type(found).__name__} instead of bytes; open it in"
                    " binary and blocking mode"
                )
            found = found or _END
        else:
            if self._iterator is None:
                self._iterator = iter(given)
            found = await team.blocking(next, self._iterator, _END)
        if found is _END:
            self.ended = True
            return b""
        # What is no `bytes` may be filled anew by its maker when the next is asked for.
        return found if type(found) is bytes else bytes(bytes_of(found))

    def close(self) -> None:
        """Close what was opened here."""
        if self._owned:
            self.given.close()


def open_source(given: Uploadable, whole: int) -> FileSource | StreamSource:
    """Open what a caller gave.

    Args:
        given: See `Uploadable`.
        whole: Files up to this size are read now.

    Raises:
        InvalidRequestError: it is nothing to upload.
        OSError: the file can not be opened or read.
    """
    if isinstance(given, str | os.PathLike):
        return _opened(given, whole)
    if isinstance(given, bytes | bytearray | memoryview):
        raise InvalidRequestError("upload_file takes a path or a stream; put() takes bytes")
    if isinstance(given, io.TextIOBase):
        raise InvalidRequestError("the file is open as text; open it in binary mode")
    if isinstance(given, AsyncIterable):
        return StreamSource(given, None)
    if isinstance(given, Readable):
        raw, given_file = _plain(given)
        if raw is not None and given_file is not None:
            return FileSource(raw, given_file.tell(), owned=False, given=given_file)
        return StreamSource(given, _rest(given))
    if isinstance(given, Iterable):
        return StreamSource(given, None)
    raise InvalidRequestError(
        "upload_file takes a path, a binary file or an iterable of bytes, not"
        f" {type(given).__name__}"
    )


def _opened(path: str | os.PathLike[str], whole: int) -> FileSource | StreamSource:
    file = io.FileIO(os.fspath(path))
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return StreamSource(file, None, owned=True)
        source = FileSource(file, 0, owned=True)
        if not source.size and os.pread(source.fd, 1, 0):
            # Made while it is read, as those of /proc are: its size says nothing.
            return StreamSource(file, None, owned=True)
        if source.size <= whole:
            source.read_whole()
    except BaseException:
        file.close()
        raise
    return source


def _plain(given: object) -> tuple[io.FileIO | None, io.IOBase | None]:
    """The regular file behind a file object that gives its bytes as they are, and the object
    that knows the position; None for others, such as those that decompress."""
    if type(given).__module__ == "tempfile":
        given = getattr(given, "file", given)
    raw = given
    if type(given) in {io.BufferedReader, io.BufferedRandom}:
        raw = given.raw  # type: ignore[attr-defined]
    if type(raw) is not io.FileIO or not raw.readable():
        return None, None
    if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        return None, None
    assert isinstance(given, io.IOBase)
    given.flush()
    return raw, given


def _rest(file: object) -> int | None:
    """Bytes from a file object's position to its end, if they are to be had for nothing: what
    decompresses would do all its work."""
    if isinstance(file, io.BufferedIOBase) and not isinstance(file, _BUFFERED):
        return None
    try:
        start = file.tell()  # type: ignore[attr-defined]
        end = file.seek(0, io.SEEK_END)  # type: ignore[attr-defined]
        file.seek(start)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None
    return max(0, end - start) if isinstance(end, int) else None


def _name(given: object) -> str:
    """How messages and progress call it."""
    name = getattr(given, "name", None)
    return str(name) if isinstance(name, str | Path) else f"the {type(given).__name__}"
