"""What objects and files hold in these benchmarks: bytes that look random, known to all.

Content of any size is one block again and again. The block's length has no divisor in common
with the sizes of parts, so that a part in the wrong place changes the checksum.
"""

from __future__ import annotations

import hashlib
import random
from functools import cache
from pathlib import Path

from google_crc32c import extend

BLOCK = 1021 * 4096
"""Bytes; 1021 is a prime."""


@cache
def block() -> bytes:
    """The block."""
    return random.Random(BLOCK).randbytes(BLOCK)


def content(size: int) -> bytes:
    """The first bytes of the content."""
    return (block() * (size // BLOCK + 1))[:size]


def write(path: Path, size: int) -> None:
    """Make a file of the content."""
    with path.open("wb", buffering=0) as file:
        for at in range(0, size, BLOCK):
            file.write(memoryview(block())[: size - at])


def md5(size: int) -> str:
    """MD5 of the content, in hexadecimal digits."""
    return hashlib.md5(content(size)).hexdigest()


@cache
def crc32c(size: int) -> int:
    """CRC32C of the content."""
    value = 0
    for at in range(0, size, BLOCK):
        value = extend(value, block()[: size - at])
    return value


def holds(path: Path, size: int) -> bool:
    """Whether a file holds the content, whole."""
    value, found = 0, path.stat().st_size
    with path.open("rb", buffering=0) as file:
        while piece := file.read(BLOCK):
            value = extend(value, piece)
    return found == size and value == crc32c(size)
