"""Dates as HTTP and its services write them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}


@lru_cache(maxsize=4096)
def parse_http_date(text: str) -> datetime:
    """An IMF-fixdate (RFC 9110 section 5.6.7), such as ``Sun, 06 Nov 1994 08:49:37 GMT``.

    Raises:
        ValueError: it is none.
    """
    if text[25:] != " GMT":
        return _parse_obsolete(text)
    try:
        return datetime(
            int(text[12:16]),
            _NUMBERS[text[8:11]],
            int(text[5:7]),
            int(text[17:19]),
            int(text[20:22]),
            int(text[23:25]),
            tzinfo=UTC,
        )
    except (KeyError, ValueError):
        return _parse_obsolete(text)


def _parse_obsolete(text: str) -> datetime:
    from email.utils import parsedate_to_datetime  # costs an import that is hardly ever needed

    try:
        found = parsedate_to_datetime(text)
        if not found.tzinfo and text[-4:].isdigit():  # asctime ends with the year
            return found.replace(tzinfo=UTC)
        if found.tzinfo:
            return found.astimezone(UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        pass
    raise ValueError(f"{text!r} is not an HTTP date")


def format_http_date(moment: datetime) -> str:
    """The IMF-fixdate of an aware moment, seconds cut."""
    utc = moment.astimezone(UTC)
    return (
        f"{_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month - 1]} {utc.year:04}"
        f" {utc.hour:02}:{utc.minute:02}:{utc.second:02} GMT"
    )


@lru_cache(maxsize=4096)
def parse_iso_date(text: str) -> datetime:
    """A moment as XML and JSON answers write it (RFC 3339), such as
    ``2026-01-31T12:00:00.000Z``; digits past microseconds are cut.

    Raises:
        ValueError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not an RFC 3339 date") from None
