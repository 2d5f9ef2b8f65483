"""What the server makes of an application's answers, right and wrong ones."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from storage_core.gateway.exchange import ZERO_COPY
from storage_core.gateway.protocol import GatewayProtocol
from tests.gateway.clients import Raw
from tests.waiting import wait_until

Message = dict[str, Any]
Answering = Callable[..., Raw]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Starts a server whose application sends these messages, and asks it once."""
    with contextlib.ExitStack() as stack:

        def start(*messages: Message, method: str = "GET", version: str = "1.1") -> Raw:
            async def app(_scope: Any, _receive: Any, send: Any) -> None:
                for message in messages:
                    await send(message)

            config = uvicorn.Config(
                app,
                http=GatewayProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                server_header=False,
            )
            server = uvicorn.Server(config)
            bound = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            wait_until(lambda: server.started)
            plain = socket.create_connection(bound.getsockname(), timeout=60)
            raw = stack.enter_context(contextlib.closing(Raw(plain)))
            raw.send(f"{method} / HTTP/{version}\r\nHost: x\r\n\r\n")
            return raw

        yield start


def head(status: int = 200, length: int | None = None, **fields: str) -> Message:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    if length is not None:
        pairs.append((b"content-length", b"%d" % length))
    return {"type": "http.response.start", "status": status, "headers": pairs}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def rest(raw: Raw) -> bytes:
    """All that comes until the server closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := raw.socket.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize("pieces", [[b"abcdef"], [b"", b"abc", b"", b"def"], [b"abc", b"def", b""]])
def test_a_body_of_known_length(answering: Answering, pieces: list[bytes]):
    last = len(pieces) - 1
    bodies = (body(piece, more=number < last) for number, piece in enumerate(pieces))
    answer = answering(head(length=6), *bodies).answer()
    assert (answer.status, answer.body) == (200, b"abcdef")
    assert "transfer-encoding" not in answer.headers


def test_a_body_of_unknown_length_is_chunked(answering: Answering):
    raw = answering(head(X_A="1"), body(b"abc", more=True), body(b"def"))
    answer = raw.answer()
    assert (answer.body, answer.headers["transfer-encoding"]) == (b"abcdef", "chunked")
    assert answer.headers["x-a"] == "1"


@pytest.mark.parametrize(("status", "method"), [(200, "HEAD"), (204, "GET"), (304, "GET")])
def test_answers_without_a_body(answering: Answering, status: int, method: str):
    raw = answering(head(status), body(), method=method)
    answer = raw.answer(method)
    assert (answer.status, answer.body) == (status, b"")
    assert "transfer-encoding" not in answer.headers


def test_a_head_tells_the_length_that_a_get_would_have(answering: Answering):
    raw = answering(head(length=6), body(b"abcdef"), method="HEAD")
    assert raw.answer("HEAD").headers["content-length"] == "6"


@pytest.mark.parametrize(
    ("connection", "version", "closes"),
    [("keep-alive", "1.1", False), ("close", "1.1", True), ("close", "1.0", True)],
)
def test_the_connection_stays_or_ends(
    answering: Answering, connection: str, version: str, closes: bool
):
    raw = answering(head(length=1, connection=connection), body(b"x"), version=version)
    assert raw.answer().headers.get_all("connection") == [connection]
    if closes:
        assert rest(raw) == b""
    else:
        raw.head("GET", "http://x/")
        assert raw.answer().body == b"x"


@pytest.mark.parametrize(
    "field",
    [(b"x-a", value) for value in (b"a\r\nx-b: 1", b"a\nx-b: 1", b"a\rb", b"a\0b", b"\x7f")]
    + [(name, b"a") for name in (b"x a", b"x:", b"x\r\nx-b", b"", b"x\xe9")],
)
def test_nothing_can_be_smuggled_into_a_head(answering: Answering, field: tuple[bytes, bytes]):
    start = head(length=1)
    start["headers"].append(field)
    answer = answering(start, body(b"x")).answer()
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert "x-b" not in answer.headers


def test_a_client_of_http_1_0_is_told_that_the_connection_ends(answering: Answering):
    raw = answering(head(length=1), body(b"x"), version="1.0")
    assert raw.answer().headers["connection"] == "close"
    assert rest(raw) == b""


@pytest.mark.parametrize(
    "messages",
    [
        [head(length=3), body(b"abcd")],
        [head(length=3), body(b"ab")],
        [head(length=3), body(b"ab", more=True), body(b"cd")],
        [head(length=3)],
        [head(length=3), body(b"ab", more=True)],
        [head(length=3), head(length=3), body(b"abc")],
        [head(length=3), {"type": "http.response.trailers"}],
        [head(), {"type": ZERO_COPY, "file": 0, "offset": 0, "count": 1}],
        [head(length=3), {"type": ZERO_COPY, "file": 0, "offset": 0, "count": 4}],
    ],
)
def test_a_wrong_answer_is_cut_off(answering: Answering, messages: list[Message]):
    received = rest(answering(*messages))
    assert received.count(b"HTTP/1.1") <= 1
    assert not received.endswith((b"abc", b"0\r\n\r\n"))


@pytest.mark.parametrize("messages", [[], [body(b"abc")]])
def test_no_answer_is_a_failure(answering: Answering, messages: list[Message]):
    assert answering(*messages).answer().status == 500


def test_what_comes_after_the_end_is_dropped(answering: Answering):
    raw = answering(head(length=3), body(b"abc"), body(b"more"))
    assert raw.answer().body == b"abc"
