"""The configuration as a whole: profiles by name, from one document and the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from storage_core.config import trust
from storage_core.config.discover import discover, user_data_folder
from storage_core.config.document import Document
from storage_core.config.environment import DEFAULT_PROFILE, read_environment
from storage_core.config.profile import ProfileConfig, Source
from storage_core.config.references import references
from storage_core.config.resolve import no_driver, resolve
from storage_core.config.tree import Tree, flatten, fold, overlay
from storage_core.config.validate import suggest
from storage_core.errors import ConfigError, DriverNotFoundError, ProfileNotFoundError
from storage_core.plugins import find_driver

if TYPE_CHECKING:
    from storage_core.config.gateway import GatewaySettings

TOP_LEVEL = ("default_profile", "gateway", "profiles")
BUILT_IN = Source("built-in")

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class Config:
    """All profiles, as written: references stay unread until a profile is asked for.

    Attributes:
        document: The configuration that was found, None if there is none.
        profiles: Values of each profile by its name, overrides from the environment included.
        default: The default profile's name where one is set, and where.
        gateway_table: Values of the table ``[gateway]``, overrides included.
    """

    document: Document | None
    profiles: Mapping[str, Tree] = field(repr=False)
    default: tuple[str, Source] | None
    gateway_table: Tree = field(default_factory=dict, repr=False)

    @property
    def path(self) -> Path | None:
        """Path of the configuration that was found."""
        return self.document.path if self.document else None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the profiles, the built-in ``local`` and ``memory`` last."""
        return tuple(self.profiles)

    @property
    def default_profile(self) -> str:
        """The profile used when none is named: ``$STORAGE_DEFAULT_PROFILE``, then
        ``default_profile``, then the only profile of the configuration (or of
        the environment), then ``local`` if there are none.

        Raises:
            ProfileNotFoundError: there are several profiles and no default.
        """
        if self.default:
            return self.default[0]
        written = [name for name in self.profiles if name in self._written()]
        own = written or [n for n in self.profiles if self.origin(n).kind == "environment"]
        if len(own) == 1:
            return own[0]
        if not own:
            return "local"
        raise ProfileNotFoundError(
            f"{self.path or 'the environment'}: several profiles and no default_profile; name one"
            f" of {', '.join(own)}, or set default_profile"
        )

    def profile(self, name: str | None = None) -> ProfileConfig:
        """Resolve a profile.

        Args:
            name: Its name; None for the default profile.

        Raises:
            ProfileNotFoundError: there is no such profile, or no default.
            ConfigError: a wrong option, a reference that yields nothing, or a configuration
                that must be trusted first.
        """
        name = name or self.default_profile
        tree = self.tree(name)
        document = self.document
        found = trust.needs_trust(document, tree) if document else None
        if document and found and not trust.is_trusted(document):
            if ("driver",) not in tree:
                raise no_driver(f"{self.origin(name)}: profiles.{name}")
            table = ("profiles", name)
            raise trust.refuse(document, table, *found, also=_unknown_driver(tree))
        return resolve(name, tree, origin=self.origin(name))

    def gateway(self) -> GatewaySettings:
        """The settings of a gateway; the default ones without a table ``[gateway]``.

        Raises:
            ConfigError: a wrong setting, a reference that yields nothing, or a configuration
                that must be trusted first.
        """
        from storage_core.config.gateway_table import TABLE, gateway_settings

        document = self.document
        found = trust.gateway_needs_trust(self.gateway_table)
        if document and found and not trust.is_trusted(document):
            raise trust.refuse(document, (TABLE,), *found)
        return gateway_settings(self.gateway_table, self.profiles)

    def tree(self, name: str) -> Tree:
        """The values of a profile as written, by names inside it.

        Raises:
            ProfileNotFoundError: there is no such profile.
        """
        tree = self.profiles.get(name)
        if tree is None:
            raise ProfileNotFoundError(self._missing(name))
        return tree

    def origin(self, name: str) -> Source:
        """Where a profile is written; the environment for one that only exists there."""
        tree = self.profiles[name]
        kinds = {leaf.source.kind for leaf in tree.values()}
        if self.document and name in self._written():
            return self.document.source(("profiles", name))
        if kinds == {"environment"}:
            return Source("environment", next(iter(tree.values())).source.name)
        return BUILT_IN

    def _written(self) -> Mapping[str, object]:
        return self.document.table.get("profiles", {}) if self.document else {}

    def _missing(self, name: str) -> str:
        says = ""
        none = "there is no configuration, and no built-in profile"
        missing = f"{self.path} has no profile {name!r}" if self.path else f"{none} {name!r}"
        if self.default and self.default[0] == name:
            says = f"{self.default[1]}: the default profile {name!r} does not exist; "
        return f"{says}{missing}{suggest(name, self.profiles)}"


