"""`Storage`: the backends of an application by name, and as a plug-in of Flask."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from storage_core.compat.keg.backends.base import StorageBackend
from storage_core.errors import ConfigError

if TYPE_CHECKING:
    from flask import Flask

CONFIG = "KEG_STORAGE_PROFILES"
OLD_CONFIG = "STORAGE_PROFILES"

_in_context: ContextVar[Storage | None] = ContextVar("storage_core_keg", default=None)
_of_process: Storage | None = None


class Storage:
    """The backends of an application.

    In Flask it is a plug-in, and reads them from the setting ``KEG_STORAGE_PROFILES``: pairs of
    a class and its keyword arguments. Without Flask they are given.

    Args:
        app: The Flask application; None to call `init_app` later.
        cli_group_name: Name of the group of commands it gets.
        profiles: The backends, the first being the default one.

    Attributes:
        interface: Name of the default backend, None without any.
    """

    def __init__(
        self,
        app: Flask | None = None,
        cli_group_name: str = "storage",
        *,
        profiles: Iterable[StorageBackend] = (),
    ) -> None:
        self.cli_group_name = cli_group_name
        self._set(profiles)
        if app is not None:
            self.init_app(app)

    def _set(self, profiles: Iterable[StorageBackend]) -> None:
        self._interfaces: dict[str, StorageBackend] = {}
        for backend in profiles:
            if backend.name in self._interfaces:
                raise ValueError(f"there are two profiles named {backend.name!r}; rename one")
            self._interfaces[backend.name] = backend
        self.interface = next(iter(self._interfaces), None)

    def init_app(self, app: Flask) -> None:
        """Make the backends of an application's settings, which replace those there were, set
        ``app.storage`` and add the commands.

        Raises:
            ValueError: two profiles have the same name.
        """
        _rename_setting(app)
        if CONFIG in app.config:
            self._set(made(**arguments) for made, arguments in app.config[CONFIG])
        app.storage = self  # type: ignore[attr-defined]
        from storage_core.compat.keg.cli import add_cli_to_app

        add_cli_to_app(app, self.cli_group_name)

    def get_interface(self, interface: str | None = None) -> StorageBackend:
        """A backend.

        Args:
            interface: Its name; None for the default one.

        Raises:
            ValueError: there is none of that name, or none at all.
        """
        name = interface or self.interface
        if name is None:
            raise ValueError("no interface was specified")
        if name not in self._interfaces:
            raise ValueError(f"invalid interface '{name}'")
        return self._interfaces[name]

    def activate(self) -> Storage:
        """Have `StorageOperations` use these backends in the whole process, where neither
        `context` nor a Flask application says otherwise."""
        global _of_process
        _of_process = self
        return self

    @contextmanager
    def context(self) -> Iterator[Storage]:
        """Have `StorageOperations` use these backends within the block."""
        token = _in_context.set(self)
        try:
            yield self
        finally:
            _in_context.reset(token)

    def close(self) -> None:
        """Close the connections of all backends."""
        for backend in self._interfaces.values():
            backend.close()


def current_storage() -> Storage:
    """The backends that count here: of the `Storage.context` around, of Flask's application,
    or of the process.

    Raises:
        ConfigError: there are none.
    """
    held = _in_context.get()
    if held is not None:
        return held
    flask = sys.modules.get("flask")
    if flask is not None and flask.has_app_context() and hasattr(flask.current_app, "storage"):
        plugin: Storage = flask.current_app.storage
        return plugin
    if _of_process is None:
        raise ConfigError(
            "there are no storage profiles: set up the plug-in by Storage(app), or outside of"
            " Flask call Storage(profiles=[StorageProfile(bucket, profile)]).activate()"
        )
    return _of_process


def _rename_setting(app: Flask) -> None:
    """Take the setting by its old name, with a warning."""
    if OLD_CONFIG not in app.config:
        return
    if CONFIG in app.config:
        text = f"Found both {CONFIG} and deprecated {OLD_CONFIG}; the latter does not count"
    else:
        text = f"{OLD_CONFIG} is deprecated; name it {CONFIG}"
        app.config[CONFIG] = app.config.pop(OLD_CONFIG)
    warnings.warn(text, DeprecationWarning, stacklevel=4)
