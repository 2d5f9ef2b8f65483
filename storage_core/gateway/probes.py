"""Health and readiness: the two pages that need no token."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from storage_core.errors import StorageError
from storage_core.gateway.answers import GUARDS, RefusedError

if TYPE_CHECKING:
    from storage_core.gateway.exchange import Exchange
    from storage_core.gateway.front import Answer
    from storage_core.gateway.service import Service

log = logging.getLogger("storage_core.gateway")

READY_SECONDS: Final = 5.0
"""How long a gateway may take to find that it is ready."""

FRESH_SECONDS: Final = 1.0
"""How long what was found holds for who asks next: everybody may ask."""

_JSON: Final = "application/json"


class Probes:
    """What an orchestrator asks.

    Args:
        service: The gateway.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._check: asyncio.Task[str] | None = None
        self._checked = -math.inf

    def table(self) -> Mapping[str, Answer]:
        """The pages by path."""
        return {"/health": self.health, "/ready": self.ready}

    async def health(self, exchange: Exchange) -> None:
        """Whether the process is alive."""
        reading(exchange, "health")
        await small_reply(exchange, 200, b'{"status":"ok"}')

    async def ready(self, exchange: Exchange) -> None:
        """Whether requests can be answered: the profiles are open, the database can be
        reached and has this version's tables."""
        reading(exchange, "ready")
        reason = await self._reason()
        value = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
        await small_reply(exchange, 503 if reason else 200, json.dumps(value).encode())

    async def _reason(self) -> str:
        """What is amiss, for everybody to read; empty for nothing."""
        service = self._service
        if not service.profiles:
            return "the profiles are not open"
        return await self._checked_database() if service.settings.facades else ""

    async def _checked_database(self) -> str:
        """What is amiss with the database, asked of it once for all who ask at a time."""
        now = time.monotonic()
        if self._check is None or (self._check.done() and now - self._checked >= FRESH_SECONDS):
            self._checked = now
            self._check = asyncio.create_task(self._ask_database())
        return await asyncio.shield(self._check)

    async def _ask_database(self) -> str:
        service = self._service
        try:
            async with asyncio.timeout(READY_SECONDS):
                await service.run(service.state.check)
        except (StorageError, TimeoutError) as error:
            log.warning("not ready: %s", str(error) or "the database does not answer")
            return "the database can not be used"
        return ""


def reading(exchange: Exchange, route: str) -> None:
    """Name the route, and refuse what is neither GET nor HEAD."""
    exchange.route = route
    if exchange.method not in ("GET", "HEAD"):
        raise RefusedError(
            405, "method_not_allowed", "this takes GET and HEAD", ((b"allow", b"GET, HEAD"),)
        )


async def small_reply(
    exchange: Exchange, status: int, data: bytes, media_type: str = _JSON
) -> None:
    """Answer with a page of bytes."""
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", b"%d" % len(data)),
        (b"cache-control", b"no-store"),
        *GUARDS,
    ]
    await exchange.start(status, headers)
    await exchange.write(data)
