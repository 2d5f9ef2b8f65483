"""From the table ``[gateway]`` to `GatewaySettings`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from storage_core.config.gateway import GatewaySettings
from storage_core.config.profile import ProfileConfig, Source
from storage_core.config.references import expand
from storage_core.config.resolve import REFERENCE_SOURCES
from storage_core.config.tree import Keys, Leaf, Tree, dotted, unflatten
from storage_core.config.validate import (
    absolute,
    model_fields,
    nested_fields,
    parse_table,
    prepare,
    suggest,
)
from storage_core.errors import ConfigError

TABLE: Final = "gateway"
SQLITE: Final = "sqlite:///"


def gateway_settings(tree: Tree, profiles: Iterable[str]) -> GatewaySettings:
    """Check the table.

    Lists from the environment are JSON; the path of an SQLite database counts from the
    configuration it is written in.

    Args:
        tree: The values, by names inside the table.
        profiles: Names of the profiles there are.

    Raises:
        ConfigError: naming every unknown or wrong setting with its line.
    """
    sources = {".".join(keys): leaf.source for keys, leaf in tree.items()}
    draft = ProfileConfig(name=TABLE, driver="", sources=sources)

    def where(keys: Keys) -> str:
        source = draft.source(*keys)
        label = dotted((TABLE, *keys))
        return f"{source}: {label}" if source.kind == "file" else str(source)

    secrets: set[str] = set()
    resolved: Tree = {}
    for keys, leaf in tree.items():
        resolved[keys] = Leaf(_value(keys, leaf, where(keys), secrets), leaf.source)
    settings = parse_table(GatewaySettings, unflatten(resolved), where, secrets)
    _check_profiles(settings, set(profiles), where)
    return settings


def annotation_of(keys: Keys) -> Any:
    """Type of the setting under some keys, None for an unknown one."""
    fields = model_fields(GatewaySettings)
    annotation = None
    for key in keys:
        annotation = fields.get(key)
        fields = {} if annotation is None else nested_fields(annotation)
    return annotation


def _value(keys: Keys, leaf: Leaf, place: str, secrets: set[str]) -> Any:
    value = leaf.value
    folder = Path(leaf.source.name).parent if leaf.source.kind == "file" else None
    if leaf.source.kind in REFERENCE_SOURCES:
        value = expand(value, folder, place, secrets)
    value = prepare(value, annotation_of(keys), leaf.source, lambda: place)
    if keys[-1] == "database" and isinstance(value, str):
        value = _anchored(value, leaf.source)
        secrets.add(value)
    return value


def _anchored(url: str, source: Source) -> str:
    if not url.startswith(SQLITE) or url == SQLITE:
        return url
    path = url.removeprefix(SQLITE)
    return SQLITE + absolute(path, source.name if source.kind == "file" else None)


def _check_profiles(settings: GatewaySettings, known: set[str], where: Any) -> None:
    for keys, names in (
        (("profiles",), settings.profiles),
        (("z3", "profile"), (settings.z3.profile,)),
    ):
        for name in names:
            if name and name not in known:
                raise ConfigError(
                    f"{where(keys)}: there is no profile {name!r}{suggest(name, known)}"
                )
    served = settings.profiles
    if served and settings.z3.profile not in ("", *served):
        raise ConfigError(
            f"{where(('z3', 'profile'))}: {settings.z3.profile!r} is not among gateway.profiles;"
            " add it there"
        )


def default_rows() -> Iterable[tuple[Keys, Any]]:
    """Every setting with its default."""
    return _defaults(GatewaySettings(), ())


def _defaults(settings: Any, above: Keys) -> Iterable[tuple[Keys, Any]]:
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from _defaults(value, (*above, field.name))
        else:
            yield (*above, field.name), value
