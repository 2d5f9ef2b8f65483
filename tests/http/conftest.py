"""Transports and hostile servers as fixtures."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.http.hostile.clients import KINDS, Client, Kind
from tests.http.hostile.server import Script, Server


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Each transport in turn. Nothing may be left behind: an unclosed socket or task is a
    warning, and warnings are errors."""
    kind: Kind = request.param
    threads = set(threading.enumerate())
    gc.freeze()  # what is there already need not be looked at afterwards
    yield Client(kind)
    gc.collect()
    left = [
        thread.name
        for thread in set(threading.enumerate()) - threads
        if not thread.name.startswith(("hostile", "asyncio_"))
    ]
    assert not left, left


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """``serve(script, …, tls=None)``: a server that plays one script per connection."""
    with ExitStack() as stack:

        def start(*scripts: Script, **options: Any) -> Server:
            return stack.enter_context(Server(*scripts, **options))

        yield start
