"""Where a configuration is looked for; the first place that has one is the only one read.

1. the path given in code or on the command line
2. ``$STORAGE_CONFIG``
3. ``storage.toml`` (``.yaml``, ``.yml``) in the current folder
4. ``pyproject.toml`` in the current folder, if it has ``[tool.storage]``
5. ``storage.toml`` (``.yaml``, ``.yml``) in the user's configuration folder
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

from storage_core.config.document import PYPROJECT, Document, read_document
from storage_core.config.environment import CONFIG
from storage_core.errors import ConfigError

APP = "storage-core"
NAMES = ("storage.toml", "storage.yaml", "storage.yml")


def discover(path: str | os.PathLike[str] | None = None) -> Document | None:
    """Find and read the configuration.

    Args:
        path: Read this one and look no further.

    Returns:
        The document, None if there is none anywhere.

    Raises:
        ConfigError: the one named does not exist, two lie side by side, or it can not be read.
    """
    if path is not None:
        return _named(Path(path), "named")
    if variable := os.environ.get(CONFIG):
        return _named(Path(variable), "environment")
    try:
        here = Path.cwd()
    except OSError:  # the current folder was deleted
        here = None
    if here is not None:
        if found := _in(here):
            return read_document(found, "folder")
        if (here / PYPROJECT).is_file() and (document := read_document(here / PYPROJECT, "folder")):
            return document
    try:
        folder = user_config_folder()
    except ConfigError:  # no home: nothing to find there, and no reason to fail
        return None
    found = _in(folder)
    return read_document(found, "user") if found else None


def places() -> list[Path]:
    """The places looked at without an explicit path, in order, for people to read."""
    variable = os.environ.get(CONFIG)
    named = [Path(variable)] if variable else []
    return [*named, Path(NAMES[0]), Path(PYPROJECT), user_config_folder() / NAMES[0]]


def user_config_folder() -> Path:
    """Such as ``~/.config/storage-core``."""
    from platformdirs import user_config_path

    return _known(functools.partial(user_config_path, APP, appauthor=False))


def user_data_folder() -> Path:
    """Such as ``~/.local/share/storage-core``: where the built-in ``local`` profile stores."""
    from platformdirs import user_data_path

    return _known(functools.partial(user_data_path, APP, appauthor=False))


def user_state_folder() -> Path:
    """Such as ``~/.local/state/storage-core``: where trust is recorded."""
    from platformdirs import user_state_path

    return _known(functools.partial(user_state_path, APP, appauthor=False))


def _known(find: Callable[[], Path]) -> Path:
    try:
        folder = find()
        # Older platformdirs leave "~" as it is, which would become a folder right here.
        if folder.is_absolute():
            return folder
    except RuntimeError:
        pass
    raise ConfigError("there is no home directory to keep settings and data in; set $HOME")


def _named(path: Path, origin: str) -> Document:
    says = f"${CONFIG} names" if origin == "environment" else "the configuration is given as"
    try:
        path = path.expanduser()
        missing = not path.exists()
    except (RuntimeError, ValueError, OSError):
        missing = True
    if missing:
        raise ConfigError(f"{says} {path}, which does not exist")
    document = read_document(path, "environment" if origin == "environment" else "named")
    if document is None:
        raise ConfigError(f"{says} {path}, which has no table [tool.storage]; add one")
    return document


def _in(folder: Path) -> Path | None:
    found = [folder / name for name in NAMES if (folder / name).exists()]
    if len(found) > 1:
        raise ConfigError(f"{found[0]} and {found[1]} lie side by side; remove one")
    return found[0] if found else None
