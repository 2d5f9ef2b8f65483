"""What a link server serves, and how each worker opens it for itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from storage_core.aio import AsyncStorage
from storage_core.blocking.storage import Storage
from storage_core.opening import Recipe, from_profile


@dataclass(frozen=True, slots=True)
class ServedProfile:
    """A profile by its name. It is looked up whenever a worker starts, so that a new worker
    goes by the configuration as it is then.

    Attributes:
        name: None for the default profile.
        config: Where the configuration is; None to look in the usual places.
    """

    name: str | None = None
    config: str | None = None


Source: TypeAlias = Storage | AsyncStorage | Recipe | ServedProfile | Mapping[str, Any] | str | None
"""What can be served: a storage, which is opened a second time and left alone itself; a
profile by its name (None: the default one), or with the place of its configuration; or a
profile as a mapping."""


def recipe_of(source: Source) -> Recipe:
    """How to open a source anew, with a driver of its own.

    Raises:
        ConfigError: the profile can not be had.
    """
    if isinstance(source, Storage | AsyncStorage):
        source = source._recipe
    if isinstance(source, Recipe):
        return Recipe(
            # A driver is made again from its settings: an open one belongs to somebody.
            copy.deepcopy(source.driver),
            profile=source.profile,
            retry=source.retry,
            links=source.links,
            capabilities=source.capabilities,
            bucket=source.bucket,
            now=source.now,
        )
    if isinstance(source, ServedProfile):
        return from_profile(source.name, source.config)
    if isinstance(source, Mapping):
        return from_profile(None, source)
    return from_profile(source, None)


def recipes_of(
    source: Source | Sequence[Source], profiles: tuple[str, ...] = ()
) -> tuple[Recipe, ...]:
    """How to open what is to be served, the first profile first.

    Args:
        source: One or several; None stands for ``profiles``.
        profiles: Names, the default profile when empty.

    Raises:
        ConfigError: a profile can not be had.
    """
    return tuple(map(recipe_of, sources_of(source, profiles)))


def sources_of(
    source: Source | Sequence[Source], profiles: tuple[str, ...] = ()
) -> tuple[Source, ...]:
    """The sources one by one; see `recipes_of`."""
    if source is None and profiles:
        return profiles
    if isinstance(source, Sequence) and not isinstance(source, str):
        return tuple(source)
    return (source,)


def for_workers(source: Source) -> Recipe | ServedProfile | Mapping[str, Any]:
    """A source as worker processes are sent it: what is open stays here, and a profile is
    named, not read.

    Raises:
        ConfigError: the profile can not be had, which would be each worker's failure.
    """
    recipe = recipe_of(source)
    if isinstance(source, Storage | AsyncStorage | Recipe):
        return recipe
    return source if isinstance(source, ServedProfile | Mapping) else ServedProfile(source)
