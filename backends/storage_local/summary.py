"""Lines of a listing, decoded as far as somebody looks.

Building an `ObjectSummary` costs as much as reading the record it comes from, and most who
list look at keys and sizes alone. `LazySummary` is one that keeps the record and fills in the
other fields when first asked for.
"""

from __future__ import annotations

from typing import Any

from storage_core.model import ObjectSummary
from storage_local.record import MARKER, Record, brief

# The slots of the frozen base, set past its `__setattr__`.
_set_key = ObjectSummary.__dict__["key"].__set__
_set_size = ObjectSummary.__dict__["size"].__set__
_new = object.__new__


class LazySummary(ObjectSummary):
    """An `ObjectSummary` in all respects: equal to one with the same fields, immutable,
    pickled as one."""

    __slots__ = ("_raw",)

    def __getattr__(self, name: str) -> object:
        # Called for slots that are not filled yet.
        if name not in ObjectSummary.__slots__:
            raise AttributeError(name)
        record = Record(_get_raw(self), trusted=True)
        plain = record.summary(self.key)
        ObjectSummary.__init__(self, *_fields(plain))
        return getattr(self, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ObjectSummary):
            return NotImplemented
        return _fields(self) == _fields(other)

    def __hash__(self) -> int:
        return hash((self.key, self.etag))

    def __reduce__(self) -> tuple[object, ...]:
        return ObjectSummary, _fields(self)

    def __repr__(self) -> str:
        return repr(ObjectSummary(*_fields(self)))


_raw = LazySummary.__dict__["_raw"]
_get_raw, _set_raw = _raw.__get__, _raw.__set__


def _fields(one: ObjectSummary) -> tuple[Any, ...]:
    return one.key, one.size, one.etag, one.modified, one.checksums


def live_summary(raw: bytes, key: str) -> ObjectSummary | None:
    """The line of a listing for a record; None if there is nothing to see.

    Raises:
        IntegrityError: the header is damaged.
    """
    flags, size, expires = brief(raw)
    # Neither a delete marker nor something that may have expired, which takes a closer look.
    if (flags & MARKER or expires) and not Record(raw, trusted=True).live:
        return None
    summary = _new(LazySummary)
    _set_key(summary, key)
    _set_size(summary, size)
    _set_raw(summary, raw)
    return summary
