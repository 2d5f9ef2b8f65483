"""Texts for people: sizes, times and durations; and nothing a terminal could obey."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from storage_core.cli.status import UsageError

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

# Control characters, line separators, marks that reorder text, and lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_DURATION = re.compile(r"(\d{1,9})([smhdw]?)", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?(B|[KMGT](?:i?B)?|)", re.ASCII | re.IGNORECASE)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def size_text(size: int) -> str:
    """A size in bytes with at most four digits and its unit, such as ``1.2 KiB``."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


def size_pair(done: int, total: int | None) -> str:
    """Bytes done of a total in the unit of the larger one, such as ``1.5/32.0 MiB``."""
    if total is None:
        return size_text(done)
    power = next((power for power in range(len(_UNITS)) if total < 1000 * 1024**power), 6)
    if not power:
        return f"{done}/{total} B"
    return f"{done / 1024**power:.1f}/{total / 1024**power:.1f} {_UNITS[power]}"


def count(number: int, thing: str) -> str:
    """A number of things, such as ``1 bucket`` and ``2 buckets``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def time_text(moment: datetime | None) -> str:
    """A moment in the local time zone, to the second."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso_text(moment: datetime) -> str:
    """A moment by RFC 3339, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def clean(text: str) -> str:
    """A key or message that can be shown: what a terminal could obey, or what would break
    the line, is written as an escape. Exact texts are what JSON is for."""
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def parse_duration(text: str) -> int:
    """Seconds of a duration such as ``900``, ``15m``, ``2h``, ``7d`` or ``1w``.

    Raises:
        UsageError: it is none, or zero.
    """
    found = _DURATION.fullmatch(text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not seconds:
        raise UsageError(f"{text!r} is not a duration; write seconds, or such as 15m, 2h, 7d, 1w")
    return seconds


def parse_size(text: str) -> int:
    """Bytes of a size such as ``65536``, ``64K``, ``8MiB``, ``1.5G`` or ``10MB``: K, M, G and T
    are powers of 1024 as KiB is, KB is 1000.

    Raises:
        UsageError: it is none, or less than a byte.
    """
    found = _SIZE.fullmatch(text)
    size = int(float(found[1]) * _scale(found[2].upper())) if found else 0
    if not size:
        raise UsageError(f"{text!r} is not a size; write bytes, or such as 64K, 8MiB, 1.5G, 10MB")
    return size


def _scale(unit: str) -> int:
    if unit in {"", "B"}:
        return 1
    base = 1000 if unit[1:] == "B" else 1024
    return int(base ** (1 + "KMGT".index(unit[0])))


def parse_pairs(texts: list[str] | None, what: str) -> dict[str, str]:
    """Texts of the form ``NAME=VALUE`` as a mapping; the value may hold further ``=``.

    Raises:
        UsageError: a text without ``=`` or name, or a name given twice.
    """
    pairs: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"{what} {text!r} is not of the form NAME=VALUE")
        if name in pairs:
            raise UsageError(f"{what} {name!r} is given twice")
        pairs[name] = value
    return pairs
