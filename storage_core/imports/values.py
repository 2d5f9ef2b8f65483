"""Checks that all importers share: what a key, a value and a name can be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from storage_core.imports.model import MAX_NAME, FileInfo, KeyPart

KEY_COLUMNS: Final = "KeyColumns"
"""Of a file's metadata: the names of its key columns, where its type does not tell them."""

MAX_COLUMNS: Final = 1000
"""Most columns of a file."""
MAX_DEPTH: Final = 100
"""Most levels of arrays and objects in a value."""

_SHOWN = 40


def shown(value: object) -> str:
    """A value as messages quote it: escaped, and cut if long."""
    text = ascii(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def parse_json(text: str, *, strict: bool = True) -> Any:
    """A JSON text whose every value can be stored.

    Args:
        text: The text.
        strict: Whether a control character in a string has to be escaped, as JSON demands.

    Raises:
        ValueError: it is none; holds a NUL, half a surrogate pair or a number beyond a double;
            or is nested too deeply.
    """
    try:
        value = _DECODERS[strict].decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    # Only an escape can bring what the line was not checked for already.
    if "\\" in text or text.count("[") + text.count("{") > MAX_DEPTH:
        check_value(value)
    return value


def check_name(name: str, what: str) -> str:
    """A name, of a dataset or column, as it is.

    Raises:
        ValueError: it is empty, too long, or holds a control character.
    """
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ValueError(f"{what} {shown(name)} is not 1 to {MAX_NAME} printable characters")
    return name


def check_columns(names: Sequence[str], what: str) -> None:
    """Refuse names that can not be those of columns.

    Raises:
        ValueError: there are too many, one can not be, or stands twice.
    """
    if len(names) > MAX_COLUMNS:
        raise ValueError(f"{len(names)} columns; at most {MAX_COLUMNS} can be")
    seen: set[str] = set()
    for name in names:
        check_name(name, what)
        if name in seen:
            raise ValueError(f"the column {shown(name)} stands twice")
        seen.add(name)


def key_part(value: Any) -> KeyPart:
    """A value that identifies a row: one number is one key, ``1.0`` as well as ``1``.

    Raises:
        ValueError: it is absent, empty or compound.
    """
    if value is None or value == "":
        raise ValueError("is empty; a key needs a value")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, (str, int, float)):
        return value
    raise ValueError("is compound; a key is text, a number or a bool")


def key_columns(file: FileInfo, default: Sequence[str]) -> tuple[str, ...]:
    """The key columns that the file's metadata names: a list of names or one name.

    Raises:
        ValueError: they are not names, or one is named twice.
    """
    given = file.metadata.get(KEY_COLUMNS, default)
    names = [given] if isinstance(given, str) else given
    if (
        not isinstance(names, Sequence)
        or not names
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) < len(names)
    ):
        raise ValueError(f"the metadata {KEY_COLUMNS!r} is not a list of different column names")
    return tuple(names)


def key_of(columns: Sequence[str], values: Mapping[str, Any]) -> tuple[KeyPart, ...]:
    """The key of a row.

    Raises:
        ValueError: a key column is missing, empty or compound.
    """
    parts = []
    for name in columns:
        try:
            parts.append(key_part(values.get(name)))
        except ValueError as error:
            raise ValueError(f"the key column {shown(name)} {error}") from None
    return tuple(parts)


def check_value(value: Any) -> None:
    """Refuse a JSON value that no database keeps.

    Raises:
        ValueError: it holds a NUL, half a surrogate pair or an infinite number, or is nested
            too deeply.
    """
    level = [value]
    depth = 0
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(f"JSON nested deeper than {MAX_DEPTH} levels")
        depth += 1
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise ValueError("a number that is not JSON")
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += item
                below += item.values()
        level = below


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("a NUL character, which no text holds")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair, which is no character") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is too large a number")
    return number


def _integer(text: str) -> int | float:
    # What 64 bits do not hold is a double, as in most readers of JSON (RFC 8259 section 6).
    if len(text) <= 20:
        number = int(text)
        if -(2**63) <= number < 2**63:
            return number
    return _finite(text)


_DECODERS = {
    strict: json.JSONDecoder(
        parse_constant=_refuse_constant,
        parse_float=_finite,
        parse_int=_integer,
        strict=strict,
    )
    for strict in (True, False)
}
