"""Whether two of one key have the same bytes: by digests that both sides know, else by reading
as little as it takes."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from storage_core import checksum
from storage_core.checksum import ALGORITHMS
from storage_core.core.reader import ReaderCore
from storage_core.errors import (
    AuthenticationError,
    BucketNotFoundError,
    ClosedError,
    ConfigError,
    ObjectChangedError,
    StorageError,
)
from storage_core.model import EMPTY, NO_CONDITIONS
from storage_core.transfer.entries import Entry, Side
from storage_core.transfer.folder import FolderSide
from storage_core.transfer.jobs import each
from storage_core.transfer.plan import TREE_WIDTH
from storage_core.transfer.prefix import BucketSide

if TYPE_CHECKING:
    from storage_core.transfer.context import Context
    from storage_core.transfer.merging import Meeting

Verdict: TypeAlias = bool | StorageError | OSError
How: TypeAlias = Literal["etag", "checksum"]

HOPELESS: Final = (AuthenticationError, BucketNotFoundError, ClosedError, ConfigError)
"""After these all other objects would fail alike."""
PIECE: Final = 1024**2
"""Bytes read at a time."""
TOGETHER: Final = 32
"""Pairs that one job takes at most."""

_MD5 = re.compile(r"[0-9a-f]{32}")
_PREFERRED: Final = ("crc32c", "sha256", "md5", "sha1")
"""Of several digests the one that is computed soonest."""


def needs_reading(source: Side, target: Side, pair: Meeting, how: How) -> bool | None:
    """Whether two of one size are the same as far as the listings tell; None if they do not."""
    one, other = pair
    assert one is not None
    assert other is not None
    if how == "checksum":
        return True if one.size == 0 else _common(one.checksums, other.checksums)
    if isinstance(source, BucketSide) and isinstance(target, BucketSide):
        same_kind = source.end.core.client.driver.name == target.end.core.client.driver.name
        return same_kind and one.etag is not None and one.etag == other.etag
    etag = one.etag if target.is_folder else other.etag
    # Any other etag, such as that of a multipart upload, tells nothing of a file.
    return None if etag is not None and _MD5.fullmatch(etag) else False


async def same_bytes(
    context: Context,
    source: Side,
    target: Side,
    pairs: Sequence[Meeting],
    how: How,
    told: Callable[[Meeting, Verdict, int], None] | None = None,
) -> list[Verdict]:
    """Whether the two of each pair, of one size, have the same bytes.

    Args:
        context: Of the transfer.
        source: Where the first of each pair is.
        target: Where the second is.
        pairs: What is to be compared.
        how: By their etags or by digests.
        told: Called with each answer and the bytes of objects that were read for it.

    Returns:
        One answer each, in order; an error where a side could not be read.
    """
    width = int(context.options.concurrency or TREE_WIDTH)
    together = max(1, min(TOGETHER, len(pairs) // width))
    verdicts: list[Verdict] = [False] * len(pairs)

    async def some(start: int) -> None:
        for number, pair in enumerate(pairs[start : start + together], start):
            work = _Comparison(context, source, target, how)
            try:
                verdict: Verdict = await work.of(pair)
            except HOPELESS:
                raise
            except (StorageError, OSError) as error:
                verdict = error.with_traceback(None)
            verdicts[number] = verdict
            if told is not None:
                told(pair, verdict, work.read)

    ends = [side.end for side in (source, target) if isinstance(side, BucketSide)]
    starts = _counted(range(0, len(pairs), together))
    width = min(width, -(-len(pairs) // together))
    nested = context.nested()
    await each(nested.team, starts, some, width, nested.gate(width, *ends))
    return verdicts


async def _counted(numbers: range) -> AsyncIterator[int]:
    for number in numbers:
        yield number


class _Comparison:
    """One pair.

    Attributes:
        read: Bytes of objects that were read.
    """

    def __init__(self, context: Context, source: Side, target: Side, how: How) -> None:
        self._context = context
        self._source, self._target = source, target
        self._how = how
        self.read = 0

    async def of(self, pair: Meeting) -> bool:
        one, other = pair
        assert one is not None
        assert other is not None
        if self._how == "etag":
            return await self._by_etag(one, other)
        sums, others = one.checksums, other.checksums
        known = _common(sums, others)
        if known is None:
            sums = await self._told(self._source, one, sums)
            others = await self._told(self._target, other, others)
            known = _common(sums, others)
        if known is not None:
            return known
        # What one side knows of its bytes is computed of the other's alone.
        name = next((name for name in _PREFERRED if name in sums or name in others), "crc32c")
        left = sums.get(name) or await self._computed(self._source, one, name)
        right = others.get(name) or await self._computed(self._target, other, name)
        return left == right

    async def _by_etag(self, one: Entry, other: Entry) -> bool:
        folder, file, etag = self._source, one, other.etag
        if not folder.is_folder:
            folder, file, etag = self._target, other, one.etag
        return await self._computed(folder, file, "md5") == etag

    async def _told(self, side: Side, entry: Entry, known: Mapping[str, str]) -> Mapping[str, str]:
        """Digests that a service knows of an object."""
        if not isinstance(side, BucketSide):
            return EMPTY
        if known:
            return known
        end = side.end
        info = await end.run(end.core.head(side.prefix + entry.key, None, NO_CONDITIONS, None))
        if info.size != entry.size:
            raise _changed(side, entry)
        return info.checksums

    async def _computed(self, side: Side, entry: Entry, algorithm: str) -> str:
        """A digest of what is read: a file, or an object."""
        context = self._context
        if isinstance(side, FolderSide):
            path = side.path(entry.key)
            digest, size = await context.team.blocking(file_digest, path, algorithm)
        else:
            assert isinstance(side, BucketSide)
            digest, size = await self._read(side, entry, algorithm)
        if size != entry.size:
            raise _changed(side, entry)
        return digest

    async def _read(self, side: BucketSide, entry: Entry, algorithm: str) -> tuple[str, int]:
        context, end, hasher, size = self._context, side.end, checksum.new(algorithm), 0
        key = side.prefix + entry.key
        get = end.core.get(key, None, None, NO_CONDITIONS, context.options.verify, None)
        reader: ReaderCore = await end.run(get)
        try:
            while True:
                context.team.checkpoint()
                await context.bandwidth.take(context.team, min(PIECE, entry.size - size))
                piece = await end.run(reader.read(PIECE))
                if not piece:
                    return hasher.digest().hex(), size
                size += len(piece)
                self.read += len(piece)
                hasher.update(piece)
        finally:
            await end.run(reader.close())


def file_digest(path: str, algorithm: str) -> tuple[str, int]:
    """Digest in hexadecimal and size of a file, which is no symbolic link."""
    hasher, size = checksum.new(algorithm), 0
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    try:
        while piece := os.read(descriptor, PIECE):
            hasher.update(piece)
            size += len(piece)
    finally:
        os.close(descriptor)
    return hasher.digest().hex(), size


def _common(one: Mapping[str, str], other: Mapping[str, str]) -> bool | None:
    """Whether digests that both know are the same; None if there are none."""
    common = one.keys() & other.keys()
    return all(one[name] == other[name] for name in common) if common else None


def _changed(side: Side, entry: Entry) -> ObjectChangedError:
    error = ObjectChangedError(f"changed while it was compared: {side.describe()}")
    error.key = entry.key
    return error


assert set(_PREFERRED) <= set(ALGORITHMS)
