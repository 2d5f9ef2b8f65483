"""The map of a tree: which leaf holds which range of sort keys.

One small JSON file, replaced as a whole by rename. `Map` keeps it open, so that its inode
number can not be given to a successor: equal numbers mean the map is unchanged.
"""

from __future__ import annotations

import json
import os
import secrets
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from storage_core.checksum import crc32c
from storage_core.errors import IntegrityError
from storage_local import syscalls
from storage_local.handles import Handle
from storage_local.names import TEMPORARY

MAP = "map"
LEAVES = "leaves"


class Range(NamedTuple):
    """Sort keys from `low` up to the next range's.

    `fallback` is the leaf these records are being moved from, None when they are all here.
    """

    low: str
    leaf: str
    fallback: str | None = None


class Map:
    """An immutable snapshot of the ranges, in order; the first begins at ``""``."""

    __slots__ = ("_handle", "inode", "lows", "ranges")

    def __init__(self, ranges: Sequence[Range], handle: Handle) -> None:
        self.ranges = ranges
        self.lows = [one.low for one in ranges]
        self._handle = handle
        self.inode = os.fstat(handle.fd).st_ino

    def index(self, sort: str) -> int:
        """Index of the range that holds a sort key."""
        return bisect_right(self.lows, sort) - 1

    def high(self, index: int) -> str | None:
        """Where a range ends; None for the last."""
        return self.lows[index + 1] if index + 1 < len(self.lows) else None


def encode(ranges: Sequence[Range]) -> bytes:
    """The text of a map: a line with the CRC32C of the rest, and the rest."""
    body = json.dumps({"ranges": ranges}, indent=0).encode()
    return b"%08x\n%b\n" % (crc32c(body), body)


def decode(text: bytes) -> list[Range]:
    """The ranges of a map's text.

    Raises:
        ValueError: it is damaged.
    """
    checksum, _, body = text.partition(b"\n")
    body = body.removesuffix(b"\n")
    if checksum != b"%08x" % crc32c(body):
        raise ValueError("the checksum of the map does not fit")
    ranges = [Range(*one) for one in json.loads(body)["ranges"]]
    if not in_order(ranges):
        raise ValueError("the ranges of the map are not in order")
    return ranges


def in_order(ranges: Sequence[Range]) -> bool:
    """Whether ranges can be a map: ascending, no two alike, the first from the beginning."""
    lows = [one.low for one in ranges]
    return lows[:1] == [""] and lows == sorted(set(lows))


def load(tree_fd: int) -> Map:
    """Read the current map of an open tree.

    Raises:
        FileNotFoundError: it has none; its bucket is being deleted.
        IntegrityError: it is damaged.
    """
    handle = Handle(os.open(MAP, syscalls.READ, dir_fd=tree_fd))
    pieces = []
    while piece := os.read(handle.fd, 1 << 20):
        pieces.append(piece)
    try:
        return Map(decode(b"".join(pieces)), handle)
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(f"a map of the bucket is damaged ({error}); run fsck") from error


def store(tree_fd: int, ranges: Sequence[Range], *, durable: bool) -> None:
    """Replace the map of an open tree.

    Raises:
        IntegrityError: the ranges are not in order; nothing was changed.
    """
    if not in_order(ranges):
        raise IntegrityError("the new ranges of a map are not in order; run fsck")
    name = f"{TEMPORARY}{secrets.token_hex(8)}"
    fd = syscalls.create(name, syscalls.CREATE, 0o666, dir_fd=tree_fd)
    try:
        syscalls.write_all(fd, encode(ranges))
        # Whatever the profile says: a power failure that left the map empty would take the
        # whole bucket, and maps are written seldom.
        syscalls.fsync(fd)
    finally:
        os.close(fd)
    syscalls.rename(name, MAP, src_dir_fd=tree_fd, dst_dir_fd=tree_fd)
    if durable:
        syscalls.fsync(tree_fd)


def make_leaf(leaves_fd: int, *, durable: bool) -> str:
    """Create an empty leaf and return its id."""
    identity = secrets.token_hex(8)
    syscalls.mkdir(identity, dir_fd=leaves_fd)
    if durable:
        syscalls.fsync(leaves_fd)
    return identity


def create_tree(name: str, dir_fd: int, *, durable: bool) -> None:
    """Make an empty tree in a directory that nobody else sees yet."""
    syscalls.mkdir(name, dir_fd=dir_fd)
    tree_fd = os.open(name, syscalls.DIRECTORY, dir_fd=dir_fd)
    try:
        syscalls.mkdir(LEAVES, dir_fd=tree_fd)
        leaves_fd = os.open(LEAVES, syscalls.DIRECTORY, dir_fd=tree_fd)
        try:
            leaf = make_leaf(leaves_fd, durable=durable)
        finally:
            os.close(leaves_fd)
        store(tree_fd, [Range("", leaf)], durable=durable)
    finally:
        os.close(tree_fd)


Change = Callable[[list[Range]], list[Range] | None]
"""Makes new ranges of the present ones; None to leave them."""
