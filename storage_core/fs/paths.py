"""Paths of the filesystem: ``profile/bucket/key``, with or without ``storage://`` before it.

The profile is the URL's authority. A path says nothing of its last slashes, as everywhere in
fsspec; everything else of a key stands in it byte for byte, and nothing is decoded.
"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from fsspec.utils import stringify_path

from storage_core.errors import InvalidRequestError

PROTOCOL = "storage"
_SCHEME = f"{PROTOCOL}://"


class Place(NamedTuple):
    """Where a path leads; ``key`` is empty for a bucket, ``bucket`` for a profile, and all
    three are for the list of the profiles."""

    profile: str
    bucket: str
    key: str

    @property
    def path(self) -> str:
        """The path that leads here."""
        return "/".join(part for part in self if part)

    @property
    def root(self) -> str:
        """What stands before the key in the path of an object of this bucket."""
        return f"{self.profile}/{self.bucket}/"


def text(path: str | os.PathLike[str]) -> str:
    """The path as it was written; of paths of universal_pathlib, what they stand for."""
    return path if isinstance(path, str) else str(stringify_path(path))


def strip(path: str | os.PathLike[str]) -> str:
    """The path without protocol, and without slashes before and after it."""
    written = text(path)
    if written.startswith(_SCHEME):
        written = written[len(_SCHEME) :]
    elif written.startswith(f"{PROTOCOL}::"):
        written = written[len(PROTOCOL) + 2 :]
    return written.strip("/")


def parent(path: str | os.PathLike[str]) -> str:
    """The path one level up; that of a profile is empty."""
    return strip(path).rpartition("/")[0].rstrip("/")


def place(path: str | os.PathLike[str]) -> Place:
    """Take a path apart.

    Raises:
        InvalidRequestError: it has a key but no bucket, as ``dev//key``.
    """
    profile, _, rest = strip(path).partition("/")
    bucket, _, key = rest.partition("/")
    if rest and not bucket:
        raise InvalidRequestError(
            f"path {path!r} names no bucket; write {_SCHEME}profile/bucket/key"
        )
    return Place(profile, bucket, key)


def object_at(path: str | os.PathLike[str]) -> Place:
    """Take apart a path that must lead to an object.

    Raises:
        IsADirectoryError: it leads to a bucket, a profile or the list of them.
    """
    found = place(path)
    if not found.key:
        what = "bucket" if found.bucket else "profile"
        raise IsADirectoryError(errno.EISDIR, f"the path names a {what}, not an object", str(path))
    return found
