"""Overrides from the environment: ``STORAGE_PROFILES__<NAME>__<FIELD>``, and of the gateway
``STORAGE_GATEWAY__<FIELD>``.

Names have no case; ``__`` separates the levels, also inside tables such as ``links``. Values
are text, which the model of the setting reads: ``true``, ``300``, JSON for lists and tables.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage_core.config.profile import Source
from storage_core.config.tree import Keys, Tree, flatten
from storage_core.errors import ConfigError

CONFIG = "STORAGE_CONFIG"
DEFAULT_PROFILE = "STORAGE_DEFAULT_PROFILE"
PREFIX = "STORAGE_"
PROFILES = "STORAGE_PROFILES__"
GATEWAY = "STORAGE_GATEWAY__"
DELIMITER = "__"


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment sets.

    Attributes:
        default_profile: ``$STORAGE_DEFAULT_PROFILE``, None if unset or empty.
        profiles: Values by profile and names in lower case.
        gateway: Values by names in lower case.
    """

    default_profile: str | None
    profiles: Tree
    gateway: Tree


def read_environment() -> Environment:
    """Read the overrides of this process's environment.

    Raises:
        ConfigError: a variable names no setting, or a table where a value belongs.
    """
    names = {name.lower(): name for name in os.environ}
    default = os.environ.get(names.get(DEFAULT_PROFILE.lower(), DEFAULT_PROFILE)) or None
    # STORAGE_PROFILES itself, without a name behind it, is refused below.
    used = {
        prefix: [name for name in names if f"{name}{DELIMITER}".startswith(prefix.lower())]
        for prefix in (PROFILES, GATEWAY)
    }
    for prefix, found in used.items():
        _check(prefix, found, names)
    # pydantic-settings takes longer to import than everything else here together.
    tables = _nested() if any(used.values()) else {"profiles": {}, "gateway": {}}
    return Environment(
        default,
        _tree(PROFILES, tables["profiles"], names, used[PROFILES]),
        _tree(GATEWAY, tables["gateway"], names, used[GATEWAY]),
    )


def _check(prefix: str, used: list[str], names: Mapping[str, str]) -> None:
    """Refuse variables that name a table, or nothing.

    Args:
        prefix: Of the variables.
        used: Those that begin with it, in lower case.
        names: The variables as they are spelt, by lower-case name.
    """
    least, what, form = _FORMS[prefix]
    for name in used:
        parts = name.removeprefix(prefix.lower()).split(DELIMITER)
        if len(parts) < least or not all(parts) or f"{name}{DELIMITER}" == prefix.lower():
            raise ConfigError(f"${names[name]}: names no setting of {what}; write {form}")


_FORMS = {
    PROFILES: (2, "a profile", f"{PROFILES}<NAME>{DELIMITER}<FIELD>"),
    GATEWAY: (1, "the gateway", f"{GATEWAY}<FIELD>"),
}
"""By prefix: parts that name a setting, of what, and how it is written."""


def _tree(prefix: str, table: dict[str, Any], names: Mapping[str, str], used: list[str]) -> Tree:
    """The values below a prefix, from their nested table."""

    def source(keys: Keys) -> Source:
        name = prefix.lower() + DELIMITER.join(keys)
        return Source("environment", names.get(name, name.upper()))

    tree = flatten(table, source)
    if missing := sorted(set(used) - {prefix.lower() + DELIMITER.join(keys) for keys in tree}):
        raise ConfigError(
            f"${names[missing[0]]}: another variable gives the table it belongs to a plain value,"
            " or the other way round; unset one"
        )
    return tree


def _nested() -> dict[str, dict[str, Any]]:
    """The variables as nested tables of plain text, by pydantic-settings."""
    from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource
    from pydantic_settings import SettingsConfigDict as Options

    class Variables(EnvSettingsSource):
        def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
            # JSON would turn a secret of digits into a number.
            return value

    class Overrides(BaseSettings):
        model_config = Options(env_prefix=PREFIX, env_nested_delimiter=DELIMITER, extra="ignore")

        profiles: dict[str, dict[str, Any]] = {}
        gateway: dict[str, Any] = {}

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: Any, **__: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (Variables(settings_cls),)

    found = Overrides()
    return {"profiles": found.profiles, "gateway": found.gateway}
