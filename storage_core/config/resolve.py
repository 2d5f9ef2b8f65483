"""From the values of one profile to a `ProfileConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage_core.config.profile import ProfileConfig, Source
from storage_core.config.references import expand
from storage_core.config.tree import Keys, Leaf, Tree, flatten, unflatten
from storage_core.config.validate import OPTION_NAMES, locate, parse_options
from storage_core.errors import ConfigError

REFERENCE_SOURCES = frozenset({"file", "environment", "built-in"})


def resolve(
    name: str, tree: Tree, *, origin: Source, references: bool = False, bucket: str | None = None
) -> ProfileConfig:
    """Make a profile of its values.

    Args:
        name: The profile's name.
        tree: Its values, by names inside the profile.
        origin: Where the profile as a whole is written.
        references: Replace references wherever a value comes from; else only those written
            in a configuration or in the environment.
        bucket: The bucket a URL named.

    Raises:
        ConfigError: no driver, a reference that yields nothing, or a wrong option.
    """
    sources = {".".join(keys): leaf.source for keys, leaf in tree.items()}
    sources[""] = origin
    # A profile without content yet, for the messages on the way to the real one.
    draft = ProfileConfig(name=name, driver="", sources=sources)

    def where(keys: Keys) -> str:
        return locate(draft, keys)

    found: set[str] = set()
    resolved: Tree = {}
    for keys, leaf in tree.items():
        value = leaf.value
        if references or leaf.source.kind in REFERENCE_SOURCES:
            value = expand(value, _folder(leaf.source), where(keys), found)
        resolved[keys] = Leaf(value, leaf.source)
    table = unflatten(resolved)
    driver = _driver(table.pop("driver", None), where)
    options = parse_options(
        {key: table.pop(key) for key in list(table) if key in OPTION_NAMES}, where, found
    )
    return ProfileConfig(
        name=name,
        driver=driver,
        settings=table,
        bucket=bucket,
        sources=sources,
        sensitive=frozenset(found),
        prefix=options.prefix,
        bucket_prefix=options.bucket_prefix,
        links=options.links,
        retry=options.retry,
        capabilities=options.capabilities,
    )


def profile_from_mapping(
    values: Mapping[str, Any], *, name: str, references: bool
) -> ProfileConfig:
    """See `ProfileConfig.from_mapping`."""
    source = Source("code")
    tree = flatten(values, lambda _: source)
    return resolve(name, tree, origin=source, references=references)


def no_driver(place: str) -> ConfigError:
    """The error for a profile that does not say which driver it is for."""
    return ConfigError(f'{place}: names no driver; add one, such as driver = "local"')


def _driver(value: object, where: Any) -> str:
    if value is None:
        raise no_driver(where(()))
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where(('driver',))}: not the name of a driver")
    return value


def _folder(source: Source) -> Path | None:
    return Path(source.name).parent if source.kind == "file" else None
