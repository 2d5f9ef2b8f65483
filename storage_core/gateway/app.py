"""The ASGI application of the link server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from storage_core.aio import AsyncStorage
from storage_core.errors import ClosedError, ConfigError
from storage_core.gateway.answers import EXPOSED
from storage_core.gateway.redeem import Redeemer
from storage_core.gateway.settings import GatewaySettings
from storage_core.gateway.source import Source, recipe_of
from storage_core.links import LinkKeys
from storage_core.opening import Recipe

if TYPE_CHECKING:
    from starlette.requests import Request

HEALTH = "/health"


def create_app(source: Source, *, settings: GatewaySettings | None = None) -> Starlette:
    """Make the application. It opens the storage when the server starts it (ASGI's lifespan)
    and closes it when the server stops.

    ``GET /health`` answers 200 as long as it runs; everything else is a link or refused.

    Args:
        source: What to serve. Links are verified by the profile's ``links.keys``, or by the
            keys the driver keeps itself, and by the profile's clock.
        settings: Limits and the like.

    Raises:
        ConfigError: the profile can not be had.
    """
    recipe = recipe_of(source)
    settings = settings or GatewaySettings()
    served = _Served(recipe)
    app = Starlette(
        routes=[Route(HEALTH, _health, methods=["GET"])],
        middleware=_middleware(settings),
        lifespan=served.lifespan,
    )
    # The default application and not a route: a key may hold what no route pattern matches.
    app.router.default = Redeemer(served.storage, served.keys, settings, recipe.now)
    app.router.redirect_slashes = False
    app.state.served = served
    return app


@dataclass
class _Served:
    """The storage behind an application, while it runs."""

    recipe: Recipe
    failure: Exception | None = None
    _storage: AsyncStorage | None = None
    _keys: LinkKeys | None = None

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        try:
            storage = await AsyncStorage(self.recipe)
            try:
                self._keys = self._accepted(storage)
            except BaseException:
                await storage.close()
                raise
        except Exception as error:
            self.failure = error
            raise
        self._storage = storage
        try:
            yield
        finally:
            self._storage = self._keys = None
            await storage.close()

    def _accepted(self, storage: AsyncStorage) -> LinkKeys:
        secrets = self.recipe.links.keys or storage.driver.link_keys()
        if not secrets:
            raise ConfigError(
                f"profile {storage.profile!r} has no keys to verify links with: set links.keys"
            )
        return LinkKeys(secrets)

    def storage(self) -> AsyncStorage:
        if self._storage is None:
            raise ClosedError("the application is not started; run it with lifespan on")
        return self._storage

    def keys(self) -> LinkKeys:
        if self._keys is None:
            raise ClosedError("the application is not started; run it with lifespan on")
        return self._keys


def _middleware(settings: GatewaySettings) -> list[Middleware]:
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "HEAD", "PUT", "DELETE"],
            allow_headers=["*"],
            expose_headers=list(EXPOSED),
            max_age=3600,
        )
    ]


async def _health(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})
