"""The endpoint of links: one request, one verified link, one operation on one object."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from storage_core.gateway import reading, writing
from storage_core.gateway.answers import RefusedError, refusal_for
from storage_core.gateway.exchange import Exchange, Scope, Send
from storage_core.gateway.uploads import ClientGoneError, Receive
from storage_core.links import ROUTE, LinkKeys, verify_link

if TYPE_CHECKING:
    from storage_core.aio import AsyncStorage
    from storage_core.gateway.settings import GatewaySettings

log = logging.getLogger("storage_core.gateway")

_OPERATIONS = {
    "GET": reading.get,
    "HEAD": reading.head,
    "PUT": writing.put,
    "DELETE": writing.delete,
}


class Redeemer:
    """ASGI application that redeems links.

    Args:
        storage: Called at each request; gives the storage opened on the serving loop.
        keys: Called likewise; gives the accepted keys.
        settings: Limits.
        now: The clock.
    """

    def __init__(
        self,
        storage: Callable[[], AsyncStorage],
        keys: Callable[[], LinkKeys],
        settings: GatewaySettings,
        now: Callable[[], datetime],
    ) -> None:
        self._storage = storage
        self._keys = keys
        self._settings = settings
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        exchange = Exchange(scope, receive, send, self._settings)
        try:
            await self._answer(exchange)
        finally:
            # The query of a link is a secret, so only the link's id is written down.
            log.info(
                "%s %s %d link=%s %.1f ms",
                exchange.method,
                ascii(exchange.path)[1:-1],
                exchange.status or 499,
                exchange.link_id,
                (time.monotonic() - started) * 1000,
            )

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._redeem(exchange)
        except ClientGoneError:
            return
        except RefusedError as refusal:
            failure = refusal
        except Exception as error:
            failure = refusal_for(error)
            if failure.status >= 500:
                log.exception("%s %s failed", exchange.method, exchange.path)
        else:
            return
        if exchange.status == 0:
            await exchange.refuse(failure)
        # Otherwise the reply has begun: the server cuts it off, which the client notices.

    async def _redeem(self, exchange: Exchange) -> None:
        path = exchange.path
        if not path.startswith(ROUTE):
            raise RefusedError(404, "not_found", "there is nothing here")
        claims = verify_link(exchange.method, path, exchange.query, self._keys(), self._now())
        exchange.link_id = claims.id
        bucket = self._storage().bucket(claims.bucket)
        if claims.upload_id is not None:
            await writing.put_part(exchange, bucket, claims)
        else:
            await _OPERATIONS[claims.method](exchange, bucket, claims)
