"""Sending bodies that are large, come piece by piece, or wait for the service's consent."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from storage_core.errors import IntegrityError
from storage_core.http import limits
from storage_core.http.interface import Content
from storage_core.http.reread import Reread
from storage_core.http.wire import BrokenError, Wire
from storage_core.model import Buffer
from storage_core.streams import FileSlice

PIECE = 256 * 1024
"""Bytes of a body in memory between two looks at what the service says."""
SMALL = 64 * 1024
"""Bytes of a body up to which copying it is cheaper than sending it apart."""
HELD = 4096
"""Bytes of a body that are held back until its end is known to be good."""


async def held_back(content: Content) -> AsyncIterator[Buffer]:
    """The pieces of a body of known size, its last bytes only once the iteration ended.

    A body that turns out to be wrong at its end (a digest that differs, say) must leave the
    request incomplete: what a service got as a whole it would keep.

    Raises:
        IntegrityError: it has more or fewer bytes than its size.
    """
    size = content.size
    assert size is not None
    count = 0
    tail = b""
    iterator = aiter(content)
    try:
        async for piece in iterator:
            count += len(piece)
            if count > size:
                raise IntegrityError(f"the body was declared as {size} bytes and has more")
            if count <= size - HELD:
                yield piece
                continue
            view = memoryview(piece)
            go = max(0, len(view) - (count - (size - HELD)))
            if go:
                yield view[:go]
            tail += view[go:]
        if count < size:
            raise IntegrityError(f"the body was declared as {size} bytes and has {count}")
    finally:
        await _close(iterator)
    if tail:
        yield tail


async def send_head(wire: Wire, head: Buffer, *, expects: bool) -> bool:
    """Send the head, and wait for consent if it asks for it.

    Returns:
        Whether the consent, if asked for, came or was refused in time.

    Raises:
        BrokenError: the connection failed.
    """
    parser = wire.parser
    if not await push(wire, head) or not expects:
        return True
    until = time.monotonic() + limits.EXPECT_WAIT
    while not parser.continued and not parser.head:
        wait = until - time.monotonic()
        if wait <= 0:
            return False
        if await wire.receivable(wait):
            _listen(wire)
    return True


async def send_memory(wire: Wire, body: Buffer) -> None:
    """Send bytes in memory, until all went out or the answer came."""
    view = memoryview(body)
    for start in range(0, len(view), PIECE):
        if not await push(wire, view[start : start + PIECE]):
            return


async def send_content(wire: Wire, content: Content, *, chunked: bool) -> None:
    """Send a body piece by piece, until all went out or the answer came."""
    if isinstance(content, Reread) and wire.moves_files and (slices := content.slices()):
        await _send_slices(wire, slices, content.size)
        return
    iterator = aiter(content) if chunked else held_back(content)
    size_line = b"%x\r\n"
    try:
        async for piece in iterator:
            if not len(piece):
                continue
            if chunked:
                before = size_line % len(piece)
                size_line = b"\r\n%x\r\n"  # after the break that ends the chunk before
                if len(piece) <= SMALL:
                    piece = before + piece  # noqa: PLW2901
                elif not await push(wire, before):
                    return
            if not await push(wire, piece):
                return
    finally:
        await _close(iterator)
    if chunked:
        await push(wire, size_line % 0 + b"\r\n")


async def _send_slices(wire: Wire, slices: AsyncIterator[FileSlice], size: int | None) -> None:
    """Have the kernel send stretches of a file. The last one goes once the iteration ended
    well, as in `held_back`."""
    count = 0
    held: FileSlice | None = None
    wire.moving_files(True)
    try:
        async for piece in slices:
            count += piece.length
            if held is not None and not await _push_slice(wire, held):
                return
            held = piece
        if count != size:
            raise IntegrityError(f"the body was declared as {size} bytes and has {count}")
        if held is not None:
            await _push_slice(wire, held)
    finally:
        wire.moving_files(False)
        await _close(slices)


async def _push_slice(wire: Wire, piece: FileSlice) -> bool:
    """As `push`."""
    fd, offset, left = piece
    while left:
        if wire.parser.head or (wire.readable() and _listen(wire)):
            return False
        try:
            sent = wire.send_file(fd, offset, left)
        except BrokenError:
            if _last_words(wire):
                return False
            raise
        offset += sent
        left -= sent
        if left and await wire.sendable() and _listen(wire):
            return False
    return True


async def push(wire: Wire, data: Buffer) -> bool:
    """Send all of it; false once a final answer came, and what is left is not wanted."""
    if not len(data):
        return not wire.parser.head
    if wire.parser.head or (wire.readable() and _listen(wire)):
        return False
    view = memoryview(data)
    while True:
        try:
            sent = wire.send_some(view)
        except BrokenError:
            if _last_words(wire):
                return False
            raise
        if sent == len(view):
            return True
        view = view[sent:]
        if await wire.sendable() and _listen(wire):
            return False


def _listen(wire: Wire) -> bool:
    """Take what the service says; true if it is the final answer."""
    data = wire.recv_now(limits.HEAD)
    if data is not None:
        if not data:
            raise BrokenError from ConnectionResetError("closed by the service")
        wire.parser.feed(data)
    return wire.parser.head


def _last_words(wire: Wire) -> bool:
    """Read what the service said before it closed; true if it is the final answer."""
    try:
        while not _listen(wire):
            if not wire.readable():
                return False
    except BrokenError:
        return False
    return True


async def _close(iterator: AsyncIterator[object]) -> None:
    aclose = getattr(iterator, "aclose", None)
    if aclose is not None:
        await aclose()
