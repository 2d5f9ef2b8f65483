"""Running a gateway: the socket, one process or several, and an end without losses."""

from __future__ import annotations

import errno
import functools
import logging
import math
import os
import signal
import socket
import stat
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import parent_process
from typing import TYPE_CHECKING, Any

import uvicorn

from storage_core.errors import ConfigError
from storage_core.gateway import logs
from storage_core.gateway.app import create_app
from storage_core.gateway.metrics import forget, shared_folder
from storage_core.gateway.protocol import GatewayProtocol
from storage_core.gateway.service import CLOSE_SECONDS
from storage_core.gateway.settings import GatewaySettings
from storage_core.gateway.source import Source, for_workers, sources_of
from storage_core.gateway.supervisor import Supervisor

if TYPE_CHECKING:
    from storage_core.gateway.app import Gateway

log = logging.getLogger("storage_core.gateway")

BACKLOG = 1024


@dataclass(slots=True)
class Listener:
    """A bound socket.

    Attributes:
        socket: Listening already: who connects is served as soon as a worker runs.
        base_url: Where a client on this machine reaches it. A Unix socket's is
            ``http://localhost``, for clients that can be told the socket.
        unix: Name of the Unix socket, if it is one.
        everywhere: Whether it listens at all addresses, so that `base_url` is none that
            clients elsewhere could use.
    """

    socket: socket.socket
    base_url: str
    unix: str | None = None
    everywhere: bool = False

    def check(self, settings: GatewaySettings) -> None:
        """Refuse settings that would hand out links to nowhere.

        Raises:
            ConfigError: facades, whose links would begin with the address, at all addresses.
        """
        if self.everywhere and settings.facades and settings.base_url is None:
            raise ConfigError(
                "links of facades can not lead to all addresses: set gateway.base_url"
                " (--base-url) to where clients come, or listen at one address"
            )

    def close(self) -> None:
        """Stop listening; a Unix socket's name goes with it. May be called twice: the name
        may be another server's by then."""
        self.socket.close()
        name, self.unix = self.unix, None
        if name is not None:
            with suppress(FileNotFoundError):
                os.unlink(name)


def listen(host: str = "127.0.0.1", port: int = 0, *, unix: str | None = None) -> Listener:
    """Bind a socket.

    Args:
        host: Address or name to listen at; loopback unless told otherwise, since links are
            secrets and the server speaks plain HTTP: put a TLS proxy before it.
        port: 0 takes a free one, which `Listener.base_url` tells.
        unix: Listen at a Unix socket of this name instead, open to this user alone.

    Raises:
        ConfigError: the address can not be had.
    """
    if unix is not None:
        return Listener(_bind_unix(unix), "http://localhost", unix)
    if not 0 <= port <= 65535:
        raise ConfigError(f"can not listen at {host}:{port}: ports are 0 to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(f"can not listen at {host}:{port}: {error}") from error
    port = bound.getsockname()[1]
    numeric = bound.getsockname()[0]
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(numeric)  # noqa: S104 - compared
    shown = loopback or host
    return Listener(
        bound,
        f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}",
        everywhere=loopback is not None,
    )


def _bind_unix(name: str) -> socket.socket:
    """Bind a Unix socket, in place of one that nobody listens at any more."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            bound.bind(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_dead(name):
                raise
            os.unlink(name)
            bound.bind(name)
        os.chmod(name, 0o600)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigError(f"can not listen at the Unix socket {name!r}: {error}") from error
    return bound


def _is_dead(name: str) -> bool:
    if not stat.S_ISSOCK(os.lstat(name).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(name) == errno.ECONNREFUSED


def serve(
    source: Source | Sequence[Source],
    listener: Listener,
    *,
    workers: int = 1,
    settings: GatewaySettings | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; to be called in the main thread.

    A stop ends gracefully: no new connections, then transfers under way have
    `GatewaySettings.drain_timeout`. SIGHUP stops a single process in the same way, for whoever
    keeps it running to start it anew; several workers it replaces one by one. A
    profile given by its name, as `str` or `ServedProfile`, is read anew by each worker, its
    link keys included. A worker ends only when its successor serves, so a configuration that
    does not work changes nothing.

    Args:
        source: What to serve, as `create_app`.
        listener: From `listen`; closed at the end. Links of facades begin with its address
            unless the settings have a ``base_url``.
        workers: Processes that accept from the same socket.
        settings: Limits and the like.

    Raises:
        ConfigError: the profile can not be had, no worker could start, or links of facades
            would lead nowhere.
    """
    if workers < 1:
        raise ConfigError(f"workers is {workers}; it must be at least 1")
    settings = settings or GatewaySettings()
    try:
        listener.check(settings)
        sources = tuple(map(for_workers, sources_of(source, settings.profiles)))
        if workers == 1:
            run_worker(sources, settings, listener.base_url, listener.socket)
        else:
            arguments = (sources, settings, listener.base_url, listener.socket)
            start = functools.partial(_supervised, log.getEffectiveLevel(), *arguments)
            grace = _longest_end(settings)
            keeps_figures = settings.metrics and settings.facades
            with shared_folder() if keeps_figures else nullcontext():
                Supervisor(
                    start,
                    workers,
                    grace=grace,
                    on_stop=listener.close,
                    on_death=forget if keeps_figures else None,
                ).run()
    finally:
        listener.close()


