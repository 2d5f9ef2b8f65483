"""Transports that several threads close, or that are closed while another begins."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage_core.errors import ClosedError
from storage_core.http import Origin
from storage_core.http.blocking import BlockingPool, BlockingTransport, BlockingWire
from storage_core.http.pool import Pool
from storage_core.runtime import drive
from tests.http.hostile.clients import QUICK
from tests.waiting import PATIENCE

ORIGINS = [Origin.of(f"http://127.0.0.1:{port}") for port in (1, 2, 3)]


def test_two_threads_close_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second while the first is in the middle of it: every pool is closed once."""
    closing, go_on = threading.Event(), threading.Event()
    closed: Counter[str] = Counter()
    close = BlockingPool.close

    def slow(self: BlockingPool) -> None:
        closed[self.name] += 1
        if not closing.is_set():
            closing.set()
            assert go_on.wait(PATIENCE)
        close(self)

    monkeypatch.setattr(BlockingPool, "close", slow)
    transport = BlockingTransport(QUICK)
    names = [transport._station(origin).pool.name for origin in ORIGINS]
    with ThreadPoolExecutor(1) as other:
        first = other.submit(lambda: drive(transport.close()))
        try:
            assert closing.wait(PATIENCE)
            drive(transport.close())
        finally:
            go_on.set()
        first.result(PATIENCE)
    assert closed == Counter(names)


def test_nothing_is_begun_with_one_that_is_closed_meanwhile() -> None:
    class Late(BlockingTransport):
        """Closed, as by another thread, when a first request is on its way."""

        def _pool(self, name: str) -> Pool[BlockingWire]:
            drive(self.close())
            return super()._pool(name)

    transport = Late(QUICK)
    with pytest.raises(ClosedError):
        transport._station(ORIGINS[0])
    assert not transport._stations
