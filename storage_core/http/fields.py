"""Header fields of an answer, taken apart only as far as somebody asks.

Most answers are asked for one or two of their dozen fields, and finding these in the text takes
a fraction of what filling a dictionary does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping
from itertools import repeat
from operator import itemgetter
from typing import Any, TypeAlias

_shapes: dict[tuple[str, ...], tuple[str, ...]] = {}
"""The names of all fields of heads seen so far, as they were sent and in lower case, where none
is repeated. A service has few such rows of names; bounded, as metadata can have any name."""
_needles: dict[str, str] = {}
"""How a name that is asked for stands in a head. They come from code and so are few."""
_SEPARATORS = repeat(": ")

Names: TypeAlias = tuple[str, ...]
Row: TypeAlias = re.Pattern[str]
"""Fits the good heads of HTTP/1.1 that have just these names, each once, and whose values need no
stripping; it has a group for each value, and one more that never takes part."""
_SHOWN = r"\x20-\x7e\x80-\xff"  # and tabs, in values (RFC 9112)
NO_ROW = re.compile("(?!)")
_ROWS = 256
_rows: dict[Names, Row | None] = {}
"""Rows by their names; None for names that were seen once. To compile one takes as long as a
hundred answers do without it. Bounded."""
_places: dict[Row, Names] = {}
"""The names of each row in lower case."""


class Fields(Mapping[str, str]):
    """Fields by their names in lower case; the values of repeated ones are joined.

    Args:
        head: An answer's, from the status line to the last field, that was found good.
        match: Of the row it fits, if that is known.
    """

    __slots__ = ("_found", "_head", "_lower", "_match")

    def __init__(self, head: str, match: re.Match[str] | None = None) -> None:
        self._head = head
        self._match = match
        self._lower: str | None = None
        self._found: dict[str, str] | None = None

    def all(self) -> dict[str, str]:
        """All of them, for who asks for many. Not to be changed."""
        found = self._found
        if found is None:
            self._found = found = parse_fields(self._head)
        return found

    def get(self, key: str, default: Any = None) -> Any:
        if self._found is not None:
            return self._found.get(key, default)
        needle = _needles.get(key) or _needle(key)
        lower = self._lower
        if lower is None:  # of Latin-1, so that each character stays where it is
            self._lower = lower = self._head.lower()
        start = lower.find(needle)
        if start < 0:
            return default
        start += len(needle)
        stop = lower.find("\r\n", start)
        if stop < 0:
            return self._head[start:].strip(" \t")
        if lower.find(needle, stop) >= 0:
            return self.all()[key]
        return self._head[start:stop].strip(" \t")

    def __getitem__(self, key: str) -> str:
        return self.all()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.all()

    def __iter__(self) -> Iterator[str]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self.all())

    def keys(self) -> KeysView[str]:
        return self.all().keys()

    def items(self) -> ItemsView[str, str]:
        return self.all().items()

    def __repr__(self) -> str:
        return f"<Fields {', '.join(self.all())}>"  # values may be secrets


def _needle(name: str) -> str:
    needle = f"\r\n{name}:"
    if len(_needles) < 1024:
        _needles[name] = needle
    return needle


def plain(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The same fields in the form that is quickest to ask for many of them."""
    return headers.all() if type(headers) is Fields else headers


def parse_fields(head: str) -> dict[str, str]:
    """All fields of a head that llhttp found good; names in lower case, the values of repeated
    ones joined."""
    lines = head.split("\r\n")
    del lines[0]
    if not lines:
        return {}
    names, _, values = zip(*map(str.partition, lines, _SEPARATORS), strict=True)
    lowered = _shapes.get(names)
    if lowered is not None and not (
        ":  " in head or "\t" in head or " \r" in head or head[-1] == " "
    ):
        return dict(zip(lowered, values, strict=True))
    found: dict[str, str] = {}
    for line in lines:
        raw, _, value = line.partition(":")
        name = raw.lower()
        value = value.strip(" \t")
        found[name] = f"{found[name]}, {value}" if name in found else value
    if len(found) == len(lines) and len(_shapes) < 1024:
        _shapes[tuple([line.partition(":")[0] for line in lines])] = tuple(found)
    return found


class Pick:
    """Takes the same few fields out of one answer after the other.

    A service answers one kind of request with the same row of names nearly every time. One
    regular expression tells that it did so again, and where the values stand; in any other
    answer they are looked up by their names.

    Args:
        names: In lower case, two at least. One that ends in ``*`` stands for all that begin
            so, and gives the first of them.
    """

    __slots__ = ("_last", "_names")

    def __init__(self, *names: str) -> None:
        self._names = names
        # Taken and replaced as a whole, as threads share it.
        self._last: tuple[Row, Callable[[re.Match[str]], tuple[str | None, ...]]]
        self._last = NO_ROW, itemgetter(0, 0)

    def __call__(self, headers: Mapping[str, str]) -> tuple[str | None, ...]:
        """The values in the order of the names; None for those that are not there."""
        if type(headers) is not Fields:
            return self._looked_up(headers)
        row, take = self._last
        found = headers._match
        if found is None:
            headers._match = found = row.fullmatch(headers._head)
            if found is None:
                return self._other(headers)
        elif found.re is not row:
            take = self._turn(found.re)
        return take(found)

    def _other(self, headers: Fields) -> tuple[str | None, ...]:
        """Out of an answer with other names than the last one's."""
        row = row_of(headers._head)
        if row is None or (found := row.fullmatch(headers._head)) is None:
            return self._looked_up(headers.all())
        headers._match = found
        return self._turn(row)(found)

    def _turn(self, row: Row) -> Callable[[re.Match[str]], tuple[str | None, ...]]:
        """Get ready for answers with the names of a row."""
        known = _places[row]
        places = [next(_matching(name, known), row.groups) for name in self._names]
        take = itemgetter(*places)
        self._last = row, take
        return take

    def _looked_up(self, headers: Mapping[str, str]) -> tuple[str | None, ...]:
        known = tuple(headers)
        return tuple(
            [
                headers[known[place - 1]] if (place := next(_matching(name, known), 0)) else None
                for name in self._names
            ]
        )


def _matching(wanted: str, names: Names) -> Iterator[int]:
    """Places, counted from one, of the names that are meant."""
    start = wanted.removesuffix("*")
    for place, name in enumerate(names, 1):
        if name == wanted or (start != wanted and name.startswith(start)):
            yield place


def row_of(head: str) -> Row | None:
    """The row of a head's names, None if it is not known (yet)."""
    names = tuple([line.partition(":")[0] for line in head.split("\r\n")[1:]])
    if names not in _rows:
        if len(_rows) < 1024:
            _rows[names] = None
        return None
    row = _rows[names]
    if row is None and len(_places) < _ROWS:
        _rows[names] = row = _compiled(names)
    return row


def place_in(row: Row, name: str) -> int:
    """The group of a row that has the value of a field; 0 if it has no such field."""
    return next(_matching(name, _places.get(row, ())), 0)


def _compiled(names: Names) -> Row:
    lowered = tuple([name.lower() for name in names])
    if len(set(lowered)) < len(names) or len(names) > 64:
        return NO_ROW
    value = rf": (?![ \t])([\t{_SHOWN}]*+)(?<![ \t])"
    lines = "".join([rf"\r\n{re.escape(name)}{value}" for name in names])
    row = re.compile(rf"HTTP/1\.1 [0-9]{{3}}(?: [{_SHOWN}]*+)?+{lines}(?:(?!)())?")
    _places[row] = lowered
    return row
