"""Real servers for tests, on free ports of the loopback, ended with the process that started them.

    from tests.servers import radosgw

    with radosgw.start() as server:
        storage_core.open(config=server.profile)

Each module has one server: `NAME`, and `start()`, which installs it first where that can be done
(into `.servers/` of the repository). `SERVERS` has them all by name. What a server accepts without
checking is said in its module: a test that passes on it proves nothing there.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.servers import azurite, fake_gcs, moto, postgres, radosgw, strict_gcs, swift
from tests.servers.base import MissingServerError, Server, Start, StartError

__all__ = ["SERVERS", "UNCHECKED", "MissingServerError", "Server", "Start", "StartError"]

_STORES = (moto, azurite, fake_gcs, strict_gcs, radosgw, swift)

SERVERS: Mapping[str, Start] = {module.NAME: module.start for module in (*_STORES, postgres)}
"""How each is started, by name."""

UNCHECKED: Mapping[str, Mapping[str, str]] = {module.NAME: module.UNCHECKED for module in _STORES}
"""By name of the server: category of the suite to what of it passes there whatever it is."""
