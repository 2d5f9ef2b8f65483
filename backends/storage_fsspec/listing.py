"""Keys in order, from directories that have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from storage_core.model import ObjectSummary, Prefix
from storage_fsspec import names, times, trailer

Ls = Callable[[str], list[dict[str, Any]]]
"""Entries of a directory as fsspec describes them; none where there is no such directory."""


class Entry(NamedTuple):
    """A file or directory of a bucket, by the key or prefix it stands for."""

    key: str
    path: str
    file: dict[str, Any] | None
    """What fsspec tells of it; None for a directory."""

    @property
    def order(self) -> bytes:
        """Keys are sorted by their bytes; a surrogate is a byte that was no UTF-8."""
        return self.key.encode(errors="surrogateescape")


def entries(ls: Ls, path: str, prefix: str, inside: bool) -> list[Entry]:
    """What a directory holds, in no order.

    Args:
        ls: Lists a directory.
        path: The directory.
        prefix: Key prefix it stands for.
        inside: Whether it is the bucket's own directory, in which ours is left out.
    """
    found: dict[str, Entry] = {}
    for info in ls(path):
        place = str(info["name"]).rstrip("/")
        name = place.rpartition("/")[2]
        if not name or (inside and name == names.INTERNAL):
            continue
        below = f"{path}/{name}"
        if info["type"] == "directory":
            if name.endswith(names.MORE):
                stretch = names.decoded(name[: -len(names.MORE)])
                for entry in entries(ls, below, prefix + stretch, False):
                    found[entry.key] = entry
            else:
                key = f"{prefix}{names.decoded(name)}/"
                found.setdefault(key, Entry(key, below, None))
        elif name.endswith(names.SUFFIX):
            key = prefix + names.decoded(name[: -len(names.SUFFIX)])
            found[key] = Entry(key, below, info)
        else:
            found.setdefault(prefix + name, Entry(prefix + name, below, info))
    return list(found.values())


def walk(ls: Ls, path: str, prefix: str, wanted: str, after: bytes) -> Iterator[Entry]:
    """Objects whose key begins with ``wanted`` and comes after ``after``, ascending.

    Args:
        ls: Lists a directory.
        path: A directory.
        prefix: Key prefix it stands for.
        wanted: Prefix of the keys that are asked for.
        after: Key (as bytes) behind which the walk begins.
    """
    for entry in sorted(entries(ls, path, prefix, not prefix), key=lambda entry: entry.order):
        if not (entry.key.startswith(wanted) or wanted.startswith(entry.key)):
            continue
        if entry.file is None:
            if entry.order > after or after.startswith(entry.order):
                yield from walk(ls, entry.path, entry.key, wanted, after)
        elif entry.key.startswith(wanted) and entry.order > after:
            yield entry


def grouped(
    found: Iterator[Entry], prefix: str, delimiter: str, limit: int, after: bytes
) -> tuple[list[ObjectSummary | Prefix], bytes | None]:
    """A page of objects and groups, and where the next one begins: behind that key, or behind
    all keys of that group."""
    items: list[ObjectSummary | Prefix] = []
    last = after
    group = ""
    for entry in found:
        if group and entry.key.startswith(group):
            continue
        if len(items) == limit:
            return items, last
        cut = entry.key.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            group = entry.key[: cut + len(delimiter)]
            items.append(Prefix(group))
            last = group.encode(errors="surrogateescape") + b"\xff"
        else:
            items.append(summary(entry))
            last = entry.order
    return items, None


def summary(entry: Entry) -> ObjectSummary:
    """What a directory tells of an object."""
    assert entry.file is not None
    size = int(entry.file.get("size") or 0)
    if entry.path.endswith(names.SUFFIX):
        size = max(0, size - trailer.SIZE)
    return ObjectSummary(entry.key, size, None, times.modified(entry.file))
