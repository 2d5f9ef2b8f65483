"""The library transport of the blocking face: urllib3 behind `Transport`.

Names, connections, TLS and proxies are urllib3's, the reading of answers is http.client's
(`storage_core.http.stdlib`). What urllib3 would do on its own account - redirects, retries,
decompression, headers nobody gave, normalising URLs - is left out, and so is its pool, which
knows neither an age of connections nor a deadline: both are the lean transport's.

One thing differs from the rules of `interface`: http.client takes 100 header fields at most.
"""

from __future__ import annotations

import re
import ssl
from http.client import HTTPException
from typing import Any

from storage_core import deadline
from storage_core.errors import ConfigError, OperationTimeoutError, StorageError
from storage_core.http.blocking import BlockingTransport, BlockingWire
from storage_core.http.failures import not_connected
from storage_core.http.interface import Response
from storage_core.http.proxy import Proxy
from storage_core.http.stdlib import Intake
from storage_core.http.tls import tls_context
from storage_core.http.transport import Station

try:
    from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
    from urllib3.exceptions import HTTPError
    from urllib3.util.ssltransport import SSLTransport
    from urllib3.util.url import parse_url
except ImportError as error:
    raise ConfigError(
        'http.transport = "library" needs urllib3 for the blocking face: pip install urllib3'
    ) from error

_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")


class _Wire(BlockingWire):
    """A connection whose answers http.client reads."""

    __slots__ = ()

    def __init__(self, sock: Any, name: str, read_timeout: float) -> None:
        super().__init__(sock, name, read_timeout)
        self.parser: Any = Intake()


class _NestedWire(_Wire):
    """TLS within the TLS of a proxy, of which urllib3 can send and receive by waiting alone:
    an early answer is seen after the body."""

    __slots__ = ()

    @property
    def moves_files(self) -> bool:
        return False

    def readable(self) -> bool:
        return self.fd < 0

    def _set_limit(self, seconds: float) -> None:
        if seconds <= 0:
            raise self._timeout()
        self._limit = seconds
        self.sock.settimeout(seconds)

    def send_some(self, data: bytes | memoryview) -> int:
        self.sock.sendall(data)
        return len(data)

    def recv_now(self, size: int) -> bytes | None:
        return None

    def take(self, size: int) -> bytes:
        return self._waited(size)

    async def recv(self, size: int) -> bytes:
        return self._waited(size)

    async def receivable(self, seconds: float) -> bool:
        return False

    def uploading(self, on: bool) -> None:
        """It always waits."""

    def interrupt(self) -> None:
        self.close()


class Urllib3Transport(BlockingTransport):
    """urllib3 as `Transport`, for networks that need what only it can do.

    Args:
        settings: Of the profile.

    Raises:
        ConfigError: a certificate can not be read, or a proxy is none.
    """

    async def _connect(self, station: Station[BlockingWire]) -> BlockingWire:
        proxy = station.proxy
        name = station.name if proxy is None else f"proxy {proxy.name}"
        seconds = deadline.left(self._settings.connect_timeout)
        if seconds <= 0:
            raise OperationTimeoutError(f"{name}: the deadline passed", unsent=True)
        connection = self._connection(station, seconds)
        try:
            connection.connect()
            sock: Any = connection.sock
            nested = isinstance(sock, SSLTransport)
            if nested or isinstance(sock, ssl.SSLSocket):
                sock.suppress_ragged_eofs = False  # an end without farewell is no end
            return (_NestedWire if nested else _Wire)(
                sock, station.name, self._settings.read_timeout
            )
        except (HTTPError, HTTPException, OSError, UnicodeError, StorageError) as error:
            connection.close()
            if deadline.left(1) <= 0:
                raise OperationTimeoutError(f"{name}: the deadline passed", unsent=True) from None
            raise _failure(name, station, error) from None
        except BaseException:
            connection.close()
            raise

    def _connection(self, station: Station[BlockingWire], seconds: float) -> HTTPConnection:
        """What urllib3 is to open."""
        proxy, origin = station.proxy, station.origin
        through_tls = proxy is not None and proxy.scheme == "https"
        place = proxy or origin
        if station.tls is None and not through_tls:
            return HTTPConnection(place.host, place.port, timeout=seconds)
        context = tls_context(self._settings)
        connection = HTTPSConnection(
            place.host,
            place.port,
            timeout=seconds,
            ssl_context=context,
            proxy=None if proxy is None else parse_url(f"{proxy.scheme}://{proxy.name}"),
            proxy_config=_proxy_config(context) if through_tls else None,
        )
        if proxy is not None and station.tls is not None:
            headers = {}
            if proxy.authorization is not None:
                headers["Proxy-Authorization"] = proxy.authorization
            connection.set_tunnel(origin.host, origin.port, headers, proxy.scheme)
        return connection

    def _answer(self, station: Station[BlockingWire], wire: BlockingWire) -> Response:
        intake: Intake = wire.parser  # type: ignore[assignment]
        return intake.answer(wire, station.pool)


def _proxy_config(context: ssl.SSLContext) -> ProxyConfig:
    return ProxyConfig(
        ssl_context=context,
        use_forwarding_for_https=False,
        assert_hostname=None,
        assert_fingerprint=None,
    )


def _failure(name: str, station: Station[BlockingWire], error: Exception) -> StorageError:
    """What is raised for what urllib3 raised."""
    proxy: Proxy | None = station.proxy
    if proxy is not None and (refused := _TUNNEL.match(str(error))):
        try:
            proxy.check_tunnel(station.origin, int(refused[1]))
        except StorageError as failure:
            return failure
    cause = error.__cause__
    if isinstance(error, HTTPError) and isinstance(cause, Exception):
        error = cause
    return not_connected(name, error)
