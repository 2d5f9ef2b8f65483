"""The configuration for people: every value with its source, secrets masked.

Nothing is resolved for this: references are shown as references, and no secret is read.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from storage_core.config.gateway import SECRETS
from storage_core.config.gateway_table import annotation_of, default_rows
from storage_core.config.load import Config
from storage_core.config.profile import SECRET_MASK, ProfileOptions
from storage_core.config.references import references
from storage_core.config.tree import Keys, Leaf, Tree, dotted
from storage_core.config.validate import OPTION_NAMES, is_secret, model_fields, nested_fields
from storage_core.errors import ConfigError

SECRET_OPTIONS = frozenset({("links", "keys")})

GATEWAY = "[gateway]"
"""Stands for a profile's name; none can be called so."""

_URL = re.compile(r"[a-z0-9+.-]+://", re.ASCII)
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY = re.compile(r"(?<=\?).+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Row:
    """One setting of one profile, or of the gateway.

    Attributes:
        profile: The profile's name, or ``[gateway]``.
        key: Dotted name of the setting inside its table.
        value: The value as text, masked if it is or may be a secret.
        source: Where it comes from, such as ``/srv/app/storage.toml:7`` or ``default``.
    """

    profile: str
    key: str
    value: str
    source: str

    @property
    def is_default(self) -> bool:
        """Whether nobody set the value."""
        return self.source == "default"


def describe(config: Config, profile: str | None = None, *, defaults: bool = False) -> list[Row]:
    """The settings of one profile or of all.

    Values of a driver that can not be imported are masked, since nothing says which of them
    are secret.

    Args:
        config: A loaded configuration, which need not be trusted.
        profile: Name of the only profile wanted.
        defaults: Add the values nobody set.

    Raises:
        ProfileNotFoundError: there is no such profile.
    """
    names = config.names if profile is None else (profile,)
    rows = []
    for name in names:
        tree = config.tree(name)
        known = _known(tree)
        rows += [
            Row(name, dotted(keys), _text(keys, leaf, known), str(leaf.source))
            for keys, leaf in tree.items()
        ]
        if defaults:
            rows += _defaults(name, tree, known)
    if profile is None:
        rows += _gateway(config.gateway_table, defaults=defaults)
    return rows


def _gateway(tree: Tree, *, defaults: bool) -> list[Row]:
    rows = [
        Row(GATEWAY, dotted(keys), _gateway_text(keys, leaf), str(leaf.source))
        for keys, leaf in tree.items()
    ]
    for keys, value in default_rows() if defaults else ():
        if keys not in tree and value is not None:
            rows.append(Row(GATEWAY, dotted(keys), _default_text(value), "default"))
    return rows


def _gateway_text(keys: Keys, leaf: Leaf) -> str:
    """A value as text. Of a database's URL the place is shown, and nothing that is no URL;
    what no setting is called may be a secret under a misspelt name."""
    if keys in SECRETS and not _URL.match(str(leaf.value)):
        known = _is_one_reference(str(leaf.value))
    else:
        known = annotation_of(keys) is not None
    return _text(("driver",), leaf, {}) if known else SECRET_MASK


def _known(tree: Tree) -> Mapping[str, Any]:
    """Annotations of the driver's settings by name; empty when it can not be imported."""
    model = settings_model(tree)
    return {} if model is None else model_fields(model)


def settings_model(tree: Tree) -> Any:
    """The settings model of a profile's driver, None when it can not be imported."""
    from storage_core.plugins import load_driver

    driver = tree.get(("driver",))
    if driver is None or not isinstance(driver.value, str):
        return None
    try:
        return load_driver(driver.value).settings_model()
    except ConfigError:
        return None


def _text(keys: Keys, leaf: Leaf, known: Mapping[str, Any]) -> str:
    value = leaf.value
    if isinstance(value, str) and _is_one_reference(value):
        return value
    if maybe_secret(keys, known):
        return SECRET_MASK
    if isinstance(value, str):
        return _QUERY.sub(SECRET_MASK, _USERINFO.sub(f"{SECRET_MASK}@", value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(keys, Leaf(item, leaf.source), known) for item in value)}]"
    if isinstance(value, Mapping):
        return "{…}" if value else "{}"
    return str(value)


def _is_one_reference(value: str) -> bool:
    return value.startswith("${") and [value[2:-1]] == list(references(value))


def maybe_secret(keys: Keys, known: Mapping[str, Any]) -> bool:
    """Whether the value under ``keys`` is a secret, or nothing says that it is not.

    Args:
        keys: Names inside a profile.
        known: Annotations of the driver's settings, empty when they can not be had.
    """
    if any(keys[: len(secret)] == secret for secret in SECRET_OPTIONS):
        return True
    if keys == ("driver",):
        return False
    fields = model_fields(ProfileOptions) if keys[0] in OPTION_NAMES else known
    if keys[0] == "capabilities":
        return False
    for key in keys:
        annotation = fields.get(key)
        if annotation is None or is_secret(annotation):
            return True
        fields = nested_fields(annotation)
        if not fields:  # a plain value, or a table of them
            return False
    return False


def _defaults(name: str, tree: Tree, known: Mapping[str, Any]) -> Iterator[Row]:
    model = settings_model(tree)
    fields = getattr(model, "model_fields", {})
    defaults = {(key,): field.get_default() for key, field in fields.items()}
    for keys, value in {**defaults, **dict(_option_defaults(ProfileOptions(), ()))}.items():
        given = any(other[: len(keys)] == keys for other in tree)
        if given or value is None or isinstance(value, Mapping) or _is_undefined(value):
            continue
        text = SECRET_MASK if maybe_secret(keys, known) else _default_text(value)
        yield Row(name, dotted(keys), text, "default")


def _option_defaults(options: Any, above: Keys) -> Iterator[tuple[Keys, Any]]:
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        keys = (*above, field.name)
        if dataclasses.is_dataclass(value):
            yield from _option_defaults(value, keys)
        else:
            yield keys, value


def _is_undefined(value: object) -> bool:
    return type(value).__name__ == "PydanticUndefinedType"


def _default_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return '""' if value == "" else str(value)
