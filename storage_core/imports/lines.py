"""Lines of a file in UTF-8, a chunk at a time."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Final

from storage_core.imports.model import ImportFileError

MAX_LINE: Final = 1024**2
"""Longest line in bytes: what a reader has to hold at a time."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def lines(
    source: Iterable[bytes], limit: int = MAX_LINE, *, ends: bool = False
) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without a byte order mark.

    Args:
        source: The file's bytes, in chunks of any length.
        limit: Longest line in bytes.
        ends: Whether lines keep their ends (LF or CRLF).

    Raises:
        ImportFileError: a line is longer, is not UTF-8, or holds a NUL.
    """
    number = 0
    rest = bytearray()  # grows in place: a long line in short chunks is not copied for each
    for chunk in source:
        first, *others = chunk.split(b"\n")
        rest += first
        for following in others:
            number += 1
            line = bytes(rest)
            yield number, _text(number, line + b"\n" if ends else line, limit, ends)
            rest = bytearray(following)
        if len(rest) > limit:
            raise _too_long(number + 1, limit)
    if rest:
        yield number + 1, _text(number + 1, bytes(rest), limit, ends)


def _text(number: int, line: bytes, limit: int, ends: bool) -> str:
    if len(line) > limit + ends:
        raise _too_long(number, limit)
    if number == 1:
        if line.startswith(_UTF16):
            raise ImportFileError(1, "the file is in UTF-16; save it as UTF-8")
        line = line.removeprefix(codecs.BOM_UTF8)
    try:
        text = (line if ends else line.removesuffix(b"\r")).decode()
    except UnicodeDecodeError as error:
        raise ImportFileError(
            number, f"byte {error.start + 1} is not UTF-8; save the file as UTF-8"
        ) from None
    if "\0" in text:
        raise ImportFileError(number, "a NUL character, which no text holds")
    return text


def _too_long(number: int, limit: int) -> ImportFileError:
    return ImportFileError(number, f"the line is longer than {limit} bytes")
