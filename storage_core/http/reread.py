"""Bodies whose digest was told before they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from storage_core import checksum
from storage_core.errors import IntegrityError
from storage_core.model import Buffer
from storage_core.streams import Body, FileSlice


class Reread:
    """A body that was read before, and must be the same still.

    Where the bytes pass through here they are hashed once more.

    Args:
        body: At its start; of known size.
        expected: Digests of the first reading.
        moved: Whether the kernel may move what is a stretch of a file, as the service knows one
            of the digests and refuses other bytes.
    """

    __slots__ = ("_body", "_expected", "_moved", "_started")

    def __init__(self, body: Body, expected: Mapping[str, str], *, moved: bool = False) -> None:
        self._body = body
        self._expected = expected
        self._moved = moved and body.file is not None
        self._started = False

    @property
    def size(self) -> int | None:
        return self._body.size

    @property
    def begun(self) -> bool:
        return self._started

    def slices(self) -> AsyncIterator[FileSlice] | None:
        """As `Body.slices`; None where the bytes are to be read."""
        if not self._moved:
            return None
        self._started = True
        return self._body.slices()

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        self._started = True
        hashers = {name: checksum.new(name) for name in self._expected}
        async for piece in self._body:
            for hasher in hashers.values():
                hasher.update(piece)
            yield piece
        if any(hashers[name].digest().hex() != self._expected[name] for name in hashers):
            raise IntegrityError("the file changed while it was read; nothing was written")
