"""A proxy that fails on request: it stands before a service over plain HTTP, passes requests and
answers on byte for byte, counts them, and does to some of them what networks and overloaded
services do.

    with FaultyProxy("http://127.0.0.1:9000") as proxy:
        storage = storage_core.open(config={..., "endpoint_url": proxy.url})
        proxy.inject(answer(503), lost())

The next two requests meet the two faults, in order; all others pass.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

from storage_conformance.messages import PIECE, GoneError, Message, body_of, read_head

Kind = Literal[
    "answer", "early", "reset", "lost", "cut", "reset_body", "corrupt", "stall", "stall_body",
    "garbage",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request; made by the functions below."""

    kind: Kind
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    after: int = 0
    meanwhile: Callable[[], object] | None = None
    """Called when the request has been read, before anything is done with it."""


def answer(status: int, *, retry_after: int | None = None) -> Fault:
    """The request is read and answered with an error; the service never sees it."""
    headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
    return Fault("answer", status, headers)


def early(status: int) -> Fault:
    """An error is answered before the body was read, and the connection closed."""
    return Fault("early", status)


def reset(meanwhile: Callable[[], object] | None = None) -> Fault:
    """The request is read and the connection reset; the service never sees it."""
    return Fault("reset", meanwhile=meanwhile)


def lost(meanwhile: Callable[[], object] | None = None) -> Fault:
    """The service carries the request out, and its answer is lost: the connection is reset."""
    return Fault("lost", meanwhile=meanwhile)


def cut(after: int) -> Fault:
    """The connection closes after so many bytes of the answer's body."""
    return Fault("cut", after=after)


def reset_body(after: int) -> Fault:
    """The connection is reset after so many bytes of the answer's body."""
    return Fault("reset_body", after=after)


def corrupt(at: int) -> Fault:
    """One bit of the byte at this offset of the answer's body is another one."""
    return Fault("corrupt", after=at)


def stall() -> Fault:
    """The request is read and never answered."""
    return Fault("stall")


def stall_body(after: int) -> Fault:
    """Nothing more comes after so many bytes of the answer's body."""
    return Fault("stall_body", after=after)


def garbage() -> Fault:
    """The answer is no HTTP."""
    return Fault("garbage")


@dataclass(slots=True)
class Seen:
    """A request that came by."""

    method: str
    target: str
    fault: Fault | None
    passed: bool = False
    """Whether it reached the service."""


