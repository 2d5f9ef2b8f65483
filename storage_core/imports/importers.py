"""Importers by name, from the entry-point group ``storage_core.importers``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from storage_core.errors import ConfigError
from storage_core.plugins import find_entry, names, owner

if TYPE_CHECKING:
    from storage_core.imports.model import Importer

GROUP: Final = "storage_core.importers"


def importer_names() -> list[str]:
    """Names of the importers that are installed."""
    return names(GROUP)


def load_importer(name: str) -> Importer:
    """Import the importer of a file type.

    Raises:
        ConfigError: none of that name is installed, two distributions offer it, or it can not
            be imported.
    """
    entry = find_entry(GROUP, "importer", name)
    if entry is None:
        raise ConfigError(
            f"no importer is called {name!r}; installed are: {', '.join(importer_names())}"
        )
    try:
        loaded = entry.load()
    except Exception as error:
        raise ConfigError(
            f"the importer {name!r} of {owner(entry)} can not be imported ({entry.value}):"
            f" {type(error).__name__}: {error}"
        ) from error
    if not callable(loaded):
        raise ConfigError(
            f"the importer {name!r} of {owner(entry)} is not usable: {entry.value} can not be"
            " called"
        )
    return cast("Importer", loaded)
