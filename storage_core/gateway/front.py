"""The front of a gateway: every request comes here, and is answered, logged and counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from storage_core.errors import ClosedError
from storage_core.gateway import logs
from storage_core.gateway.answers import RefusedError, refusal_for
from storage_core.gateway.exchange import Exchange, Scope, Send
from storage_core.gateway.profiles import FURTHER
from storage_core.gateway.uploads import ClientGoneError, Receive
from storage_core.links import ROUTE

if TYPE_CHECKING:
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
        pages: What answers a path.
        mounts: What answers everything below a path, and the path itself.
        metrics: Keeps figures, if any are kept.
        tracing: Makes spans, if any are made.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        profiles: Profiles,
        redeemer: Redeemer,
        pages: Mapping[str, Answer],
        mounts: Mapping[str, Answer],
        *,
        metrics: Metrics | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._settings = settings
        self._profiles = profiles
        self._redeem = redeemer.redeem
        self._pages = pages
        # The longest first: one may lie below another.
        self._mounts = sorted(mounts.items(), key=lambda pair: -len(pair[0]))
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, self._settings)
        started = time.perf_counter()
        if self._metrics is not None:
            self._metrics.begin()
        try:
            if self._tracing is None:
                await self._answer(exchange)
            else:
                with self._tracing.span(exchange):
                    await self._answer(exchange)
        finally:
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
        except Exception as error:
            failure = refusal_for(error)
            if failure.status >= 500:
                path = ascii(exchange.path)[1:-1]
                log.exception("%s %s failed, id=%s", exchange.method, path, exchange.request_id)
        else:
            return
        if exchange.status == 0:
            await exchange.refuse(failure)
        # Otherwise the reply has begun: the server cuts it off, which the client notices.

    async def _dispatch(self, exchange: Exchange) -> None:
        path = exchange.path
        if path.startswith(ROUTE):
            await self._link(exchange, "", path)
        elif answer := self._pages.get(path) or self._mounted(path):
            await answer(exchange)
        elif path.startswith(FURTHER):
            name, slash, rest = path.removeprefix(FURTHER).partition("/")
            await self._link(exchange, name, slash + rest)
        else:
            raise nothing_here()

    def _mounted(self, path: str) -> Answer | None:
        for mount, answer in self._mounts:
            if path.startswith(mount) and path[len(mount) : len(mount) + 1] in ("", "/"):
                return answer
        return None

    async def _link(self, exchange: Exchange, name: str, path: str) -> None:
        if not self._profiles:
            raise ClosedError("the application is not started; run it with lifespan on")
        if name == self._profiles.first:
            raise nothing_here()  # each profile has one place
        profile = self._profiles.get(name or self._profiles.first)
        if profile is None:
            raise nothing_here()
        await self._redeem(exchange, profile, path)


def nothing_here() -> RefusedError:
    """The refusal of a path that leads nowhere."""
    return RefusedError(404, "not_found", "there is nothing here")
