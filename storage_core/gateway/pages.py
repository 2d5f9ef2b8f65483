"""The gateway's own pages for who has a token: figures, and what operations there are."""

from __future__ import annotations

import binascii
import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from storage_core.gateway.facade import API_KEY, BEARER, TokenScheme
from storage_core.gateway.openapi import document, page
from storage_core.gateway.probes import reading, small_reply

if TYPE_CHECKING:
    from storage_core.gateway.calls import Gate
    from storage_core.gateway.exchange import Exchange
    from storage_core.gateway.facade import Facade
    from storage_core.gateway.front import Answer
    from storage_core.gateway.metrics import Metrics
    from storage_core.gateway.service import Service


def _basic(headers: Mapping[str, str]) -> str | None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = binascii.a2b_base64(value.strip(), strict_mode=True).decode()
    except (binascii.Error, ValueError):
        return None
    return pair.partition(":")[2] or None


BASIC: Final = TokenScheme(
    "basic", {"type": "http", "scheme": "basic"}, _basic, b'Basic realm="storage"'
)
"""Basic authentication with a token as the password and any user, so that browsers can."""

SCHEMES: Final = (BASIC, BEARER, API_KEY)


class Pages:
    """The pages that look at the running gateway.

    Args:
        service: The gateway.
        gate: Authenticates.
        facades: What the document describes.
        metrics: Figures, if any are kept.
        version: Of the gateway.
    """

    def __init__(
        self,
        service: Service,
        gate: Gate,
        facades: tuple[Facade, ...],
        metrics: Metrics | None,
        version: str,
    ) -> None:
        self._service = service
        self._gate = gate
        self._facades = facades
        self._metrics = metrics
        self._version = version

    def table(self) -> Mapping[str, Answer]:
        """The pages by path."""
        pages: dict[str, Answer] = {"/openapi.json": self.openapi, "/docs": self.docs}
        if self._metrics is not None:
            pages["/metrics"] = self.figures
        return pages

    async def openapi(self, exchange: Exchange) -> None:
        """The OpenAPI document."""
        await self._enter(exchange, "openapi")
        await small_reply(exchange, 200, json.dumps(self._document).encode())

    async def docs(self, exchange: Exchange) -> None:
        """The same for people."""
        await self._enter(exchange, "docs")
        schemes = {facade.token.name: facade.token for facade in self._facades}
        html = page(self._document, tuple(schemes.values())).encode()
        await small_reply(exchange, 200, html, "text/html; charset=utf-8")

    async def figures(self, exchange: Exchange) -> None:
        """The figures, as Prometheus reads them."""
        await self._enter(exchange, "metrics")
        assert self._metrics is not None
        data, media_type = await self._service.run(self._metrics.text)
        await small_reply(exchange, 200, data, media_type)

    @functools.cached_property
    def _document(self) -> dict[str, Any]:
        return document(self._facades, self._service.base_url, self._version)

    async def _enter(self, exchange: Exchange, route: str) -> None:
        reading(exchange, route)
        actor = await self._gate.actor(exchange, SCHEMES)
        async with self._gate.limiter.admit(actor.credential_id):
            pass
