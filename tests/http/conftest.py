"""Transports and hostile servers as fixtures."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from storage_core.http import limits
from tests.http.hostile.clients import KINDS, Client, Kind
from tests.http.hostile.server import Script, Server
from tests.waiting import PATIENCE, wait_until

ANSWERS = {
    f"test_hostile_{name}" for name in ("bodies", "expect", "heads", "requests", "reuse", "uploads")
}
"""Modules about the bytes of a peer. asyncio hands them on as they come on any event loop, so
that uvloop runs one instance of each test there, and the others with ``--full``."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is the same on another event loop."""
    seen: set[tuple[str, str]] = set()
    for item in items:
        kind = item.callspec.params.get("client") if hasattr(item, "callspec") else None
        if item.path.stem not in ANSWERS or not isinstance(kind, Kind) or not kind.uvloop:
            continue
        test = item.nodeid.partition("[")[0], kind.name
        if test in seen:
            item.add_marker("repetition")
        seen.add(test)


@pytest.fixture(autouse=True)
def consent_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that consents is waited for, however busy the machine is."""
    monkeypatch.setattr(limits, "EXPECT_WAIT", PATIENCE)


@pytest.fixture
def consent_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that never consents is not waited for long."""
    monkeypatch.setattr(limits, "EXPECT_WAIT", 0.1)


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port where nobody listens, nor begins to while the test runs."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Each transport in turn. Nothing may be left behind: an unclosed socket or task is a
    warning, and warnings are errors."""
    kind: Kind = request.param
    threads = set(threading.enumerate())
    gc.freeze()  # what is there already need not be looked at afterwards
    yield Client(kind)
    gc.collect()

    def left() -> list[str]:
        return [
            thread.name
            for thread in set(threading.enumerate()) - threads
            if not thread.name.startswith(("hostile", "asyncio_"))
        ]

    with suppress(AssertionError):
        wait_until(lambda: not left())  # one that has done its work may still be ending
    assert not left(), left()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """``serve(script, …, tls=None)``: a server that plays one script per connection."""
    with ExitStack() as stack:

        def start(*scripts: Script, **options: Any) -> Server:
            return stack.enter_context(Server(*scripts, **options))

        yield start
