"""Modules that an extra brings, and what is told where they are missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from storage_core.errors import ConfigError

EXTRAS: Final[Mapping[str, str]] = {
    "alembic": "gateway",
    "huey": "gateway",
    "limits": "gateway",
    "opentelemetry": "otel",
    "prometheus_client": "gateway",
    "sqlalchemy": "gateway",
}


@contextmanager
def named_extras() -> Iterator[None]:
    """Have a missing module tell what to install.

    Raises:
        ConfigError: so.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise ConfigError(
            f"the gateway needs {error.name}; run: pip install 'storage-core[{extra}]'"
        ) from error
