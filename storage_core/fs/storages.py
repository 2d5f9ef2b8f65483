"""The opened storages of one filesystem: one for each profile on each event loop.

A storage of the async face serves one loop. A filesystem may meet several: fsspec's own in its
thread, a new one in each `asyncio.run`, another one in a forked child. Each gets storages of its
own when it first asks, and they are closed when the loop ends its generators (as `asyncio.run`
does), when the filesystem is dropped, when the process ends, or by `close`.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import weakref
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from storage_core import aio
from storage_core.config import load_config
from storage_core.errors import ConfigError, ProfileNotFoundError

Profiles: TypeAlias = Mapping[str, Mapping[str, Any]]
ConfigSource: TypeAlias = "str | os.PathLike[str] | Profiles | None"

EXIT_SECONDS = 5.0
"""How long the end of the process waits for storages to close."""


def checked_config(config: ConfigSource) -> str | Profiles | None:
    """A configuration as it is kept: a file by its absolute path, as the current folder may
    change.

    Raises:
        ConfigError: a mapping is not one of names to profiles.
    """
    if config is None:
        return None
    if not isinstance(config, Mapping):
        return os.path.abspath(os.fspath(config))
    for name, profile in config.items():
        if not isinstance(profile, Mapping):
            raise ConfigError(
                f"config[{name!r}] is no profile; write the profiles by their names, as"
                " {'dev': {'driver': 'local', 'root': 'data'}}"
            )
    return config


class Storages:
    """Opens storages when they are first asked for.

    Args:
        config: Path of a configuration, profiles by their names, or None to look for a
            configuration as `storage_core.open` does.
    """

    def __init__(self, config: str | Profiles | None) -> None:
        self._config = config
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _OnLoop]
        self._loops = weakref.WeakKeyDictionary()
        _ALL.add(self)

    async def get(self, profile: str) -> aio.AsyncStorage:
        """The opened storage of a profile, on the running loop.

        Raises:
            ProfileNotFoundError: there is no such profile.
            ConfigError: its settings do not work.
        """
        here = self._here()
        storage = here.opened.get(profile)
        if storage is not None and not storage.closed:
            return storage
        async with here.lock:  # not twice, for two calls at once
            storage = here.opened.get(profile)
            if storage is None or storage.closed:
                # Reads files and imports the driver.
                made = await asyncio.to_thread(self._made, profile)
                await here.keep()
                storage = here.opened[profile] = await made
            return storage

    def _here(self) -> _OnLoop:
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            here = self._loops[loop] = _OnLoop()
        return here

    def _made(self, profile: str) -> aio.AsyncStorage:
        config = self._config
        if not isinstance(config, Mapping):
            return aio.open(profile, config=config)
        if profile not in config:
            raise ProfileNotFoundError(
                f"config has no profile {profile!r}, only {', '.join(sorted(config))}"
            )
        return aio.open(profile, config=config[profile])

    async def profiles(self) -> list[str]:
        """The names of all profiles."""
        config = self._config
        if isinstance(config, Mapping):
            return sorted(config)
        return sorted((await asyncio.to_thread(load_config, config)).profiles)

    async def close(self) -> None:
        """Close those of the running loop; the next call opens them again."""
        here = self._loops.pop(asyncio.get_running_loop(), None)
        if here is not None:
            await here.close()

    def close_elsewhere(self) -> None:
        """Close, from another thread, those of loops that run in this process."""
        for loop, here in list(self._loops.items()):
            if here.pid == os.getpid() and loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(here.close(), loop)
                with suppress(Exception):  # it is the end; the system takes back what is left
                    closing.result(EXIT_SECONDS)


class _OnLoop:
    """The storages of one loop."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.opened: dict[str, aio.AsyncStorage] = {}
        self.lock = asyncio.Lock()
        self._keeper: AsyncGenerator[None, None] | None = None

    async def keep(self) -> None:
        """See to it that what will be opened is closed."""
        if self._keeper is None:
            self._keeper = _closing(self.opened)
            await anext(self._keeper)

    async def close(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await keeper.aclose()


async def _closing(opened: dict[str, aio.AsyncStorage]) -> AsyncGenerator[None, None]:
    """Rests until it is closed or dropped, or its loop ends its generators."""
    try:
        yield
    finally:
        while opened:
            await opened.popitem()[1].close()


_ALL: weakref.WeakSet[Storages] = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    for storages in list(_ALL):
        storages.close_elsewhere()
