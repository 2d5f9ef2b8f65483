"""The library transport of the async face: aiohttp behind `Transport`.

Connections, pooling, TLS, proxies and the reading of answers are aiohttp's. What it would do
on its own account is switched off: redirects, retries, cookies, decompression, headers nobody
gave, and normalising URLs. Three things differ from the rules of `interface`:

- A target that ends with an empty query (``/a?``) is refused: aiohttp would drop the ``?``.
- Informational answers do not extend the read timeout, and there may be any number of them.
- A GET on a kept connection is sent again even if a part of the answer's head had come.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import weakref
from typing import Any

from storage_core.errors import (
    ClosedError,
    ConfigError,
    InvalidRequestError,
    OperationTimeoutError,
    StorageError,
)
from storage_core.http import limits
from storage_core.http.failures import broken, not_connected
from storage_core.http.head import encode_head
from storage_core.http.interface import Origin, Request, Response, Transport
from storage_core.http.proxy import Proxies, Proxy
from storage_core.http.response import MemoryResponse, too_long
from storage_core.http.settings import HttpSettings
from storage_core.http.tls import tls_context
from storage_core.http.transport import MEMORY
from storage_core.http.upload import PIECE

try:
    import aiohttp
    from aiohttp.http import HttpVersion10, HttpVersion11
    from yarl import URL

    from storage_core.http.aiohttp_request import (
        AgainError,
        Attempt,
        CheckedRequest,
        StaleError,
        Upload,
        attempt_of,
    )
except ImportError as error:
    raise ConfigError(
        'http.transport = "library" needs aiohttp for the async face: pip install aiohttp'
    ) from error

_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

_orphans: list[aiohttp.ClientSession] = []
"""Sessions of a parent process: a child neither uses nor closes them."""


class AiohttpTransport(Transport):
    """aiohttp as `Transport`, for networks that need what only it can do.

    Args:
        settings: Of the profile.

    Raises:
        ConfigError: a certificate can not be read, or a proxy is none.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._proxies = Proxies(settings)
        self._tls = tls_context(settings)
        self._session: aiohttp.ClientSession | None = None
        self._pid = os.getpid()
        self._closed = False
        self._without_consent: set[Origin] = set()
        """Origins that do not know ``Expect``."""
        self._timeout = settings.read_timeout
        self._used: weakref.WeakSet[Any] = weakref.WeakSet()

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ClosedError("the storage is closed", unsent=True)
        if self._pid != os.getpid():
            self._pid = os.getpid()
            if self._session is not None:
                _orphans.append(self._session)
            self._session = None
        if self._session is None:
            self._session = _new_session(self._settings, self._tls)
        return self._session

    async def send(self, request: Request) -> Response:
        session = self._opened()
        origin = request.origin
        expects = self._settings.expect_continue if origin not in self._without_consent else 0
        fresh = False
        while True:
            attempt = Attempt(self._used, self._timeout, fresh=fresh, sized=False)
            try:
                answer = await self._attempted(session, request, attempt, expects)
            except StaleError:
                continue
            except AgainError:
                fresh = True
                continue
            if attempt.waited:
                self._without_consent.add(origin)
            if answer is not None:
                return answer
            self._without_consent.add(origin)
            expects = 0

    async def _attempted(
        self, session: aiohttp.ClientSession, request: Request, attempt: Attempt, expects: int
    ) -> Response | None:
        """The answer; None if the service did not understand that we asked for its consent."""
        origin, body = request.origin, request.body
        proxy = self._proxies.find(origin)
        extra = ""
        proxy_headers = None
        if proxy is not None and proxy.authorization is not None:
            if origin.scheme == "http":
                extra = f"Proxy-Authorization: {proxy.authorization}\r\n"
            else:
                proxy_headers = {"Proxy-Authorization": proxy.authorization}
        size = 0 if body is None else len(body) if isinstance(body, MEMORY) else body.size
        head = encode_head(request, size, "", extra, expects)
        fields = _fields(head.data)
        chunked = head.size is None
        attempt.sized = any(name.lower() == "content-length" for name, _ in fields)
        attempt.closes = head.closes
        upload = Upload(body, head.size, attempt) if body is not None and size != 0 else None
        token = attempt_of.set(attempt)
        try:
            async with attempt.limit:
                answer = await session.request(
                    request.method,
                    _url(request),
                    headers=[field for field in fields if not _is_coding(field)],
                    data=upload,
                    chunked=True if chunked else None,
                    allow_redirects=False,
                    proxy=None
                    if proxy is None
                    else URL(f"{proxy.scheme}://{proxy.name}", encoded=True),
                    proxy_headers=proxy_headers,
                )
        except BaseException as error:
            attempt.cut()
            if upload is not None:
                await upload.abort()
            failure = self._failure(error, request, attempt, upload, proxy)
            if failure is error:
                raise
            raise failure from None
        finally:
            attempt.ended()
            attempt_of.reset(token)
        response = await self._answered(answer, request, attempt, upload)
        if proxy is not None and response.status == 407:
            await response.close()
            proxy.check_tunnel(origin, 407)
        if response.status == 417 and head.ours and not (upload and upload.begun):
            await response.close()
            return None
        return response

    async def _answered(
        self,
        answer: aiohttp.ClientResponse,
        request: Request,
        attempt: Attempt,
        upload: Upload | None,
    ) -> Response:
        early = False
        try:
            early = upload is not None and await upload.stop()
            return _response(answer, request, attempt, early=early)
        except BaseException:
            answer.close()
            attempt.cut()
            raise

    def _failure(
        self,
        error: BaseException,
        request: Request,
        attempt: Attempt,
        upload: Upload | None,
        proxy: Proxy | None,
    ) -> BaseException:
        """What is raised for what aiohttp raised."""
        if upload is not None and upload.failure is not None and isinstance(error, Exception):
            return upload.failure
        name = f"{request.origin.host}:{request.origin.port}"
        place = name if proxy is None else f"proxy {proxy.name}"
        again = attempt.kept and not attempt.fresh and request.method in {"GET", "HEAD"}
        if isinstance(error, aiohttp.ClientHttpProxyError) and proxy is not None:
            try:
                proxy.check_tunnel(request.origin, error.status)
            except StorageError as failure:
                return failure
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return not_connected(name, error.certificate_error)
        if isinstance(error, aiohttp.ClientConnectorError):
            return not_connected(place, error.os_error)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return not_connected(place, TimeoutError())
        if isinstance(error, TimeoutError):
            return _late(name, self._timeout, unsent=not attempt.sent)
        if isinstance(error, (aiohttp.ClientError, OSError)):
            lost = isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError))
            if lost and again and (upload is None or not upload.begun):
                return AgainError()
            return broken(name if attempt.sent else place, _said(error), unsent=not attempt.sent)
        if isinstance(error, RuntimeError) and self._closed:
            return ClosedError("the storage was closed during the call")
        return error

    async def close(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        if session is None:
            return
        if self._pid == os.getpid():
            await session.close()
        else:
            _orphans.append(session)


class _Response(Response):
    """An answer whose body is still on its way."""

    __slots__ = ("_answer", "_attempt", "_early", "_loop", "_name", "_open", "_protocol", "_taken")

    def __init__(
        self,
        answer: aiohttp.ClientResponse,
        headers: dict[str, str],
        length: int | None,
        name: str,
        attempt: Attempt,
        *,
        early: bool,
    ) -> None:
        super().__init__(answer.status, headers, length)
        self._answer = answer
        self._name = name
        self._attempt = attempt
        self._early = early
        self._taken = 0
        self._open = True
        self._loop = asyncio.get_running_loop()
        framed = length is not None or "transfer-encoding" in headers
        connection = answer.connection
        self._protocol = None if framed or connection is None else connection.protocol

    async def read(self, size: int) -> bytes:
        if not self._open:
            if self._answer.content.is_eof() and self._answer.content.exception() is None:
                return b""
            raise ClosedError("the response was closed or broke off before")
        try:
            # aiohttp's own timer starts anew with every byte, those of chunk extensions included.
            async with asyncio.timeout(self._attempt.read_timeout):
                data = await self._answer.content.read(size)
            if not data and size:
                self._check_end()
        except TimeoutError:
            self._drop()
            raise _late(self._name, self._attempt.read_timeout) from None
        except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError) as error:
            self._drop()
            raise broken(self._name, _said(error)) from None
        except BaseException:
            self._drop()
            raise
        self._taken += len(data)
        if not data and size:
            self._finish()
        return data

    async def body(self, limit: int) -> bytes:
        if self.length is not None and self.length - self._taken > limit:
            self._drop()
            raise too_long(limit)
        pieces = []
        total = 0
        while piece := await self.read(PIECE):
            total += len(piece)
            if total > limit:
                self._drop()
                raise too_long(limit)
            pieces.append(piece)
        return b"".join(pieces)

    async def close(self) -> None:
        if self._open:
            if self._answer.content.is_eof():
                self._finish()
            else:
                self._drop()

    def _check_end(self) -> None:
        """Refuse a reset as the end of a body whose length is not known."""
        if self._protocol is not None:
            failure = self._protocol.exception()
            if isinstance(failure, aiohttp.ClientOSError):
                raise failure

    def _finish(self) -> None:
        """The end was reached: aiohttp has the connection back already."""
        self._open = False
        if self._early:
            self._attempt.cut()

    def __del__(self) -> None:
        if getattr(self, "_open", False) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._answer.close)

    def _drop(self) -> None:
        self._open = False
        held = self._early or self._answer.connection is not None  # else another's by now
        self._answer.close()
        if held:
            self._attempt.cut()


