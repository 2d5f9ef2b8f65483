"""A folder of this machine as a side of a transfer."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Final

from storage_core.errors import InvalidKeyError
from storage_core.runtime.team import Team
from storage_core.transfer.entries import BATCH, NOT_REGULAR, Entry, KeyRange, Side

PARTIAL: Final = (".storage-part", ".storage-part.journal")
"""How the names of files end that are not complete; they are in no listing of a folder."""

_KIND: Final = 0o170000
_NO_NAME = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)|\0")
_NO_NAME_HERE = re.compile(r'[\\:*?"<>|]') if sys.platform == "win32" else None


class FolderSide(Side):
    """A folder and all folders in it. Symbolic links are not followed but for the folder itself.

    Args:
        folder: Its path.
    """

    is_folder = True

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(os.fspath(folder))

    def describe(self) -> str:
        return self.root

    def path(self, key: str) -> str:
        """Where the file of a key is."""
        return f"{self.root}/{key}"

    async def batches(
        self, team: Team, keys: KeyRange, *, target: bool = False
    ) -> AsyncIterator[list[Entry]]:
        walk = _walk(self.root, keys, target)
        while (batch := await team.blocking(next, walk, None)) is not None:
            yield batch

    def __reduce__(self) -> tuple[object, ...]:
        return FolderSide, (self.root,)


def check_place(key: str) -> None:
    """Refuse a relative key that has no place in a folder, each of its segments a name.

    Raises:
        InvalidKeyError: an empty, ``.`` or ``..`` segment, one the system has no files of, or a
            name that is kept for files that are not complete.
    """
    # The common case, told in a few steps.
    plain = key and key[0] not in "./" and key[-1] != "/" and "/." not in key and "//" not in key
    if plain and "\0" not in key and _NO_NAME_HERE is None:
        return
    if _NO_NAME.search(key) or (_NO_NAME_HERE is not None and _NO_NAME_HERE.search(key)):
        raise InvalidKeyError(
            "the key has a segment that can not be the name of a file; get it by itself, under"
            " another name",
            key=key,
        )
    if key.endswith(PARTIAL) and key.rpartition("/")[2].startswith("."):
        raise InvalidKeyError(
            "names such as this one are kept for files that are not complete; get it by itself,"
            " under another name",
            key=key,
        )


def _walk(root: str, keys: KeyRange, target: bool) -> Iterator[list[Entry]]:
    """The files of a tree, ascending by key.

    Raises:
        NotADirectoryError: the root is none.
        FileNotFoundError: there is none, and it is no target.
    """
    if target and not os.path.lexists(root):
        return
    after, until = keys
    batch: list[Entry] = []
    # Folders that are open: what is left of their names, and their own place.
    opened: list[tuple[Iterator[str], str]] = [(iter(_names(root)), "")]
    while opened:
        left, place = opened[-1]
        for name in left:
            key = place + name
            if until is not None and key > until:
                opened = []
                break
            if key <= after and not after.startswith(key):
                continue
            if name[-1] == "/":
                try:
                    opened.append((iter(_names(f"{root}/{key}")), key))
                except OSError as error:
                    batch.append(Entry(key, NOT_REGULAR, error=error))
                    continue
                break
            if key != after and (entry := _entry(root, key)) is not None:
                batch.append(entry)
                if len(batch) >= BATCH:
                    yield batch
                    batch = []
        else:
            opened.pop()
    yield batch


def _names(folder: str) -> list[str]:
    """What is in a folder in the order of the keys, folders with ``/`` at their ends."""
    with os.scandir(folder) as found:
        names = [
            f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
            for entry in found
            if not (entry.name[0] == "." and entry.name.endswith(PARTIAL))
        ]
    names.sort()
    return names


def _entry(root: str, key: str) -> Entry | None:
    """What is under a name; None if it is gone since its folder was read."""
    try:
        found = os.lstat(f"{root}/{key}")
    except FileNotFoundError:
        return None
    except OSError as error:
        return Entry(key, NOT_REGULAR, error=error)
    if found.st_mode & _KIND != stat.S_IFREG:
        return Entry(key, NOT_REGULAR)
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            wrong = InvalidKeyError("the name is no UTF-8, so no key can be made of it", key=key)
            return Entry(key, NOT_REGULAR, error=wrong)
    return Entry(key, found.st_size, found.st_mtime_ns // 1000)
