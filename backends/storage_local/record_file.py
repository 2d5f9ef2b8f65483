"""Records as files of a leaf: reading one, and telling the key behind a shortened name."""

from __future__ import annotations

import os

from storage_local.names import file_name, sort_key
from storage_local.record import HEAD_SIZE, INLINE, Record
from storage_local.syscalls import READ


def sort_key_of(name: str, record: Record) -> str | None:
    """Sort key of the record behind a shortened name; None if none of its keys fits."""
    for key in record.details.get("keys", ()):
        for version in ("", record.version):
            sort = sort_key(key, version)
            if file_name(sort) == name:
                return sort
    return None


def read_record(name: str, dir_fd: int, first: int = HEAD_SIZE) -> Record | None:
    """Read one record of an open leaf; None if missing. `read_raw` tells what ``first`` is.

    Raises:
        IntegrityError: it is damaged.
    """
    raw = read_raw(name, dir_fd, first)
    return None if raw is None else Record(raw)


def read_raw(name: str, dir_fd: int, first: int = HEAD_SIZE) -> bytes | None:
    """Bytes of a record; None if it is missing.

    One read of ``first`` bytes nearly always does; with `HEAD_SIZE` the header is what is
    wanted, with more than that the inline bytes too, and what is missing is read after it.
    """
    try:
        fd = os.open(name, READ, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    try:
        raw = os.read(fd, first)
        return raw if len(raw) < first else raw + _read_rest(fd, raw, first)
    finally:
        os.close(fd)


def _read_rest(fd: int, raw: bytes, first: int) -> bytes:
    """What a record has beyond the bytes read."""
    wanted = int.from_bytes(raw[8:12], "little")
    if first > HEAD_SIZE and raw[4] & INLINE:
        wanted += int.from_bytes(raw[28:36], "little")
    pieces = []
    missing = wanted - len(raw)
    # A damaged header may claim any size; the file's end bounds what is read.
    while missing > 0 and (piece := os.read(fd, min(missing, 1 << 20))):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