def _new_session(settings: HttpSettings, tls: ssl.SSLContext) -> aiohttp.ClientSession:
    kept = settings.idle_timeout > 0
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            limit_per_host=settings.max_connections,
            ssl=tls,
            resolver=aiohttp.ThreadedResolver(),  # the system's, whatever else is installed
            **({"keepalive_timeout": settings.idle_timeout} if kept else {"force_close": True}),
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_AUTOMATIC,
        auto_decompress=False,
        trust_env=False,  # `Proxies` has read the environment
        request_class=CheckedRequest,
        timeout=aiohttp.ClientTimeout(
            total=None,
            connect=settings.connect_timeout + settings.read_timeout,  # waiting for one included
            sock_connect=settings.connect_timeout,
            sock_read=settings.read_timeout,
        ),
        max_line_size=limits.HEAD,
        max_field_size=limits.HEAD,
    )
    # It would send a PUT twice on a kept connection that broke. aiohttp's own test client
    # switches it off in the same way.
    session._retry_connection = False
    return session


def _url(request: Request) -> URL:
    origin = request.origin
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    url = URL(f"{origin.scheme}://{host}:{origin.port}{request.target}", encoded=True)
    if url.raw_path_qs != request.target:
        raise InvalidRequestError(
            'http.transport = "library" can not send a target with an empty query or a fragment'
        )
    return url


