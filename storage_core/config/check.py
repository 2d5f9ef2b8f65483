"""What is wrong with a configuration, all of it at once, without opening any storage."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from storage_core.config.environment import CONFIG, DEFAULT_PROFILE, GATEWAY, PREFIX, PROFILES
from storage_core.config.gateway import SECRETS
from storage_core.config.load import Config
from storage_core.config.references import references
from storage_core.config.show import maybe_secret, settings_model
from storage_core.config.tree import Keys, Leaf, Tree
from storage_core.config.validate import (
    OPTION_NAMES,
    driver_settings,
    load_class,
    model_fields,
    suggest,
)
from storage_core.errors import ConfigError

_PASSWORD = re.compile(r"://[^/@:]*:(?!\$\{)[^@]+@|[?&]password=(?!\$\{).")
VARIABLES = (CONFIG, DEFAULT_PROFILE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        level: ``error`` if the profile can not be opened because of it.
        profile: The profile's name; None for what concerns all.
        message: Place, fault and remedy; never a secret.
    """

    level: Literal["error", "warning"]
    profile: str | None
    message: str


def check(config: Config) -> list[Finding]:
    """Check every profile: options, references, driver, settings, trust, care for secrets.

    Secrets are read, from where references say, only of a configuration that is trusted.
    """
    return [
        *_default(config),
        *_variables(),
        *(finding for name in config.names for finding in _profile(config, name)),
        *_gateway(config),
        *_readable(config),
    ]


def _default(config: Config) -> Iterator[Finding]:
    try:
        name = config.default_profile
        config.tree(name)
    except ConfigError as error:
        # Several profiles without a default are in order, as long as each call names one.
        yield Finding("error" if config.default else "warning", None, error.message)


def _variables() -> Iterator[Finding]:
    for name in os.environ:
        known = name.upper() in VARIABLES or name.upper().startswith((PROFILES, GATEWAY))
        if name.upper().startswith(PREFIX) and not known:
            forms = [*VARIABLES, f"{GATEWAY}<FIELD>", f"{PROFILES}<NAME>__<FIELD>"]
            hint = suggest(name, forms)
            yield Finding("warning", None, f"${name}: not a variable that is read here{hint}")


def _profile(config: Config, name: str) -> Iterator[Finding]:
    try:
        profile = config.profile(name)
        driver_settings(profile, load_class(profile))
    except ConfigError as error:
        yield from (Finding("error", name, line) for line in error.message.split("\n"))
    yield from _literal_secrets(config, name, config.tree(name))


def _gateway(config: Config) -> Iterator[Finding]:
    try:
        config.gateway()
    except ConfigError as error:
        yield from (Finding("error", None, line) for line in error.message.split("\n"))
    if config.document is None or config.document.origin == "user":
        return
    for keys, leaf in _passwords(config):
        yield Finding(
            "warning",
            None,
            f"{leaf.source}: gateway.{'.'.join(keys)} holds a password in clear; write"
            " ${env:NAME} or ${file:PATH}",
        )


def _passwords(config: Config) -> Iterator[tuple[Keys, Leaf]]:
    """Databases of the gateway that are written with a password in clear."""
    for keys, leaf in config.gateway_table.items():
        if keys in SECRETS and leaf.source.kind == "file" and _PASSWORD.search(str(leaf.value)):
            yield keys, leaf


def _literal_secrets(config: Config, name: str, tree: Tree) -> Iterator[Finding]:
    """Secrets in clear, in a configuration that is likely to be kept under version control."""
    if config.document is None or config.document.origin == "user":
        return
    known = _secret_names(tree)
    for keys, leaf in tree.items():
        value = leaf.value
        plain = isinstance(value, str) and value and not any(references(value))
        named = keys[0] in known or keys[0] in OPTION_NAMES  # a misspelt name is told as such
        if leaf.source.kind == "file" and plain and named and maybe_secret(keys, known):
            yield Finding(
                "warning",
                name,
                f"{leaf.source}: profiles.{name}.{'.'.join(keys)} holds a secret in clear; write"
                " ${env:NAME} or ${file:PATH}",
            )


def _secret_names(tree: Tree) -> Mapping[str, Any]:
    model = settings_model(tree)
    return {} if model is None else model_fields(model)


def _readable(config: Config) -> Iterator[Finding]:
    """Secrets in clear in the user's own configuration, readable by others."""
    document = config.document
    if document is None or document.origin != "user" or os.name != "posix":
        return
    try:
        mode = document.path.stat().st_mode
    except OSError:
        return
    if not mode & (stat.S_IRGRP | stat.S_IROTH):
        return
    if any(_passwords(config)) or any(
        isinstance(leaf.value, str)
        and not any(references(leaf.value))
        and maybe_secret(keys, known)
        for tree in config.profiles.values()
        if (known := _secret_names(tree))
        for keys, leaf in tree.items()
        if leaf.source.kind == "file"
    ):
        yield Finding(
            "warning",
            None,
            f"{document.path}: holds secrets and can be read by others; chmod 600 {document.path}",
        )