@dataclass
class FaultyProxy:
    """The proxy, listening on a free port of the loopback interface.

    Args:
        upstream: URL of the service, with ``http``.

    Attributes:
        seen: All requests so far, in the order in which their heads came.
    """

    upstream: str
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts = urlsplit(self.upstream)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{self.upstream!r} is no http:// URL; TLS can not be looked into")
        self._service = (parts.hostname, parts.port or 80)
        self._faults: list[Fault | None] = []
        self._standing: Fault | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        self.url = f"http://{host}:{port}{parts.path.rstrip('/')}"
        """What to put in the place of the service's URL."""
        self._thread = threading.Thread(target=self._accept, name="faulty-proxy", daemon=True)
        self._thread.start()

    def inject(self, *faults: Fault | None) -> None:
        """Let the next requests meet these faults, one each; None lets one pass."""
        with self._lock:
            self._faults.extend(faults)

    @contextlib.contextmanager
    def always(self, fault: Fault) -> Iterator[None]:
        """Let every request meet a fault for a while."""
        self._standing = fault
        try:
            yield
        finally:
            self._standing = None

    def cost(self, action: Callable[[], object]) -> int:
        """Number of requests an action makes."""
        before = len(self.seen)
        action()
        return len(self.seen) - before

    @property
    def pending(self) -> int:
        """Faults that no request has met yet."""
        return len(self._faults)

    def close(self) -> None:
        """End all connections."""
        self._closed.set()
        # A listener that is only closed does not wake the thread that waits on it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        with self._lock:
            left = list(self._open)
        for one in left:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> FaultyProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- connections ------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with client.makefile("rb") as requests:
                while (request := read_head(requests)) is not None:
                    method, target, *_ = request.first.decode("latin-1").split(" ")
                    seen = Seen(method, target, self._next())
                    self.seen.append(seen)
                    # Each request has its own: a kept one may have died with the service.
                    with socket.create_connection(self._service, 60) as service:
                        self._exchange(client, requests, service, request, seen)
                    if request.close:
                        return
        except (OSError, GoneError, ValueError):
            return
        finally:
            client.close()
            with self._lock:
                self._open.discard(client)

    def _next(self) -> Fault | None:
        with self._lock:
            return self._faults.pop(0) if self._faults else self._standing

    def _exchange(
        self,
        client: socket.socket,
        requests: BufferedReader,
        service: socket.socket,
        request: Message,
        seen: Seen,
    ) -> None:
        fault = seen.fault
        kind = fault.kind if fault else None
        if fault and kind == "early":
            client.sendall(_error(fault, close=True))
            _drain(client)
            raise GoneError
        if request.expects:
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = body_of(requests, request)
        if kind in {"answer", "reset", "stall", "garbage"}:
            for _ in body:
                pass
            assert fault is not None
            self._instead(client, fault)
            return
        service.sendall(request.raw())
        for piece in body:
            service.sendall(piece)
        seen.passed = True
        with service.makefile("rb") as answers:
            self._answer(client, answers, request, fault)

    def _instead(self, client: socket.socket, fault: Fault) -> None:
        """What comes in place of the service's answer."""
        if fault.meanwhile:
            fault.meanwhile()
        if fault.kind == "answer":
            client.sendall(_error(fault, close=False))
        elif fault.kind == "garbage":
            client.sendall(b"\x16\x03\x01 this is no answer\r\n\r\n")
            raise GoneError
        elif fault.kind == "reset":
            _reset(client)
        else:
            self._hold(client)

    def _hold(self, client: socket.socket) -> None:
        """Wait until the client gives up."""
        with contextlib.suppress(OSError):
            while not self._closed.is_set() and client.recv(PIECE):
                pass
        raise GoneError

    def _answer(
        self,
        client: socket.socket,
        answers: BufferedReader,
        request: Message,
        fault: Fault | None,
    ) -> None:
        head = read_head(answers)
        while head is not None and head.first.split(b" ")[1].startswith(b"1"):
            head = read_head(answers)
        if head is None:
            raise GoneError
        status = head.first.split(b" ")[1]
        method = request.first.split(b" ")[0]
        if method == b"HEAD" or status in {b"204", b"304"}:
            head.length, head.chunked = 0, False
        body = body_of(answers, head, of_answer=True)
        if fault is not None and fault.kind == "lost":
            for _ in body:
                pass
            if fault.meanwhile:
                fault.meanwhile()
            _reset(client)
        client.sendall(head.raw())
        sent = 0
        for piece in body:
            sent += self._pass(client, piece, sent, fault)
        if fault is not None and fault.kind in {"cut", "reset_body", "stall_body"}:
            self._break(client, fault)  # the body was shorter: its end never comes
        if head.close or (head.length is None and not head.chunked):
            raise GoneError

    def _pass(self, client: socket.socket, piece: bytes, sent: int, fault: Fault | None) -> int:
        """Send a piece of an answer's body on, or the part of it that a fault leaves."""
        if fault is not None:
            at = fault.after - sent
            if fault.kind == "corrupt" and 0 <= at < len(piece):
                piece = piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]
            elif fault.kind in {"cut", "reset_body", "stall_body"} and at < len(piece):
                client.sendall(piece[: max(0, at)])
                self._break(client, fault)
        client.sendall(piece)
        return len(piece)

    def _break(self, client: socket.socket, fault: Fault) -> None:
        if fault.kind == "reset_body":
            _reset(client)
        if fault.kind == "stall_body":
            self._hold(client)
        raise GoneError


def _error(fault: Fault, *, close: bool) -> bytes:
    fields = [*fault.headers, ("Content-Length", "0")]
    if close:
        fields.append(("Connection", "close"))
    lines = [f"HTTP/1.1 {fault.status} Injected", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join((*lines, "", "")).encode()


def _drain(client: socket.socket) -> None:
    """Take a little of what is still coming, until the client has the answer and closes: the
    answer is not lost to a reset then."""
    client.settimeout(60)
    with contextlib.suppress(OSError):
        for _ in range(64):
            if not client.recv(PIECE):
                return


def _reset(client: socket.socket) -> None:
    """End the connection so that the peer sees a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise GoneError
