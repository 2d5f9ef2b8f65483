"""Profiles as URLs, for programs that take one address and no configuration.

    file:///srv/data?fsync=false          a root of the local driver
    memory://scratch?versions=true        objects that live as long as the process
    s3://bucket/prefix?region=eu-west-1   driver, bucket, prefix, settings

The scheme names the driver; the host is the bucket, the path a key prefix, and each query
parameter a setting or option, tables dotted: ``links.base_url=…``. A driver may read host and
path of its URLs otherwise (`Driver.settings_from_url`). URLs end up in logs and shell histories, so
credentials in front of the host are refused, and references are not read: a URL often comes
from somebody else.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, unquote_to_bytes, urlsplit

from storage_core.config.profile import ProfileConfig, Source
from storage_core.config.resolve import resolve
from storage_core.config.tree import flatten
from storage_core.errors import ConfigError
from storage_core.plugins import load_driver

if TYPE_CHECKING:
    from collections.abc import Mapping

# Schemes whose driver has another name; any other scheme is the name of its driver.
SCHEMES = {"file": "local", "gs": "gcs", "az": "azure"}
MAX_PARAMETERS = 100

_SCHEME = re.compile(r"[a-z][a-z0-9+._-]*\Z")


def profile_from_url(url: str) -> ProfileConfig:
    """See `ProfileConfig.from_url`."""
    parts = _split(url)
    driver = SCHEMES.get(parts.scheme, parts.scheme)
    bucket, place = _place(url, parts, driver)
    parameters = _parameters(parts)
    values: dict[str, Any] = {"driver": driver, **_nested(parameters)}
    for name, value in place.items():
        if values.get(name, value) != value:
            raise ConfigError(f"the URL gives {name!r} twice, in its path and in its query")
        values[name] = value
    source = Source("url")
    tree = flatten(values, lambda _: source)
    return resolve(parts.scheme, tree, origin=source, bucket=bucket)


def _place(url: str, parts: SplitResult, driver: str) -> tuple[str | None, Mapping[str, Any]]:
    """What the URL says in front of its query: a bucket, and settings."""
    if parts.scheme == "file":
        return None, {"root": _root(parts)}
    own = load_driver(driver).settings_from_url(url)
    return _bucket(parts) if own is None else (None, own)


def _split(url: str) -> SplitResult:
    # The URL itself is not repeated in messages: its query may hold a secret.
    if not isinstance(url, str) or any(ord(c) < 0x20 or ord(c) == 0x7F for c in url):
        raise ConfigError("the URL holds a control character, or is not text")
    try:
        parts = urlsplit(url)
        credentials = parts.username is not None
    except ValueError:
        raise ConfigError("the URL is malformed; check its host") from None
    if not _SCHEME.match(parts.scheme):
        raise ConfigError(
            "the URL names no driver; write file:///srv/data for a directory, or"
            " s3://bucket?region=… for a service"
        )
    if credentials:
        raise ConfigError(
            "the URL holds credentials in front of its host; leave them to the service's own"
            " places, or use a profile with ${env:…} or ${file:…}"
        )
    if parts.fragment or url.endswith("#"):
        raise ConfigError("the URL has a fragment; write '#' as %23")
    return parts


def _parameters(parts: SplitResult) -> dict[str, str]:
    if not parts.query:
        return {}
    try:
        pairs = parse_qsl(
            parts.query,
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=MAX_PARAMETERS,
            errors="strict",
        )
    except ValueError:
        pairs = []
    if not pairs:
        raise ConfigError("the URL's query is malformed; write ?name=value&name=value")
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if not all(name.split(".")):
            raise ConfigError("the URL's query has a parameter without a name")
        if name in parameters:
            raise ConfigError(f"the URL gives the parameter {name!r} twice")
        if name == "driver":
            raise ConfigError("the URL's scheme names the driver; remove the parameter 'driver'")
        if "${" in value:
            raise ConfigError(
                f"the URL's parameter {name!r} holds a reference; they are read in configurations"
                " and environment variables only"
            )
        parameters[name] = value
    return parameters


def _nested(parameters: Mapping[str, str]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in parameters.items():
        *outer, last = name.split(".")
        inner = table
        for key in outer:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                break
        if not isinstance(inner, dict) or last in inner:
            raise ConfigError(f"the URL's parameter {name!r} stands beside one for its table")
        inner[last] = value
    return table


def _root(parts: SplitResult) -> str:
    if parts.netloc not in {"", "localhost"}:
        raise ConfigError(
            f"the URL names the host {parts.netloc!r}; a directory of this machine is written"
            " file:///srv/data, with three slashes"
        )
    if os.name == "nt":
        from urllib.request import url2pathname

        root = url2pathname(parts.path)
    else:
        root = os.fsdecode(unquote_to_bytes(parts.path))
    if not root or "\0" in root:
        raise ConfigError("the URL names no directory; write file:///srv/data")
    return root


def _bucket(parts: SplitResult) -> tuple[str | None, dict[str, str]]:
    try:
        bucket = unquote(parts.netloc, errors="strict")
        prefix = unquote(parts.path.removeprefix("/"), errors="strict")
    except UnicodeDecodeError:
        raise ConfigError("the URL's bucket or path is not UTF-8 once decoded") from None
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    return bucket or None, {"prefix": prefix} if prefix else {}
