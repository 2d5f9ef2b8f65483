"""Files that have no name until they are complete, and so leave nothing behind when their writer
is killed (open(2), O_TMPFILE)."""

from __future__ import annotations

import os
from functools import cache
from typing import Final

_NAMELESS: Final = getattr(os, "O_TMPFILE", 0)
_OPENED: Final = "/proc/self/fd"


def open_nameless(folder: str, mode: int, dir_fd: int | None = None) -> int:
    """A new file in a folder; -1 where there is no such thing.

    Args:
        folder: Whose file system it is on.
        mode: Its permissions, less the process's mask.
        dir_fd: An open folder that ``folder`` is relative to.
    """
    if not _NAMELESS or not _names_opened():
        return -1
    try:
        return os.open(folder, _NAMELESS | os.O_RDWR | os.O_CLOEXEC, mode, dir_fd=dir_fd)
    except OSError:  # what else is the matter will be told of a file that has a name
        return -1


def name_it(descriptor: int, name: str, dir_fd: int | None = None) -> None:
    """Give such a file its name.

    Raises:
        FileExistsError: something has it.
        OSError: it can not be.
    """
    # Only with a folder given, which an absolute path makes no use of, does `os.link` follow what
    # is under /proc to the file itself.
    os.link(f"{_OPENED}/{descriptor}", name, src_dir_fd=descriptor, dst_dir_fd=dir_fd)


@cache
def _names_opened() -> bool:
    return os.path.isdir(_OPENED)
