"""The Azure driver's tests: Azurite for what needs a server, no time limits on examples."""

from __future__ import annotations

from hypothesis import settings

from tests.servers.fixtures import azurite

__all__ = ["azurite"]

settings.register_profile("azure", deadline=None)
settings.load_profile("azure")
