"""Plug-ins by name, from entry points: drivers, of the group ``storage_core.drivers``, and
whatever else has a group of its own.

Those of this project enter by the same door as those of other distributions. Looking up a name
imports nothing but that plug-in.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage_core.errors import ConfigError, DriverNotFoundError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from storage_core.driver import Driver

GROUP = "storage_core.drivers"

# Drivers of this project that need an extra: driver name to the extra's name.
EXTRAS = {"s3": "s3", "azure": "azure", "gcs": "gcs", "fsspec": "fsspec"}


@dataclass(frozen=True, slots=True)
class DriverInfo:
    """A driver that is installed, not necessarily importable.

    Attributes:
        name: Its name in profiles.
        distribution: The distribution that brings it.
        version: That distribution's version.
        target: Module and class, ``module:Class``.
    """

    name: str
    distribution: str
    version: str
    target: str


def installed_drivers() -> list[DriverInfo]:
    """All drivers that are installed, by name; one offered twice appears twice."""
    return [
        _info(entry)
        for _, entries in sorted(_entry_points(GROUP).items())
        for entry in sorted(entries, key=owner)
    ]


def load_driver(name: str) -> type[Driver]:
    """Import a driver.

    Args:
        name: Its name in profiles.

    Raises:
        DriverNotFoundError: it is not installed, or the extra it needs is not.
        ConfigError: two distributions offer the name, or the driver can not be imported.
    """
    return _load(find_driver(name))


def find_driver(name: str) -> EntryPoint:
    """Look up a driver without importing it.

    Raises:
        DriverNotFoundError: it is not installed.
        ConfigError: two distributions offer the name.
    """
    entry = find_entry(GROUP, "driver", name)
    if entry is None:
        raise DriverNotFoundError(_not_installed(name))
    return entry


def names(group: str) -> list[str]:
    """Names of all plug-ins of a group, in order."""
    return sorted(_entry_points(group))


def find_entry(group: str, what: str, name: str) -> EntryPoint | None:
    """Look up a plug-in without importing it; None if it is not installed.

    Args:
        group: Its entry-point group.
        what: What such a plug-in is called in messages.
        name: Its name.

    Raises:
        ConfigError: two distributions offer the name.
    """
    entries = _entry_points(group).get(name)
    if not entries:
        # It may have been installed since, in a notebook for one.
        _entry_points.cache_clear()
        entries = _entry_points(group).get(name)
    if not entries:
        return None
    if len(entries) > 1:
        owners = " and ".join(f"{owner(e)} ({e.value})" for e in sorted(entries, key=owner))
        raise ConfigError(
            f"the {what} {name!r} is offered by two distributions, {owners}; uninstall one"
        )
    return entries[0]


def owner(entry: EntryPoint) -> str:
    """The distribution that brings a plug-in, and its version."""
    info = _info(entry)
    return f"{info.distribution} {info.version}".strip()


def _load(entry: EntryPoint) -> type[Driver]:
    from storage_core.driver import Driver

    try:
        loaded = entry.load()
    except ModuleNotFoundError as error:
        ours = entry.module.partition(".")[0]
        missing = (error.name or "").partition(".")[0]
        if entry.name in EXTRAS and missing != ours:
            raise DriverNotFoundError(
                f"the driver {entry.name!r} needs {missing!r}, which is not installed:"
                f" {_install(entry.name)}"
            ) from error
        raise _broken(entry, error) from error
    except Exception as error:
        raise _broken(entry, error) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Driver)):
        raise ConfigError(
            f"the driver {entry.name!r} of {owner(entry)} is not usable: {entry.value} is not a"
            " subclass of storage_core.driver.Driver"
        )
    return loaded


def _broken(entry: EntryPoint, error: Exception) -> ConfigError:
    return ConfigError(
        f"the driver {entry.name!r} of {owner(entry)} can not be imported ({entry.value}):"
        f" {type(error).__name__}: {error}"
    )


def _not_installed(name: str) -> str:
    if name in EXTRAS:
        return f"the driver {name!r} is not installed: {_install(name)}"
    import difflib

    found = names(GROUP)
    close = difflib.get_close_matches(name, [*found, *EXTRAS], 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return (
        f"no driver is called {name!r}; {hint}installed are: {', '.join(found) or 'none'}. A"
        " driver of another distribution comes by installing that"
    )


def _install(name: str) -> str:
    return f"pip install 'storage-core[{EXTRAS[name]}]'"


def _info(entry: EntryPoint) -> DriverInfo:
    distribution = entry.dist
    return DriverInfo(
        entry.name,
        distribution.name if distribution else "unknown",
        distribution.version if distribution else "",
        entry.value,
    )


@functools.cache
def _entry_points(group: str) -> Mapping[str, list[EntryPoint]]:
    """Entry points of the group by name; scanning the installed distributions takes
    milliseconds, so once."""
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        found.setdefault(entry.name, []).append(entry)
    return found
