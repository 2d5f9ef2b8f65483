"""Importer of ``csv``: comma-separated values (RFC 4180), the first record naming the columns.

All values are text. The key is the first column, or those that the file's metadata name as
``KeyColumns``. Rows are of the file's entity type; none is deleted. Empty lines are skipped.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from storage_core.imports.lines import MAX_LINE, lines
from storage_core.imports.model import FileInfo, ImportFileError, Row
from storage_core.imports.values import check_columns, check_name, key_columns, key_of, shown


def read(source: Iterable[bytes], file: FileInfo, /) -> Iterator[Row]:
    """The rows of a file; see `storage_core.imports.Importer`.

    Raises:
        ImportFileError: the file is no CSV, a record has another number of values than there
            are columns, or a key is missing.
    """
    try:
        dataset = check_name(file.entity_type, "the entity type")
    except ValueError as error:
        raise ImportFileError(None, str(error)) from None
    records = _records(source)
    line, header = next(records, (None, None))
    if header is None:
        raise ImportFileError(None, "the file is empty; its first line names the columns")
    try:
        keys = _keys(header, file)
    except ValueError as error:
        raise ImportFileError(line, str(error)) from None
    for line, fields in records:
        if len(fields) != len(header):
            raise ImportFileError(line, f"{len(fields)} values for {len(header)} columns")
        values = dict(zip(header, fields, strict=True))
        try:
            key = key_of(keys, values)
        except ValueError as error:
            raise ImportFileError(line, str(error)) from None
        yield Row(line, dataset, key, values)


def _keys(header: list[str], file: FileInfo) -> tuple[str, ...]:
    check_columns(header, "the column name")
    keys = key_columns(file, header[:1])
    if missing := set(keys) - set(header):
        raise ValueError(f"there is no key column {shown(min(missing))}")
    return keys


def _records(source: Iterable[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Records with the number of their first line. One may span lines, of `MAX_LINE` bytes in
    all."""
    # That limit is on fields, in the whole process; the one on records is below.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    feed = _Feed(source)
    reader = csv.reader(feed, strict=True)
    while True:
        feed.begin_record()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ImportFileError(feed.first or None, str(error)) from None
        if fields:
            yield feed.first, fields


class _Feed:
    """Lines for the reader, which asks for further ones as long as a quote is open."""

    def __init__(self, source: Iterable[bytes]) -> None:
        self._lines = lines(source, ends=True)
        self.first = 0
        self._size = 0

    def begin_record(self) -> None:
        self._size = self.first = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, text = next(self._lines)
        self.first = self.first or number
        self._size += len(text)
        if self._size > MAX_LINE:
            raise ImportFileError(
                self.first, f"the record is longer than {MAX_LINE} characters; is a quote open?"
            )
        return text