def _unknown_driver(tree: Tree) -> str:
    """What is wrong with the driver's name: to trust the configuration would not help then."""
    leaf = tree[("driver",)]
    if not isinstance(leaf.value, str) or any(references(leaf.value)):
        return ""
    try:
        find_driver(leaf.value)
    except DriverNotFoundError as error:
        return f"{leaf.source}: {error.message}"
    except ConfigError:
        pass  # offered twice; opening it tells
    return ""


def load_config(path: str | os.PathLike[str] | None = None) -> Config:
    """Find and read the configuration; see `storage_core.config.discover` for the places.

    Without one there are the built-in profiles: ``local``, which stores in the user's data
    folder, and ``memory``.

    Args:
        path: Read this one instead of looking.

    Raises:
        ConfigError: it can not be read or has a wrong shape, or the environment overrides
            something that can not be.
    """
    document = discover(path)
    environment = read_environment()
    profiles = _written_profiles(document) if document else {}
    profiles |= {n: t for n, t in _built_in().items() if n not in profiles}
    profiles = _overlaid(profiles, environment.profiles)
    default = None
    if environment.default_profile:
        default = environment.default_profile, Source("environment", DEFAULT_PROFILE)
    elif document and "default_profile" in document.table:
        default = _default(document)
    gateway = overlay(_written_gateway(document) if document else {}, environment.gateway)
    return Config(document, profiles, default, gateway)


def _written_profiles(document: Document) -> dict[str, Tree]:
    for key in document.table:
        if key not in TOP_LEVEL:
            raise ConfigError(
                f"{document.source((str(key),))}: unknown key {key!r}{suggest(str(key), TOP_LEVEL)}"
            )
    tables = document.table.get("profiles", {})
    if not isinstance(tables, Mapping):
        raise ConfigError(
            f"{document.source(('profiles',))}: profiles is not a table; write [profiles.<name>]"
        )
    return {name: _written_profile(document, name, table) for name, table in tables.items()}


def _written_profile(document: Document, name: object, table: object) -> Tree:
    place = document.source(("profiles", str(name)))
    if not isinstance(name, str) or not _NAME.fullmatch(name) or "__" in name:
        raise ConfigError(
            f"{place}: {name!r} can not name a profile: use letters, digits and single . _ -,"
            " beginning and ending with a letter or digit"
        )
    if not isinstance(table, Mapping):
        raise ConfigError(f"{place}: profiles.{name} is not a table; write [profiles.{name}]")
    return flatten(table, lambda keys: document.source(("profiles", name, *keys)))


def _written_gateway(document: Document) -> Tree:
    table = document.table.get("gateway", {})
    if not isinstance(table, Mapping):
        raise ConfigError(
            f"{document.source(('gateway',))}: gateway is not a table; write [gateway]"
        )
    return flatten(table, lambda keys: document.source(("gateway", *keys)))


def _default(document: Document) -> tuple[str, Source]:
    name = document.table["default_profile"]
    source = document.source(("default_profile",))
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{source}: default_profile is not the name of a profile")
    return name, source


def _built_in() -> dict[str, Tree]:
    # A name, so that all who open the profile in one process see the same objects.
    tables = {"local": {"driver": "local"}, "memory": {"driver": "memory", "name": "default"}}
    try:
        # "${" begins a reference, and may stand in a folder's name.
        tables["local"]["root"] = str(user_data_folder()).replace("${", "$${")
    except ConfigError:  # no home; `memory` works all the same
        del tables["local"]
    return {name: flatten(table, lambda _: BUILT_IN) for name, table in tables.items()}


def _overlaid(profiles: dict[str, Tree], above: Tree) -> dict[str, Tree]:
    """The profiles with what the environment overrides or adds."""
    spelt = {fold(name): [n for n in profiles if fold(n) == fold(name)] for name in profiles}
    changed = dict(profiles)
    for folded in dict.fromkeys(keys[0] for keys in above):
        names = spelt.get(folded, [folded])
        tree = {keys[1:]: leaf for keys, leaf in above.items() if keys[0] == folded}
        if len(names) > 1:
            variable = next(iter(tree.values())).source
            raise ConfigError(
                f"{variable}: stands for the profiles {' and '.join(names)} alike; rename one"
            )
        changed[names[0]] = overlay(profiles.get(names[0], {}), tree)
    return changed
