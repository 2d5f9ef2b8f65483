"""The gateway: an ASGI application that redeems links and offers services, and ways to run it.

    with storage_core.gateway.serve_background(storage) as server:
        link = storage.bucket("fruit").presign("apple.txt")     # now has server.base_url

It needs the extra ``serve`` (``pip install 'storage-core[serve]'``), and with facades the extra
``gateway``.
"""

from storage_core.errors import ConfigError

try:
    from storage_core.gateway.app import Gateway, create_app
    from storage_core.gateway.background import Server, serve_background
    from storage_core.gateway.life import prepare
    from storage_core.gateway.server import Listener, listen, serve
    from storage_core.gateway.settings import GatewaySettings, ImportSettings, Z3Settings
    from storage_core.gateway.source import ServedProfile
except ModuleNotFoundError as error:
    if error.name is None or error.name.split(".")[0] not in ("httptools", "starlette", "uvicorn"):
        raise
    raise ConfigError(
        f"the gateway needs {error.name}; run: pip install 'storage-core[serve]'"
    ) from error

__all__ = [
    "Gateway",
    "GatewaySettings",
    "ImportSettings",
    "Listener",
    "ServedProfile",
    "Server",
    "Z3Settings",
    "create_app",
    "listen",
    "prepare",
    "serve",
    "serve_background",
]
