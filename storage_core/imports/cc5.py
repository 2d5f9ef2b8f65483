"""Importer of ``cc5``: text in lines of fields that ``|`` separates.

The first field of a line is its type, of two digits:

    00|customer|file type|create time|reference id
    01|entity type|workspace|bucket|data source|action code
    02|code of a key column|…
    03|code:type|…                  all columns, those of the key first
    10|value|…                      a row that is to be there
    90|key|…                        a row that is to be deleted
    99|number of rows               lines of the types 10 and 90 together

``00`` to ``03`` stand first and ``99`` last, each once. A line may end with one more ``|``. In a
value ``#/#`` stands for ``|`` and ``#Enter#`` for a line break (CRLF). An empty value is null, or
an empty text where the column is of type string. What ``01`` says of workspace and bucket does
not move the rows: they are imported for those the file was registered for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from storage_core.imports.lines import lines
from storage_core.imports.model import FileInfo, ImportFileError, KeyPart, Row
from storage_core.imports.values import check_columns, check_name, key_part, parse_json, shown

_Record: TypeAlias = tuple[int, str, list[str]]

_TYPE = re.compile(r"[0-9]{2}", re.ASCII)
_INT = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?", re.ASCII)
_DATE = re.compile(r"[0-9]{8}(?:[0-9]{6})?", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,18}", re.ASCII)
_BOOLS = {"true": True, "false": False, "1": True, "0": False}

_ESCAPE = re.compile("#/#|#Enter#")
_ESCAPES = {"#/#": "|", "#Enter#": "\r\n"}

_RESERVED = "_id"


def _escaped(found: re.Match[str]) -> str:
    return _ESCAPES[found[0]]


def read(source: Iterable[bytes], file: FileInfo, /) -> Iterator[Row]:
    """The rows of a file; see `storage_core.imports.Importer`.

    Raises:
        ImportFileError: the file is not of this format, or its total is wrong.
    """
    records = _records(source)
    head = _head(records, file)
    number = 0
    for count, (number, kind, fields) in enumerate(records):
        if kind == "10":
            yield head.upsert(number, fields)
        elif kind == "90":
            yield head.delete(number, fields)
        elif kind == "99":
            _check_total(number, fields, count)
            break
        else:
            raise ImportFileError(number, f"a line of type {shown(kind)} among the rows")
    else:
        raise ImportFileError(
            number + 1 if number else None, "the file ends without its line of type 99"
        )
    for number, _kind, _fields in records:
        raise ImportFileError(number, "something follows the line of type 99")


def _string(text: str) -> str:
    return text


def _int(text: str) -> int:
    if not _INT.fullmatch(text) or not -(2**63) <= (number := int(text)) < 2**63:
        raise ValueError("is not a whole number of at most 64 bits")
    return number


def _number(text: str) -> int | float:
    if not _NUMBER.fullmatch(text):
        raise ValueError("is not a number")
    try:
        return _int(text)
    except ValueError:
        number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError("is too large a number")
    return number


def _bool(text: str) -> bool:
    try:
        return _BOOLS[text.lower()]
    except KeyError:
        raise ValueError("is none of true, false, 1, 0") from None


def _date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise ValueError("is not a date of the form yyyyMMdd or yyyyMMddHHmmss")
    numbers = [int(text[:4]), *(int(text[at : at + 2]) for at in range(4, len(text), 2))]
    try:
        moment = datetime(*numbers)  # type: ignore[arg-type] # noqa: DTZ001 - the format has no zone
    except ValueError as error:
        raise ValueError(f"is no date: {error}") from None
    return moment.isoformat() if len(text) > 8 else moment.date().isoformat()


def _array(text: str) -> list[str]:
    return text.split(",")


def _list(text: str) -> list[Any]:
    value = parse_json(text, strict=False)  # a line break may have been escaped in it
    if isinstance(value, list):
        return value
    raise ValueError("is not a JSON array")


def _object(text: str) -> dict[str, Any]:
    value = parse_json(text, strict=False)  # a line break may have been escaped in it
    if isinstance(value, dict):
        return value
    raise ValueError("is not a JSON object")


TYPES: Final[dict[str, Callable[[str], Any]]] = {
    "string": _string,
    "int": _int,
    "number": _number,
    "bool": _bool,
    "date": _date,
    "array": _array,
    "list": _list,
    "object": _object,
}
"""How the text of a column's type becomes a JSON value; dates become ISO 8601."""


@dataclass(frozen=True, slots=True)
class _Column:
    code: str
    type: str
    read: Callable[[str], Any]

    def value(self, text: str) -> Any:
        if not text:
            return "" if self.type == "string" else None
        return self.read(_ESCAPE.sub(_escaped, text) if "#" in text else text)


