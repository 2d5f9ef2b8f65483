"""Bodies on their way out: what has to be known of them before the first byte is sent.

S3 wants the length of every body in its headers, and metadata and most checksums too. What is
in memory tells all of it; a file can be read twice; the rest is collected first, where its
length or a digest is needed that it can not tell yet.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from storage_core import checksum
from storage_core.errors import QuotaExceededError
from storage_core.http.interface import Content
from storage_core.http.reread import Reread
from storage_core.model import EMPTY, Buffer
from storage_core.streams import Body
from storage_s3.chunked import Trailer

if TYPE_CHECKING:
    from typing import BinaryIO

    from storage_core.driver import IO

T = TypeVar("T")

IN_MEMORY: Final = 8 * 1024**2
"""Bytes of a body that are collected in memory; more go to a temporary file."""


class Outgoing(NamedTuple):
    """A body that is ready to be sent.

    Attributes:
        content: The bytes.
        size: Their number.
        digests: Those that were asked for, algorithm to hexadecimal.
    """

    content: Buffer | Content
    size: int
    digests: Mapping[str, str] = EMPTY


class Plan(NamedTuple):
    """How a body is sent.

    Attributes:
        content: The bytes.
        size: Their number.
        headers: That go with them.
        payload: What the signature says of them.
        trailer: The checksum behind them, if it is told there.
        digests: What is known of them beforehand, algorithm to hexadecimal.
    """

    content: Buffer | Content
    size: int
    headers: Mapping[str, str]
    payload: str
    trailer: Trailer | None
    digests: Mapping[str, str]


async def prepare(body: Body, needed: tuple[str, ...], io: IO, *, moved: bool = False) -> Outgoing:
    """Make size and digests of a body known that is not in memory.

    Args:
        body: As core hands it over.
        needed: Algorithms whose digests must be known before it is sent.
        io: How temporary files are used: under ``"asyncio"`` in worker threads.
        moved: Whether the service will check one of these digests, so that a file's bytes need
            not be read again.

    Raises:
        QuotaExceededError: no room to collect it.
        Exception: whatever the body raised, unchanged.
    """
    if body.size:  # an empty one goes as no bytes: radosgw 16 refuses a signed stream of nothing
        if not needed:
            return Outgoing(body, body.size)
        if body.rewindable:
            digests = await body.beforehand(needed)
            return Outgoing(Reread(body, digests, moved=moved), body.size, digests)
    return await _collected(body, needed, io)


async def _collected(body: Body, needed: tuple[str, ...], io: IO) -> Outgoing:
    """The body out of memory or a temporary file."""
    run = _in_thread if io == "asyncio" else _at_once
    hashers = {name: checksum.new(name) for name in needed}
    pieces: list[bytes] = []
    size = 0
    file: BinaryIO | None = None
    try:
        async for piece in body:
            size += len(piece)
            for hasher in hashers.values():
                hasher.update(piece)
            pieces.append(bytes(piece))
            if size > IN_MEMORY:
                if file is None:
                    file = await run(_temporary_file)
                await run(_append, file, pieces)
        digests = {name: hasher.digest().hex() for name, hasher in hashers.items()}
        if file is None:
            return Outgoing(b"".join(pieces), size, digests)
        await run(_append, file, pieces)
        return Outgoing(Collected(file, size, io), size, digests)
    except BaseException:
        if file is not None:
            file.close()
        raise


class Collected:
    """Bytes in a temporary file, which is gone when this is."""

    __slots__ = ("_file", "_run", "begun", "size")

    def __init__(self, file: BinaryIO, size: int, io: IO) -> None:
        self._file = file
        self._run = _in_thread if io == "asyncio" else _at_once
        self.begun = False
        self.size: int | None = size

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        self.begun = True
        await self._run(self._file.seek, 0)
        while piece := await self._run(self._file.read, checksum.PIECE):
            yield piece

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


def _temporary_file() -> BinaryIO:
    import tempfile

    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise _no_room(error) from error


def _append(file: BinaryIO, pieces: list[bytes]) -> None:
    try:
        file.writelines(pieces)
        file.flush()
    except OSError as error:
        raise _no_room(error) from error
    pieces.clear()


def _no_room(error: OSError) -> QuotaExceededError:
    return QuotaExceededError(
        "no room for a temporary file to collect the body in; set TMPDIR to where there is:"
        f" {error.strerror}",
        status=error.errno,
    )


async def _at_once(work: Callable[..., T], *args: Any) -> T:
    return work(*args)


def _in_thread(work: Callable[..., T], *args: Any) -> Coroutine[Any, Any, T]:
    import asyncio

    return asyncio.to_thread(work, *args)
