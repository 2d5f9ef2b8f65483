"""The ASGI application of a gateway, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Router

from storage_core import __version__
from storage_core.errors import ConfigError
from storage_core.gateway.answers import EXPOSED
from storage_core.gateway.exchange import Scope, Send
from storage_core.gateway.extras import named_extras
from storage_core.gateway.front import Answer, Front
from storage_core.gateway.life import Life
from storage_core.gateway.limiting import Limiter
from storage_core.gateway.probes import Probes
from storage_core.gateway.profiles import Profiles
from storage_core.gateway.redeem import Issuers, Redeemer
from storage_core.gateway.settings import GatewaySettings
from storage_core.gateway.source import Source, recipes_of
from storage_core.gateway.uploads import Receive

if TYPE_CHECKING:
    from storage_core.gateway.calls import Calls
    from storage_core.gateway.facade import Facade
    from storage_core.gateway.metrics import Metrics
    from storage_core.gateway.tracing import Tracing


class Gateway:
    """The application: requests are the front's, and Starlette knows the protocol of a start and
    an end (ASGI's lifespan).

    Attributes:
        life: What it holds while it runs.
        front: Where requests come in.
        router: Runs it; ``router.lifespan_context`` does so in a test.
    """

    def __init__(self, life: Life, front: Front, answer: Callable[..., Awaitable[None]]) -> None:
        self.life = life
        self.front = front
        self.router = Router(lifespan=life.lifespan)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self.router(scope, receive, send)


def create_app(
    source: Source | Sequence[Source] = None,
    *,
    settings: GatewaySettings | None = None,
    base_url: str | None = None,
    now: Callable[[], datetime] | None = None,
) -> Gateway:
    """Make the application. It opens the storages, and the database where it has facades,
    when the server starts it (ASGI's lifespan), and closes them when the server stops.

    Args:
        source: What to serve, or several such; None serves `GatewaySettings.profiles`. Links
            are verified by the profile's ``links.keys``, or by the keys the driver keeps
            itself.
        settings: Facades, limits and the like.
        base_url: Where it listens, for the links of facades, unless the settings say where it
            is reached.
        now: The clock of links and of the state; by default the first profile's.

    Raises:
        ConfigError: a profile can not be had, settings do not go together, or an extra is
            missing.
    """
    settings = settings or GatewaySettings()
    with named_extras():
        return _assemble(source, settings, base_url, now)


def _assemble(
    source: Source | Sequence[Source],
    settings: GatewaySettings,
    base_url: str | None,
    now: Callable[[], datetime] | None,
) -> Gateway:
    recipes = recipes_of(source, settings.profiles)
    profiles = Profiles(recipes)
    facades = _facades(settings, profiles)
    metrics = _metrics(settings)
    tracing = _tracing(settings)
    life = Life(
        settings,
        profiles,
        facades,
        base_url=_base_url(settings, base_url),
        now=now or recipes[0].now,
        metrics=metrics,
        tracing=tracing,
    )
    limiter = Limiter(settings)
    pages, mounts, issuers = _services(life, limiter, facades, metrics)
    front = Front(
        settings,
        profiles,
        Redeemer(life.service.now, limiter, issuers),
        Probes(life.service).table(),
        pages,
        mounts,
        metrics=metrics,
        tracing=tracing,
    )
    return Gateway(life, front, _with_cors(front, settings))


def _facades(settings: GatewaySettings, profiles: Profiles) -> dict[str, Facade]:
    if not settings.facades:
        return {}
    from storage_core.gateway.facades import load_facades

    for name in (settings.z3.profile,) if "z3" in settings.facades else ():
        if name and name not in profiles.recipes:
            raise ConfigError(f"z3.profile {name!r} is not served; add it to gateway.profiles")
    facades = load_facades(settings)
    owners: dict[str, str] = {}
    for facade in facades.values():
        for mount, _ in facade.mounts:
            if owners.setdefault(mount, facade.name) != facade.name:
                raise ConfigError(
                    f"the facades {owners[mount]!r} and {facade.name!r} both lie at {mount}"
                )
    return facades


def _base_url(settings: GatewaySettings, base_url: str | None) -> str:
    found = settings.base_url or base_url
    if found is None and settings.facades:
        raise ConfigError("facades make links: set gateway.base_url to where clients come")
    return (found or "").rstrip("/")


def _metrics(settings: GatewaySettings) -> Metrics | None:
    if not (settings.metrics and settings.facades):
        return None
    from storage_core.gateway.metrics import Metrics

    return Metrics()


def _tracing(settings: GatewaySettings) -> Tracing | None:
    if not settings.tracing:
        return None
    from storage_core.gateway.tracing import Tracing

    return Tracing()


def _services(
    life: Life, limiter: Limiter, facades: Mapping[str, Facade], metrics: Metrics | None
) -> tuple[Mapping[str, Answer], Mapping[str, Calls], Issuers | None]:
    """What there is beside probes and links: what answers which path, what answers below
    which, and who knows the issuers of the links."""
    if not facades:
        return {}, {}, None
    from storage_core.gateway.calls import Calls, Gate
    from storage_core.gateway.issuers import StateIssuers
    from storage_core.gateway.pages import Pages

    gate = Gate(life.service, limiter)
    pages = Pages(life.service, gate, tuple(facades.values()), metrics, __version__)
    mounts = {
        mount: Calls(life.service, gate, facade, mount, operations)
        for facade in facades.values()
        for mount, operations in facade.mounts
    }
    return pages.table(), mounts, StateIssuers(life.service, facades)


def _with_cors(front: Any, settings: GatewaySettings) -> Any:
    if not settings.cors_origins:
        return front
    methods = ["GET", "HEAD", "PUT", "DELETE", *(["POST"] if settings.facades else [])]
    return CORSMiddleware(
        front,
        allow_origins=list(settings.cors_origins),
        allow_methods=methods,
        allow_headers=["*"],
        expose_headers=list(EXPOSED),
        max_age=3600,
    )
