"""The life of a gateway: what is opened at its start is closed at its end, in reverse."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextlib import closing as closed_after
from datetime import datetime
from typing import TYPE_CHECKING

from storage_core.blocking.storage import Storage
from storage_core.errors import ConfigError
from storage_core.gateway.extras import named_extras
from storage_core.gateway.profiles import Profiles
from storage_core.gateway.service import Service
from storage_core.gateway.source import recipe_of

if TYPE_CHECKING:
    from storage_core.gateway.facade import Facade
    from storage_core.gateway.metrics import Metrics
    from storage_core.gateway.settings import GatewaySettings
    from storage_core.gateway.tracing import Tracing
    from storage_core.opening import Recipe
    from storage_core.state import State


class Life:
    """What a gateway holds while it runs.

    Attributes:
        service: For the operations.
        failure: Why the start failed, if it did.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        profiles: Profiles,
        facades: Mapping[str, Facade],
        *,
        base_url: str,
        now: Callable[[], datetime],
        metrics: Metrics | None,
        tracing: Tracing | None,
    ) -> None:
        self.failure: Exception | None = None
        self.service = Service(settings, profiles, base_url=base_url, now=now)
        self._settings = settings
        self._profiles = profiles
        self._facades = facades
        self._metrics = metrics
        self._tracing = tracing

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Run; the server's shutdown is after all requests have ended."""
        async with AsyncExitStack() as closing:
            try:
                await self._start(closing)
            except Exception as error:
                self.failure = error
                raise
            yield

    async def _start(self, closing: AsyncExitStack) -> None:
        closing.callback(self.service.close)
        if self._metrics is not None:
            closing.callback(self._metrics.close)
        if self._tracing is not None:
            closing.push_async_callback(asyncio.to_thread, self._tracing.close)
        await self._profiles.open()
        closing.push_async_callback(self._profiles.close)
        if self._facades:
            await self._start_services(closing)

    async def _start_services(self, closing: AsyncExitStack) -> None:
        from storage_core.gateway.trail import Trail
        from storage_core.state import open_migrated

        service = self.service
        url = self._settings.database_url()
        state = await service.change(open_migrated, url, now=service.now)
        closing.callback(state.close)
        closing.push_async_callback(service.settle)
        if "appfile" in self._facades and self._settings.imports.workers:
            await self._start_workers(closing, state)
        # Closed first: what it holds must be written whatever else takes long to end.
        trail = Trail(service)
        closing.push_async_callback(trail.close)
        service.attach(state, trail)

    async def _start_workers(self, closing: AsyncExitStack, state: State) -> None:
        """Threads that import. They are told to stop when no request comes any more, and what
        they had to leave unfinished another worker takes up."""
        from storage_core.imports import start_workers

        storages = _Blocking(self._profiles.recipes, self._profiles.first)
        closing.callback(storages.close)
        imports = self._settings.imports
        workers = await asyncio.to_thread(start_workers, state, imports, storages.get)
        closing.push_async_callback(asyncio.to_thread, workers.stop, self._settings.drain_timeout)


class _Blocking:
    """Storages for threads, opened when first asked for."""

    def __init__(self, recipes: Mapping[str, Recipe], first: str) -> None:
        self._recipes = recipes
        self._first = first
        self._open: dict[str, Storage] = {}
        self._lock = threading.Lock()

    def get(self, profile: str = "") -> Storage:
        """The storage of a profile; of the first one without a name."""
        name = profile or self._first
        with self._lock:
            if name not in self._open:
                if name not in self._recipes:
                    raise ConfigError(f"the profile {name!r} is not served")
                self._open[name] = Storage(recipe_of(self._recipes[name]))
            return self._open[name]

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


def prepare(settings: GatewaySettings) -> str | None:
    """Set the database up, before any worker starts.

    Returns:
        The token of the user ``admin`` of the project ``default``, on an empty database; it
        can not be had again. None where there are projects, or no facades.

    Raises:
        ConfigError: an extra is missing, the URL is none, or the schema is a newer one.
        UnavailableError: the database can not be reached.
    """
    if not settings.facades:
        return None
    with named_extras():
        from storage_core.access import setup
        from storage_core.state import open_migrated

        with closed_after(open_migrated(settings.database_url())) as state:
            return setup.first_start(state)