def _fields(head: bytes) -> list[tuple[str, str]]:
    """The header fields of an encoded head."""
    lines = head.decode("ascii").split("\r\n")[1:-2]
    return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


def _is_coding(field: tuple[str, str]) -> bool:
    return field[0].lower() == "transfer-encoding"  # aiohttp adds it by itself


def _response(
    answer: aiohttp.ClientResponse,
    request: Request,
    attempt: Attempt,
    *,
    early: bool,
) -> Response:
    name = f"{request.origin.host}:{request.origin.port}"
    headers: dict[str, str] = {}
    for raw_name, raw_value in answer.raw_headers:
        field, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[field] = f"{headers[field]}, {value}" if field in headers else value
    coding = headers.get("transfer-encoding")
    if (
        answer.status < 200
        or answer.version not in {HttpVersion10, HttpVersion11}
        or (coding is not None and coding.lower() != "chunked")
    ):
        raise broken(name, "its answer is not HTTP/1.1, or in an unknown coding")
    length: int | None = None
    if request.method == "HEAD" or answer.status in {204, 304}:
        length = 0
    elif coding is None and "content-length" in headers:
        length = int(headers["content-length"].partition(",")[0])
    content = answer.content
    if content.is_eof() and content.exception() is None:
        data = content.read_nowait() if not content.at_eof() else b""
        if early:
            answer.close()
            attempt.cut()
        return MemoryResponse(answer.status, headers, length, data)
    return _Response(answer, headers, length, name, attempt, early=early)


def _late(name: str, seconds: float, *, unsent: bool = False) -> OperationTimeoutError:
    return OperationTimeoutError(f"{name}: nothing came for {seconds:g} s", unsent=unsent)


def _said(error: BaseException) -> str:
    """What went wrong. Not what aiohttp's errors say, which is with URLs, and those may hold
    a signature."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "closed by the service"
    if isinstance(error, (aiohttp.ClientResponseError, aiohttp.http.HttpProcessingError)):
        return "the answer is malformed"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off"
    return type(error).__name__
