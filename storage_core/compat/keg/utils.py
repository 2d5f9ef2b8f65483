"""Moments as keg-storage takes them, and extras that are not installed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol, TypeAlias, runtime_checkable

from storage_core.errors import ConfigError


@runtime_checkable
class HasDatetime(Protocol):
    """What wraps a datetime, as `arrow.Arrow` does."""

    @property
    def datetime(self) -> datetime: ...


Moment: TypeAlias = datetime | HasDatetime
"""A point in time. One without a time zone is UTC, as keg-storage has it."""


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def as_utc(moment: Moment) -> datetime:
    """The moment as an aware UTC datetime.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(moment, datetime):
        if not isinstance(moment, HasDatetime):
            raise TypeError(f"{moment!r} is not a point in time: use a datetime or an Arrow")
        moment = moment.datetime
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def expire_time_to_seconds(expire_time: Moment, *, now: Callable[[], Moment] = utc_now) -> float:
    """Seconds from now until a moment.

    Raises:
        ValueError: it has passed.
    """
    seconds = (as_utc(expire_time) - as_utc(now())).total_seconds()
    if seconds < 0:
        raise ValueError("Expiration time is in the past")
    return seconds


def missing(error: ImportError, what: str, extra: str) -> ConfigError:
    """What to say of a package that is not installed."""
    return ConfigError(
        f"{what} needs {error.name or error}; run: pip install 'storage-core[{extra}]'"
    )
