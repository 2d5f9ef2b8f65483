"""The facades that a gateway can offer, by the names its settings use."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from storage_core.gateway.facade import Facade
    from storage_core.gateway.settings import GatewaySettings

MODULES: Final[Mapping[str, str]] = {
    "z3": "storage_core.gateway.facades.z3",
    "appfile": "storage_core.gateway.facades.appfile",
}
"""Modules by facade; each has a function ``facade(settings)`` that makes it."""


def load_facades(settings: GatewaySettings) -> dict[str, Facade]:
    """Make the facades that the settings name."""
    return {name: import_module(MODULES[name]).facade(settings) for name in settings.facades}
