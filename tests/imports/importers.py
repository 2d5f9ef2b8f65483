"""Importers of the tests, installed as a distribution of their own. What they are to do stands in
the metadata of the file."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from storage_core.errors import UnavailableError
from storage_core.imports import FileInfo, Row, lines


def gated(source: Iterable[bytes], file: FileInfo, /) -> Iterator[Row]:
    """A row of each line. Before the last one it makes the file ``reached``, and waits until the
    file ``gate`` is there."""
    texts = list(lines(source))
    for number, text in texts[:-1]:
        yield Row(number, "plain", (text,), {"text": text})
    with Path(file.metadata["reached"]).open("a") as reached:
        reached.write("x")
    while not Path(file.metadata["gate"]).exists():
        time.sleep(0.01)
    for number, text in texts[-1:]:
        yield Row(number, "plain", (text,), {"text": text})


def plain(source: Iterable[bytes], file: FileInfo, /) -> Iterator[Row]:
    """A row of each line; a leading ``-`` deletes."""
    for number, text in lines(source):
        values = None if text.startswith("-") else {"text": text, "line": number}
        yield Row(number, "plain", (text.removeprefix("-"),), values)


def faulty(source: Iterable[bytes], file: FileInfo, /) -> Iterator[Row]:
    """Has a bug behind its first row."""
    yield Row(1, "plain", ("1",), {})
    raise ZeroDivisionError("of the secret number 4711")


def leaving(source: Iterable[bytes], file: FileInfo, /) -> Iterator[Row]:
    """Wants to end the process."""
    yield Row(1, "plain", ("1",), {})
    raise SystemExit(3)


def flaky(source: Iterable[bytes], file: FileInfo, /) -> Iterator[Row]:
    """Fails for a while as often as the metadata says."""
    tries = Path(file.metadata["tries"])
    with tries.open("a") as appended:
        appended.write("x")
    yield Row(1, "plain", ("1",), {})
    if len(tries.read_text()) <= file.metadata["failures"]:
        raise UnavailableError("of the secret host 10.11.12.13")


def compound(source: Iterable[bytes], file: FileInfo, /) -> Iterator[Row]:
    """A row that no database takes."""
    yield Row(1, "plain", ("1",), {"text": "\0", "never": "\udc00"})


def endless(source: Iterable[bytes], file: FileInfo, /) -> Iterator[Row]:
    """A key that is too long."""
    yield Row(7, "plain", ("k" * 1000,), {})
