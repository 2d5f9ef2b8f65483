"""Which keys take part: patterns of `fnmatch` over the whole key below the root."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate

from storage_core.transfer.entries import Entry
from storage_core.transfer.rules import Rules


class Filter:
    """Lets through what matches any include, if there are some, and no exclude.

    ``*`` matches ``/`` too; upper and lower case differ on every system.

    Args:
        rules: Whose patterns are used.
    """

    def __init__(self, rules: Rules) -> None:
        self._include = _any_of(rules.include)
        self._exclude = _any_of(rules.exclude)

    def takes(self, key: str) -> bool:
        """Whether a key takes part."""
        return (self._include is None or self._include(key) is not None) and (
            self._exclude is None or self._exclude(key) is None
        )

    def of(self, entries: list[Entry]) -> list[Entry]:
        """Those of the entries that take part. A folder that can not be read does unless it is
        excluded: what is in it might."""
        if self._include is None and self._exclude is None:
            return entries
        return [
            entry
            for entry in entries
            if self.takes(entry.key)
            or (
                entry.error is not None
                and entry.key.endswith("/")
                and (self._exclude is None or self._exclude(entry.key) is None)
            )
        ]


def _any_of(patterns: Iterable[str]) -> Callable[[str], re.Match[str] | None] | None:
    expressions = [translate(pattern) for pattern in patterns]
    return re.compile("|".join(expressions)).match if expressions else None
