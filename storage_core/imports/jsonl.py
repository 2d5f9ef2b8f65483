"""Importer of ``jsonl``: a JSON object a line, each a row.

The key is the member ``id``, or those that the file's metadata name as ``KeyColumns``. An object
with ``"$delete": true`` deletes the row of its key. Rows are of the file's entity type. Empty
lines are skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from storage_core.imports.lines import lines
from storage_core.imports.model import FileInfo, ImportFileError, Row
from storage_core.imports.values import check_name, key_columns, key_of, parse_json


def read(source: Iterable[bytes], file: FileInfo, /) -> Iterator[Row]:
    """The rows of a file; see `storage_core.imports.Importer`.

    Raises:
        ImportFileError: a line is not a JSON object, or a key is missing.
    """
    try:
        dataset = check_name(file.entity_type, "the entity type")
        keys = key_columns(file, ("id",))
    except ValueError as error:
        raise ImportFileError(None, str(error)) from None
    for number, text in lines(source):
        if not text.strip():
            continue
        try:
            values, deletes = _object(text)
            key = key_of(keys, values)
        except ValueError as error:
            raise ImportFileError(number, str(error)) from None
        yield Row(number, dataset, key, None if deletes else values)


def _object(text: str) -> tuple[dict[str, Any], bool]:
    """The members of a row, and whether it is to be deleted."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the text is at fault
    deletes = value.pop("$delete", False)
    if deletes is True or deletes is False:
        return value, deletes
    raise ValueError("'$delete' is neither true nor false")