@dataclass(frozen=True, slots=True)
class _Head:
    """What the first lines say of those that follow."""

    dataset: str
    columns: tuple[_Column, ...]
    keys: int

    def upsert(self, line: int, fields: list[str]) -> Row:
        texts = _exactly(line, fields, len(self.columns), "columns of the line of type 03")
        values = self._values(line, texts)
        return Row(line, self.dataset, self._key(line, values), values)

    def delete(self, line: int, fields: list[str]) -> Row:
        texts = _exactly(line, fields, self.keys, "key columns of the line of type 02")
        return Row(line, self.dataset, self._key(line, self._values(line, texts)), None)

    def _values(self, line: int, texts: list[str]) -> dict[str, Any]:
        """The values of the first columns, as many as there are texts."""
        values = {}
        try:
            for column, text in zip(self.columns, texts, strict=False):
                values[column.code] = column.value(text)
        except ValueError as error:
            raise ImportFileError(
                line, f"column {shown(column.code)} of type {column.type}: {shown(text)} {error}"
            ) from None
        return values

    def _key(self, line: int, values: dict[str, Any]) -> tuple[KeyPart, ...]:
        parts = []
        for column in self.columns[: self.keys]:
            try:
                parts.append(key_part(values[column.code]))
            except ValueError as error:
                raise ImportFileError(
                    line, f"the key column {shown(column.code)} {error}"
                ) from None
        return tuple(parts)


def _records(source: Iterable[bytes]) -> Iterator[_Record]:
    """Lines as number, type and fields. Empty lines may stand at the end alone."""
    empty = 0
    for number, text in lines(source):
        if not text:
            empty = empty or number
            continue
        if empty:
            raise ImportFileError(empty, "the line is empty")
        kind, _, rest = text.partition("|")
        if not _TYPE.fullmatch(kind):
            raise ImportFileError(
                number, f"the line begins with {shown(kind)} instead of a type of two digits"
            )
        yield number, kind, rest.split("|")


def _head(records: Iterator[_Record], file: FileInfo) -> _Head:
    _customer(*_next(records, "00"))
    dataset = _dataset(*_next(records, "01"), file)
    line, fields = _next(records, "02")
    keys = _codes(line, fields)
    line, fields = _next(records, "03")
    columns = _columns(line, fields)
    found = [column.code for column in columns[: len(keys)]]
    if found != keys:
        raise ImportFileError(
            line,
            f"the first columns must be those of the key, {shown(', '.join(keys))}, but are"
            f" {shown(', '.join(found))}",
        )
    return _Head(dataset, columns, len(keys))


def _next(records: Iterator[_Record], kind: str) -> tuple[int, list[str]]:
    for number, found, fields in records:
        if found != kind:
            raise ImportFileError(
                number, f"a line of type {found} where the one of type {kind} must be"
            )
        return number, fields
    raise ImportFileError(None, f"the file ends before its line of type {kind}")


def _customer(line: int, fields: list[str]) -> None:
    # customer, file type, create time, reference id: only their number is defined
    if len(_untailed(fields, 4)) > 4:
        raise ImportFileError(line, "more than 4 fields")
    if not fields[0]:
        raise ImportFileError(line, "the customer is empty")


def _dataset(line: int, fields: list[str], file: FileInfo) -> str:
    if len(_untailed(fields, 5)) > 5:
        raise ImportFileError(line, "more than 5 fields")
    if file.entity_type and fields[0] and fields[0] != file.entity_type:
        raise ImportFileError(
            line,
            f"the entity type is {shown(fields[0])}, but the file was registered for"
            f" {shown(file.entity_type)}",
        )
    try:
        return check_name(fields[0] or file.entity_type, "the entity type")
    except ValueError as error:
        raise ImportFileError(line, str(error)) from None


def _columns(line: int, fields: list[str]) -> tuple[_Column, ...]:
    pairs = [field.partition(":") for field in _untailed(fields)]
    codes = _codes(line, [code for code, _, _ in pairs])
    columns = []
    for code, (_, colon, name) in zip(codes, pairs, strict=True):
        kind = name.lower() if colon else "string"
        if kind not in TYPES:
            raise ImportFileError(
                line, f"column {shown(code)} is of type {shown(name)}; types are {', '.join(TYPES)}"
            )
        columns.append(_Column(code, kind, TYPES[kind]))
    return tuple(columns)


def _codes(line: int, fields: list[str]) -> list[str]:
    codes = _untailed(fields)
    try:
        check_columns(codes, "the code of a column")
    except ValueError as error:
        raise ImportFileError(line, str(error)) from None
    if reserved := next((code for code in codes if code.endswith(_RESERVED)), None):
        raise ImportFileError(
            line, f"the code {shown(reserved)} ends with {_RESERVED!r}, which is reserved"
        )
    return codes


def _check_total(line: int, fields: list[str], count: int) -> None:
    # A second field is a validation code, whose making is not defined.
    if len(_untailed(fields, 2)) > 2:
        raise ImportFileError(line, "more than 2 fields")
    if not _COUNT.fullmatch(fields[0]):
        raise ImportFileError(line, f"{shown(fields[0])} is not a number of rows")
    if int(fields[0]) != count:
        raise ImportFileError(line, f"the total is {int(fields[0])}, but there are {count} rows")


def _exactly(line: int, fields: list[str], number: int, what: str) -> list[str]:
    found = _untailed(fields, number)
    if len(found) != number:
        raise ImportFileError(line, f"{len(found)} values for the {number} {what}")
    return found


def _untailed(fields: list[str], number: int = 0) -> list[str]:
    """Fields without the empty one that a ``|`` at the end makes. `number` are there anyway."""
    if not fields[-1] and len(fields) > max(number, 1):
        return fields[:-1]
    return fields
