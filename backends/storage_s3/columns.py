"""Many values of the model at once, filled column by column.

A thousand calls of a frozen dataclass's `__init__` take longer than reading the page they
come from; loops that run in C take a third.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import fields
from itertools import repeat
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Columns(Generic[T]):
    """Makes values of one frozen dataclass with slots and without `__post_init__`.

    Args:
        kind: The class.
    """

    __slots__ = ("_fill", "_kind")

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
        self._fill = [getattr(kind, name).__set__ for name in names]

    def rows(self, count: int, *columns: Iterable[Any]) -> list[T]:
        """Values, as many as ``count``.

        Args:
            count: Of the items in each column; an endless one will do too.
            columns: One for each field, in their order.
        """
        made = list(map(object.__new__, repeat(self._kind, count)))
        for fill, column in zip(self._fill, columns, strict=True):
            deque(map(fill, made, column), maxlen=0)
        return made