def _longest_end(settings: GatewaySettings) -> float:
    """Seconds that a worker may take to end: requests first, then the audit trail, then imports
    under way."""
    services = CLOSE_SECONDS if settings.facades else 0
    imports = "appfile" in settings.facades and settings.imports.workers
    return settings.drain_timeout + 5 + services + (settings.drain_timeout + 10 if imports else 0)


def _supervised(
    level: int,
    sources: tuple[Source, ...],
    settings: GatewaySettings,
    base_url: str,
    bound: socket.socket,
    ready: Callable[[], None],
) -> None:
    """A worker's work, in a process that has nothing set up yet."""
    logs.configure(settings.log_format, level)
    run_worker(sources, settings, base_url, bound, ready)


def run_worker(
    sources: tuple[Source, ...],
    settings: GatewaySettings,
    base_url: str,
    bound: socket.socket,
    ready: Callable[[], None] | None = None,
) -> None:
    """Serve in this process until it is told to stop.

    Args:
        sources: What to serve.
        settings: Limits and the like.
        base_url: Where it listens.
        bound: The listening socket.
        ready: Called once requests are answered.

    Raises:
        ConfigError: it could not start.
    """
    app = create_app(sources, settings=settings, base_url=base_url)
    server = make_server(app, settings)
    if ready is not None:
        # uvicorn calls this with its first tick, when it has started; every 30 s it says so again.
        server.config.callback_notify = _awaitable(ready)
    if parent_process() is not None:
        threading.Thread(target=_stop_as_orphan, args=(server,), daemon=True).start()
    with _swallowed_signals(server), suppress(SystemExit):  # uvicorn's way out of a failed start
        server.run(sockets=[bound])
    if not server.started:
        failure = app.life.failure
        raise ConfigError(f"the gateway could not start: {failure}") from failure


def _awaitable(call: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def awaited() -> None:
        call()

    return awaited


def make_server(app: Gateway, settings: GatewaySettings) -> uvicorn.Server:
    """A uvicorn server of the application, with the protocol that can send files."""
    config = uvicorn.Config(
        app,
        http=type(
            "Protocol",
            (GatewayProtocol,),
            {"stall_timeout": settings.stall_timeout, "min_rate": settings.min_rate},
        ),
        loop=_loop(),
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,  # it would write signatures down; ours leaves them out
        server_header=False,
        # The scheme and the address of the client come from X-Forwarded-… of these alone.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=30,
        timeout_graceful_shutdown=math.ceil(settings.drain_timeout),
    )
    server = uvicorn.Server(config)
    app.front.connections = lambda: len(server.server_state.connections)
    return server


def _loop() -> Any:
    try:
        import uvloop  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        return "asyncio"
    return "uvloop"


def _stop_as_orphan(server: uvicorn.Server) -> None:
    """Workers whose supervisor was killed would hold the port for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        server.should_exit = True


class _swallowed_signals:  # noqa: N801 - used like a function
    """uvicorn raises the signal that stopped it once more when all is done; the process then
    has nothing left to do but to end well. SIGHUP, which it does not know, ends a process that
    is the only one, and leaves a worker to its supervisor, whom it reaches as well."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._end)
            if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # as `nohup` does not leave it
                self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)

    def _end(self, *_: object) -> None:
        self._server.should_exit = True  # also where uvicorn does not listen for signals yet

    def _hang_up(self, *_: object) -> None:
        if parent_process() is None:
            self._server.should_exit = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
