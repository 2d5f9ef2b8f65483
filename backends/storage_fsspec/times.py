"""When a file was changed, by the many names that filesystems have for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_NAMES = ("mtime", "modified", "last_modified", "LastModified", "modify", "created")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def modified(info: Mapping[str, Any]) -> datetime:
    """The moment, the beginning of 1970 where the filesystem does not tell."""
    for name in _NAMES:
        value = info.get(name)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return _NEVER
