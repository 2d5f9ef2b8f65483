"""What a driver sees of HTTP: `Request`, `Response`, `Transport`.

Rules that hold for all transports:

- The request's target and headers go out as they are given: nothing is encoded, decoded or
  normalised, since signatures cover every byte. What would change the request's meaning
  (line breaks, NUL, bytes outside of ASCII) is refused before anything is sent. The transport
  adds ``Host`` (first) and, for a body, ``Content-Length`` or ``Transfer-Encoding: chunked``,
  where they are not given; a PUT, POST or PATCH without body says ``Content-Length: 0``.
- The last bytes of a body of known size go out only once its iteration ended well: a body
  that turns out wrong at its end never completes a request.
- A response is returned once its head was read. Redirects are answers like any other.
- Until a response was read to its end its connection is not used again; `Response.close`
  gives it back if that end is near, and drops it otherwise.
- Nothing is retried, except that a request on a kept connection that the service had closed
  meanwhile (not one byte of an answer came) is sent again once, on a new connection: a GET
  or HEAD always, any other only where none of it had gone out. A body that was begun never.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from storage_core.errors import ConfigError
from storage_core.model import EMPTY, Buffer

if TYPE_CHECKING:
    from storage_core.driver import IO
    from storage_core.http.settings import HttpSettings


class Origin(NamedTuple):
    """Where requests go: scheme (``http`` or ``https``), host and port.

    `host` is what is resolved and connected to, without brackets; `authority` is what the
    ``Host`` header says.
    """

    scheme: str
    host: str
    port: int
    authority: str

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of an absolute URL; its path and query do not count.

        Raises:
            ValueError: it is no http or https URL with a host.
        """
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not an http:// or https:// URL with a host")
        default = 443 if parts.scheme == "https" else 80
        host = parts.hostname
        shown = f"[{host}]" if ":" in host else host
        port = parts.port or default
        return cls(parts.scheme, host, port, shown if port == default else f"{shown}:{port}")

    @property
    def url(self) -> str:
        """``scheme://authority``, without a slash at the end."""
        return f"{self.scheme}://{self.authority}"


class Content(Protocol):
    """Bytes to send that are not all in memory: a `Body`, or what a driver wraps around one.

    It is read once by ``async for``; `size` is None where the length is not known, and the
    body is then sent chunked.
    """

    @property
    def size(self) -> int | None: ...

    @property
    def begun(self) -> bool:
        """Whether anything was asked of it, so that it can not be sent again as it is."""
        ...

    def __aiter__(self) -> AsyncIterator[Buffer]: ...


class Request(NamedTuple):
    """One HTTP request.

    Attributes:
        method: ``GET``, ``PUT``, …
        origin: Where to send it.
        target: Path and query, percent-encoded already; starts with ``/``.
        headers: Names and values, sent in this order and spelling. Values are ASCII without
            line breaks.
        body: Bytes in memory or `Content`; None sends none.
    """

    method: str
    origin: Origin
    target: str
    headers: Mapping[str, str] = EMPTY
    body: Buffer | Content | None = None

    def __repr__(self) -> str:
        # Queries and headers hold signatures and tokens.
        return f"<Request {self.method} {self.origin.url}{self.target.partition('?')[0]}>"

    @property
    def url(self) -> str:
        """The absolute URL."""
        return self.origin.url + self.target


class Response(ABC):
    """The answer to a request, its head read.

    Attributes:
        status: HTTP status.
        headers: Lower-case names to values; repeated ones are joined with ``", "``.
        length: Bytes of the body as announced, None where the answer does not say. 0 for
            answers that have none (HEAD, 204, 304).
        data: The whole body, where it came along with the head (as small ones do) or there
            is none. Such a response holds no connection: nothing need be read or closed,
            though `read` and `body` work.
    """

    __slots__ = ("data", "headers", "length", "status")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        length: int | None,
        data: bytes | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.length = length
        self.data = data

    @abstractmethod
    async def read(self, size: int) -> bytes:
        """The next 1 to ``size`` bytes; empty at the end, and only there.

        Raises:
            UnavailableError: the connection broke before the announced end.
            OperationTimeoutError: nothing came within the read timeout.
        """

    async def readinto(self, buffer: memoryview) -> int:
        """As `read`, into a buffer, which is filled where the transport can: how many bytes
        came, 0 at the end."""
        piece = await self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    @abstractmethod
    async def body(self, limit: int) -> bytes:
        """All that is left. The connection is free for others afterwards.

        Args:
            limit: Bytes to take at most.

        Raises:
            UnavailableError: more than ``limit`` came; and as for `read`.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connection. May be called twice, and before the end."""


class Transport(ABC):
    """Sends requests to any number of origins and keeps connections for later ones.

    Blocking transports are shared between threads and suspend only where a thread carries
    several calls by turns (`storage_core.waiting`); asyncio transports belong to the loop they were opened on. Both survive ``fork``: a child never uses a
    connection of its parent.
    """

    @abstractmethod
    async def send(self, request: Request) -> Response:
        """Send a request and read the head of its answer.

        An answer that comes before the body was sent ends the sending: it is returned, and
        the connection is not used again.

        Raises:
            UnavailableError: no connection, or it broke; `unsent` tells whether the service
                certainly saw nothing of the request.
            OperationTimeoutError: as above, over a timeout.
            ConfigError: the service's certificate is not trusted, or the proxy refused.
            Exception: whatever the body raised, unchanged.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close all connections; may be called twice."""


async def open_transport(io: IO, settings: HttpSettings) -> Transport:
    """A transport for one way of I/O, lean or of a library as the settings say.

    Under ``"asyncio"`` it belongs to the running loop.

    Raises:
        ConfigError: a certificate file can not be read, a proxy is none, or a package that
            the chosen transport needs is not installed.
    """
    if settings.transport == "library":
        if io == "blocking":
            from storage_core.http.urllib3 import Urllib3Transport

            return Urllib3Transport(settings)
        from storage_core.http.aiohttp import AiohttpTransport

        return AiohttpTransport(settings)
    try:
        return _lean(io, settings)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"requests over HTTP need {error.name}, which is not installed:"
            " pip install 'storage-core[http]'"
        ) from error


def _lean(io: IO, settings: HttpSettings) -> Transport:
    if io == "blocking":
        from storage_core.http.blocking import BlockingTransport

        return BlockingTransport(settings)
    from storage_core.http.asyncio import AsyncioTransport

    return AsyncioTransport(settings)
