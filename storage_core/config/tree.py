"""Nested tables as flat values, each with its source: how layers of configuration merge."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from storage_core.config.profile import Source
from storage_core.errors import ConfigError

Keys: TypeAlias = tuple[str, ...]

# Far above any real configuration; they bound what a hostile one can cost.
MAX_DEPTH = 12
MAX_VALUES = 20_000


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value (text, number, boolean, list, or an empty table) and where it is written."""

    value: Any = field(repr=False)
    source: Source


Tree: TypeAlias = dict[Keys, Leaf]


def flatten(table: Mapping[Any, Any], source: Callable[[Keys], Source]) -> Tree:
    """Take a table apart into its leaves.

    Args:
        table: Nested mappings.
        source: Tells the source of the value under some keys.

    Raises:
        ConfigError: a key that is not text, a value of a type no setting has, or too many or
            too deeply nested values.
    """
    tree: Tree = {}
    budget = iter(range(MAX_VALUES))
    for keys, value in _leaves((), table, source, budget):
        tree[keys] = Leaf(value, source(keys))
    return tree


def _leaves(
    keys: Keys, table: Mapping[Any, Any], source: Callable[[Keys], Source], budget: Iterator[int]
) -> Iterator[tuple[Keys, Any]]:
    if len(keys) >= MAX_DEPTH:
        raise ConfigError(f"{source(keys)}: tables are nested more than {MAX_DEPTH} deep")
    for key, value in table.items():
        if not isinstance(key, str) or not key:
            raise ConfigError(
                f"{source(keys)}: the key {key!r} is not text; write it in quotes"
                if key != ""
                else f"{source(keys)}: a key is empty"
            )
        here = (*keys, key)
        if isinstance(value, Mapping) and value:
            yield from _leaves(here, value, source, budget)
        else:
            _check_value(here, value, source, budget, len(here))
            yield here, {} if isinstance(value, Mapping) else value


def _check_value(
    keys: Keys, value: object, source: Callable[[Keys], Source], budget: Iterator[int], depth: int
) -> None:
    if next(budget, None) is None:
        raise ConfigError(f"{source(keys)}: more than {MAX_VALUES} values")
    if value is None:
        raise ConfigError(f"{source(keys)}: {dotted(keys)} has no value")
    if isinstance(value, list | tuple | Mapping):
        if depth >= MAX_DEPTH:
            raise ConfigError(f"{source(keys)}: {dotted(keys)} is nested too deeply")
        for item in value.values() if isinstance(value, Mapping) else value:
            _check_value(keys, item, source, budget, depth + 1)
    elif not isinstance(value, str | int | float | bool | bytes) and not _is_plain(value):
        raise ConfigError(
            f"{source(keys)}: {dotted(keys)} is a {type(value).__name__}; write it as text, in"
            " quotes"
        )


def _is_plain(value: object) -> bool:
    """Objects that only code can give: paths, and settings made by pydantic."""
    return hasattr(value, "__fspath__") or hasattr(value, "get_secret_value")


def unflatten(tree: Tree) -> dict[str, Any]:
    """Put leaves back together into nested dictionaries."""
    table: dict[str, Any] = {}
    for keys, leaf in tree.items():
        inner = table
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = leaf.value
    return table


def overlay(base: Tree, above: Tree) -> Tree:
    """``base`` with the values of ``above`` in place of its own.

    The keys of ``above`` come from the environment, whose names have neither case nor
    punctuation, so each part matches the key that reads the same once folded.
    """
    merged = dict(base)
    for keys, leaf in above.items():
        spelt = _spelling(keys, merged)
        for other in [o for o in merged if _overlaps(o, spelt)]:
            del merged[other]
        merged[spelt] = leaf
    return merged


def _spelling(keys: Keys, tree: Tree) -> Keys:
    """The keys as ``tree`` writes them, as far as it has them."""
    spelt: Keys = ()
    for key in keys:
        depth = len(spelt)
        known = {o[depth] for o in tree if len(o) > depth and o[:depth] == spelt}
        same = [name for name in known if fold(name) == key]
        spelt = (*spelt, same[0] if len(same) == 1 and key not in known else key)
    return spelt


def _overlaps(one: Keys, other: Keys) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def fold(name: str) -> str:
    """A name as an environment variable can spell it: lower case, ``_`` for the rest."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def dotted(keys: Keys) -> str:
    """Keys for a message: ``profiles.dev.root``."""
    return ".".join(key if re.fullmatch(r"[\w-]+", key) else f'"{key}"' for key in keys)
