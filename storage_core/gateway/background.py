"""A gateway in a thread of its own, for tests, notebooks and demonstrations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from storage_core.aio import AsyncStorage
from storage_core.blocking.storage import Storage
from storage_core.errors import ConfigError
from storage_core.gateway.app import create_app
from storage_core.gateway.server import Listener, listen, make_server
from storage_core.gateway.settings import GatewaySettings
from storage_core.gateway.source import Source, sources_of

if TYPE_CHECKING:
    from types import TracebackType

    from storage_core.core.settings import LinkSettings


class Server:
    """A running server.

    Attributes:
        base_url: Where it is reached.
    """

    def __init__(
        self,
        source: Source | Sequence[Source],
        listener: Listener,
        settings: GatewaySettings,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.base_url = settings.base_url or listener.base_url
        self._listener = listener
        sources = sources_of(source, settings.profiles)
        self._app = create_app(sources, settings=settings, base_url=self.base_url, now=now)
        self._server = make_server(self._app, settings)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="storage-core-gateway", daemon=True)
        # Each storage with the path of its links, and the settings of links it had before.
        mounts = self._app.life.service.profiles.mount
        self._storages = [
            (source, mounts(source.profile))
            for source in sources
            if isinstance(source, Storage | AsyncStorage)
        ]
        self._before: list[LinkSettings] = []

    def _run(self) -> None:
        try:
            factory = self._server.config.get_loop_factory()
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(self._server.serve(sockets=[self._listener.socket]))
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the start
            self._failure = error

    def start(self) -> Server:
        """Start serving, and have the served storages sign links for it.

        Raises:
            ConfigError: it could not start.
        """
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.005)
            if not self._thread.is_alive():
                self._listener.close()
                failure = self._app.life.failure or self._failure
                raise ConfigError(f"the gateway could not start: {failure}") from failure
        for storage, mount in self._storages:
            self._before.append(storage._client.links)
            _point(storage, replace(storage._client.links, base_url=self.base_url + mount))
        return self

    def stop(self) -> None:
        """Stop gracefully: transfers under way end first. May be called twice."""
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        for (storage, _), links in zip(self._storages, self._before, strict=False):
            _point(storage, links)
        self._before.clear()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Server {self.base_url}>"


def _point(storage: Storage | AsyncStorage, links: LinkSettings) -> None:
    storage._client.links = links
    storage._recipe = storage._recipe.with_links(links)


def serve_background(
    source: Source | Sequence[Source] = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    settings: GatewaySettings | None = None,
    now: Callable[[], datetime] | None = None,
) -> Server:
    """Serve from a thread of this process; use it as a context manager.

    Args:
        source: What to serve, as `create_app`. A storage is opened a second time for the
            server; as long as that runs, the links the storage signs point to it.
        host: Address to listen at.
        port: 0 takes a free one.
        settings: Facades, limits and the like.
        now: The clock of links and of the state; by default the first profile's.

    Raises:
        ConfigError: the address or the profile can not be had, or the start failed.
    """
    settings = settings or GatewaySettings()
    listener = listen(host, port)
    try:
        listener.check(settings)
        return Server(source, listener, settings, now).start()
    except BaseException:
        listener.close()
        raise
