"""Where a key lies: reversible names for files and directories.

The segments of a key (between slashes) become directories, the last one a file whose name ends
with `SUFFIX`. Characters that filesystems or fsspec itself take for something else, and names
that they refuse, are written in percent form; ``%`` always is, so names of ours that begin an
escape with anything but two digits can not arise from a key:

- ``%~`` is the empty segment of ``a//b``;
- a directory whose name ends with ``%+`` holds the rest of a segment that is too long.

Files without the suffix were not written by this driver; they are objects under their own names.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

SUFFIX = ".storage-core"
INTERNAL = ".storage-core"
"""Directory in each bucket for temporary files, and the sign that it is a bucket."""

EMPTY = "%~"
MORE = "%+"

LONGEST = 190
"""Bytes of a name after which a segment goes on in a directory; most filesystems allow 255."""

_ODD = re.compile(r'[%*?\[\]\\:|<>"#\x00-\x1f\x7f]')


def object_path(key: str) -> str:
    """Path below the bucket's directory of the file that holds an object."""
    *parents, last = key.split("/")
    names = [name for segment in parents for name in _names(segment)]
    return "/".join((*names, *_names(last))) + SUFFIX


def directory_path(prefix: str) -> str:
    """Path below the bucket's directory of the directory of a prefix that ends with ``/``;
    empty for the bucket itself."""
    return "/".join(name for segment in prefix.split("/")[:-1] for name in _names(segment))


def plain_path(key: str) -> str | None:
    """Path of a file of others under this key; None where no file can have it."""
    segments = key.split("/")
    if any(segment in {"", ".", ".."} or len(segment.encode()) > 255 for segment in segments):
        return None
    if segments[0] == INTERNAL or segments[-1].endswith(SUFFIX):
        return None
    return key


def _names(segment: str) -> list[str]:
    """A segment as one name, or as directories for all but its last stretch."""
    name = _escaped(segment)
    found = []
    while len(name.encode()) > LONGEST:
        cut = _cut(name)
        found.append(name[:cut] + MORE)
        name = name[cut:]
    return [*found, name]


def _escaped(segment: str) -> str:
    if not segment:
        return EMPTY
    if segment in {".", ".."}:
        return segment.replace(".", "%2E")
    name = _ODD.sub(lambda match: f"%{ord(match.group()):02X}", segment)
    if name.endswith(SUFFIX):
        return name[: -len(SUFFIX)] + "%2E" + SUFFIX[1:]
    # Trailing dots and spaces are lost on filesystems of Windows and some servers before them.
    if name[-1] in ". ":
        return f"{name[:-1]}%{ord(name[-1]):02X}"
    return name


def _cut(name: str) -> int:
    """Characters that make up to `LONGEST` bytes, no escape cut in two."""
    total = 0
    for index, character in enumerate(name):
        total += len(character.encode())
        if total > LONGEST:
            cut = index
            break
    for back in (1, 2):
        if name[cut - back] == "%":
            return cut - back
    return cut


def decoded(name: str) -> str:
    """The stretch of a key that a name of ours stands for (without suffix or `MORE`). A name
    that we would not write, and so is of others, stands for itself."""
    if name == EMPTY:
        return ""
    if "%" not in name:
        return name
    return unquote(name)
