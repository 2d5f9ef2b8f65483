"""Preconditions and ranges of HTTP requests (RFC 9110 sections 13 and 14). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeAlias

from storage_core.model import ObjectInfo

Verdict: TypeAlias = Literal["go", "not_modified", "failed"]
Tags: TypeAlias = tuple[str, ...] | Literal["*"]

CONDITIONAL: Final = frozenset(
    ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
)
"""Headers that `Preconditions` are made of."""
ANY: Final = "*"
"""The wildcard; an entity tag that is quoted as ``"*"`` is no wildcard."""

# An entity tag, also as careless clients write it: without its quotes.
_TAG = re.compile(r'(W/)?(?:"([\x21\x23-\x7e\x80-\xff]*)"|([^\s",]+))')
_RANGE = re.compile(r"bytes=[ \t]*(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The conditional headers of one request.

    Attributes:
        match: Strong tags of If-Match, `ANY`, or None without the header.
        none_match: Tags of If-None-Match likewise, weak ones included.
    """

    match: Tags | None = None
    none_match: Tags | None = None
    modified_since: datetime | None = None
    unmodified_since: datetime | None = None

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> Preconditions:
        """From headers with lower-case names. A malformed date is ignored, as the RFC says."""
        return cls(
            parse_tags(headers.get("if-match"), weak=False),
            parse_tags(headers.get("if-none-match"), weak=True),
            parse_date(headers.get("if-modified-since")),
            parse_date(headers.get("if-unmodified-since")),
        )

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self != _NONE

    def check(self, info: ObjectInfo | None, *, reading: bool) -> Verdict:
        """Judge in the order of RFC 9110 section 13.2.2.

        Args:
            info: The object as it is, None if there is none.
            reading: Whether the method is GET or HEAD.
        """
        if self.match is not None:
            if info is None or not (self.match == ANY or info.etag in self.match):
                return "failed"
        elif self.unmodified_since is not None and (
            info is None or whole_second(info.modified) > self.unmodified_since
        ):
            return "failed"
        if self.none_match is not None:
            if info is not None and (self.none_match == ANY or info.etag in self.none_match):
                return "not_modified" if reading else "failed"
        elif (
            reading
            and info is not None
            and self.modified_since is not None
            and whole_second(info.modified) <= self.modified_since
        ):
            return "not_modified"
        return "go"


_NONE = Preconditions()


def parse_tags(value: str | None, *, weak: bool) -> Tags | None:
    """Entity tags of a header's value; weak ones only with ``weak`` (If-Match compares
    strongly, so that a weak tag never matches)."""
    if value is None:
        return None
    if value.strip() == "*":
        return ANY
    return tuple(
        quoted or bare for is_weak, quoted, bare in _TAG.findall(value) if weak or not is_weak
    )


def parse_date(value: str | None) -> datetime | None:
    """An HTTP date, None if it is missing or malformed."""
    if value is None:
        return None
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def whole_second(moment: datetime) -> datetime:
    """As precise as an HTTP date."""
    return moment.replace(microsecond=0)


def may_range(value: str | None, info: ObjectInfo) -> bool:
    """Whether If-Range (section 13.1.5) lets a range be answered: no header, the current
    strong tag, or exactly the time of the last change."""
    if value is None:
        return True
    value = value.strip()
    if value.startswith('"'):
        return value == f'"{info.etag}"'
    return parse_date(value) == whole_second(info.modified)


def parse_range(value: str | None) -> tuple[int, int | None] | None:
    """First byte and the byte after the last of a Range header: ``(start, stop)``,
    ``(start, None)`` or ``(-length, None)``; ``(0, 0)`` for what no object can satisfy.

    None where the header is to be ignored, as section 14.2 lets a server do: missing,
    malformed, another unit, or several ranges (whole bodies are cheap here, and lists of
    ranges are mostly used to harm).
    """
    if value is None or not (found := _RANGE.fullmatch(value.strip())):
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return (-int(suffix), None) if int(suffix) else (0, 0)
    if last is None:
        return int(first), None
    if int(last) < int(first):
        return None
    return int(first), int(last) + 1
