"""The front of a gateway: every request comes here, and is answered, logged and counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from storage_core.errors import ClosedError, ProfileNotFoundError
from storage_core.gateway import logs
from storage_core.gateway.answers import RefusedError, refusal_for
from storage_core.gateway.exchange import Exchange, Scope, Send
from storage_core.gateway.profiles import FURTHER
from storage_core.gateway.uploads import ClientGoneError, Receive
from storage_core.links import ROUTE

if TYPE_CHECKING:
    from storage_core.gateway.calls import Calls
    from storage_core.gateway.metrics import Metrics
    from storage_core.gateway.profiles import Profiles
    from storage_core.gateway.redeem import Redeemer
    from storage_core.gateway.settings import GatewaySettings
    from storage_core.gateway.tracing import Tracing

log = logging.getLogger("storage_core.gateway")

Answer: TypeAlias = Callable[[Exchange], Awaitable[None]]


class Front:
    """ASGI application of everything a gateway answers.

    Args:
        settings: Limits.
        profiles: What links lead to.
        redeemer: Redeems them.
        probes: What answers a path however much there is to do.
        pages: What answers a path.
        mounts: What answers everything below a path, and the path itself.
        metrics: Keeps figures, if any are kept.
        tracing: Makes spans, if any are made.

    Attributes:
        connections: Tells how many the process has; a server that counts them sets it.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        profiles: Profiles,
        redeemer: Redeemer,
        probes: Mapping[str, Answer],
        pages: Mapping[str, Answer],
        mounts: Mapping[str, Calls],
        *,
        metrics: Metrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._settings = settings
        self._profiles = profiles
        self._redeem = redeemer.redeem
        self._probes = probes
        self._pages = pages
        # The longest first: one may lie below another.
        self._mounts = sorted(mounts.items(), key=lambda pair: -len(pair[0]))
        self._metrics = metrics
        self._tracing = tracing
        self._active = 0
        self.connections: Callable[[], int] = lambda: 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, self._settings)
        started = time.perf_counter()
        self._active += 1
        if self._metrics is not None:
            self._metrics.begin()
        try:
            if self._tracing is None:
                await self._answer(exchange)
            else:
                with self._tracing.span(exchange):
                    await self._answer(exchange)
        finally:
            self._active -= 1
            seconds = time.perf_counter() - started
            logs.request_ended(exchange, seconds)
            if self._metrics is not None:
                self._metrics.end(exchange, seconds)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._dispatch(exchange)
        except ClientGoneError:
            return
        except RefusedError as refusal:
            failure = refusal
        except Exception as error:  # noqa: BLE001 - all of them are answered and told
            failure = refusal_for(error)
            if failure.status >= 500:
                _tell(exchange, error)
        else:
            return
        if exchange.status == 0:
            await exchange.refuse(failure)
        # Otherwise the reply has begun: the server cuts it off, which the client notices.

    async def _dispatch(self, exchange: Exchange) -> None:
        path = exchange.path
        if probe := self._probes.get(path):
            await probe(exchange)
            return
        calls = self._mounted(path)
        if calls is not None:
            calls.begin(exchange)
        self._check_room(exchange)
        if calls is not None:
            await calls.answer(exchange)
        elif path.startswith(ROUTE):
            await self._link(exchange, "", path)
        elif page := self._pages.get(path):
            await page(exchange)
        elif path.startswith(FURTHER):
            name, slash, rest = path.removeprefix(FURTHER).partition("/")
            await self._link(exchange, name, slash + rest)
        else:
            raise nothing_here()

    def _mounted(self, path: str) -> Calls | None:
        for mount, calls in self._mounts:
            if path.startswith(mount) and path[len(mount) : len(mount) + 1] in ("", "/"):
                return calls
        return None

    def _check_room(self, exchange: Exchange) -> None:
        """Refuse what is too much for this process; the connection ends, which makes room."""
        limit = self._settings.max_connections
        if limit is not None and max(self._active, self.connections()) > limit:
            exchange.is_last = True
            raise RefusedError(
                503,
                "too_many_connections",
                "the server has as many connections as it may; try again later",
                ((b"retry-after", b"1"),),
            )

    async def _link(self, exchange: Exchange, name: str, path: str) -> None:
        if not self._profiles:
            raise ClosedError("the application is not started; run it with lifespan on")
        if name == self._profiles.first:
            raise nothing_here()  # each profile has one place
        profile = self._profiles.get(name or self._profiles.first)
        if profile is None:
            raise nothing_here()
        await self._redeem(exchange, profile, path)


def _tell(exchange: Exchange, error: Exception) -> None:
    """Log a failure of the server's side, where the code failed with the traceback."""
    told = (exchange.method, ascii(exchange.path)[1:-1], exchange.request_id)
    if isinstance(error, ProfileNotFoundError):  # its own words say what to do
        log.error("%s %s failed, id=%s: %s", *told, error)
    else:
        log.error("%s %s failed, id=%s", *told, exc_info=error)


def nothing_here() -> RefusedError:
    """The refusal of a path that leads nowhere."""
    return RefusedError(404, "not_found", "there is nothing here")
