"""Header fields of an answer, taken apart only as far as somebody asks.

Most answers are asked for one or two of their dozen fields, and finding these in the text takes
a fraction of what filling a dictionary does.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping
from itertools import repeat
from typing import Any

_shapes: dict[tuple[str, ...], tuple[str, ...]] = {}
"""The names of all fields of heads seen so far, as they were sent and in lower case, where none
is repeated. A service has few such rows of names; bounded, as metadata can have any name."""
_needles: dict[str, str] = {}
"""How a name that is asked for stands in a head. They come from code and so are few."""
_SEPARATORS = repeat(": ")


class Fields(Mapping[str, str]):
    """Fields by their names in lower case; the values of repeated ones are joined.

    Args:
        head: An answer's, from the status line to the last field, that llhttp found good.
    """

    __slots__ = ("_found", "_head", "_lower")

    def __init__(self, head: str) -> None:
        self._head = head
        self._lower = head.lower()  # of Latin-1, so that each character stays where it is
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
