"""A link server in a thread of its own, for tests, notebooks and demonstrations."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from storage_core.aio import AsyncStorage
from storage_core.blocking.storage import Storage
from storage_core.errors import ConfigError
from storage_core.gateway.app import create_app
from storage_core.gateway.server import Listener, listen, make_server
from storage_core.gateway.settings import GatewaySettings
from storage_core.gateway.source import Source

if TYPE_CHECKING:
    from types import TracebackType

    from storage_core.core.settings import LinkSettings


class Server:
    """A running server.

    Attributes:
        base_url: Where it is reached.
    """

    def __init__(self, source: Source, listener: Listener, settings: GatewaySettings) -> None:
        self.base_url = listener.base_url
        self._listener = listener
        self._app = create_app(source, settings=settings)
        self._server = make_server(self._app, settings)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="storage-core-gateway", daemon=True)
        self._storage = source if isinstance(source, Storage | AsyncStorage) else None
        self._links_before: LinkSettings | None = None

    def _run(self) -> None:
        try:
            factory = self._server.config.get_loop_factory()
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(self._server.serve(sockets=[self._listener.socket]))
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the start
            self._failure = error

    def start(self) -> Server:
        """Start serving, and have the served storage sign links for it.

        Raises:
            ConfigError: it could not start.
        """
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.005)
            if not self._thread.is_alive():
                self._listener.close()
                failure = self._app.state.served.failure or self._failure
                raise ConfigError(f"the link server could not start: {failure}") from failure
        if self._storage is not None:
            self._links_before = self._storage._client.links
            self._point(replace(self._links_before, base_url=self.base_url))
        return self

    def stop(self) -> None:
        """Stop gracefully: transfers under way end first. May be called twice."""
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        if self._links_before is not None:
            self._point(self._links_before)
            self._links_before = None

    def _point(self, links: LinkSettings) -> None:
        assert self._storage is not None
        self._storage._client.links = links
        self._storage._recipe = self._storage._recipe.with_links(links)

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


def serve_background(
    source: Source,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    settings: GatewaySettings | None = None,
) -> Server:
    """Serve links from a thread of this process; use it as a context manager.

    Args:
        source: What to serve, as `create_app`. A storage is opened a second time for the
            server; as long as that runs, the links the storage signs point to it.
        host: Address to listen at.
        port: 0 takes a free one.
        settings: Limits and the like.

    Raises:
        ConfigError: the address or the profile can not be had, or the start failed.
    """
    listener = listen(host, port)
    try:
        return Server(source, listener, settings or GatewaySettings()).start()
    except BaseException:
        listener.close()
        raise
