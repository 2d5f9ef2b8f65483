"""References inside values: ``${env:NAME}`` and ``${file:PATH}``.

They keep secrets out of the configuration. A value may consist of one or hold several;
``$${`` stands for a plain ``${``. What a reference yields is not looked at again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storage_core.config.document import read_limited
from storage_core.errors import ConfigError

MAX_SECRET_BYTES = 64 * 1024

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")


def references(value: object) -> Iterator[str]:
    """The references in a value, such as ``env:NAME``, those inside lists included."""
    if isinstance(value, str):
        for match in _REFERENCE.finditer(value):
            if match.group() != "$${":
                yield match[1] or ""
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)


def expand(value: Any, base: Path | None, where: str, found: set[str]) -> Any:
    """Replace the references in a value.

    Args:
        value: Text, or a list of values; anything else is returned as it is.
        base: Directory that relative paths of ``${file:…}`` start from; None for the current.
        where: Source and name of the setting, for messages.
        found: Collects the texts that references yielded.

    Raises:
        ConfigError: an unknown or unclosed reference, a variable that is not set, or a file
            that can not be read.
    """
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _yield(match, base, where, found), value)
    if isinstance(value, list | tuple):
        return [expand(item, base, where, found) for item in value]
    if isinstance(value, dict):
        return {key: expand(item, base, where, found) for key, item in value.items()}
    return value


def _yield(match: re.Match[str], base: Path | None, where: str, found: set[str]) -> str:
    if match.group() == "$${":
        return "${"
    kind, _, target = (match[1] or "").partition(":")
    if kind == "env" and target:
        text = _variable(target, where)
    elif kind == "file" and target:
        text = _content(target, base, where)
    else:
        # The text is not repeated: it may be a password that happens to hold "${".
        raise ConfigError(
            f"{where}: holds '${{' without a known reference behind it; use ${{env:NAME}} or"
            " ${file:PATH}, and write '$${' for a plain '${'"
        )
    if text:
        found.add(text)
    return text


def _variable(name: str, where: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ConfigError(f"{where}: the environment variable {name} is not set")
    try:
        value.encode()
        return value
    except UnicodeEncodeError:
        pass
    raise ConfigError(f"{where}: the environment variable {name} is not UTF-8 text")


def _content(target: str, base: Path | None, where: str) -> str:
    try:
        path = Path(target).expanduser()
    except RuntimeError:  # the user's home is not known
        raise ConfigError(f"{where}: {target} needs a home directory; set $HOME") from None
    path = base / path if base is not None else path
    try:
        data = read_limited(path, MAX_SECRET_BYTES)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}") from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise ConfigError(f"{where}: {path} is not UTF-8 text")
    # Editors and `echo` end a line; the secret does not.
    return text.removesuffix("\n").removesuffix("\r")
