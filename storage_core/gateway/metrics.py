"""Figures of a gateway, as Prometheus reads them.

With several worker processes prometheus-client keeps the figures in files of a folder that
all share (its multiprocess mode), so that any worker answers for all of them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

    from storage_core.gateway.exchange import Exchange

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
METHODS: Final = frozenset(("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"))
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
"""Upper bounds in seconds."""


@contextmanager
def shared_folder() -> Iterator[None]:
    """Have the processes started meanwhile keep their figures together."""
    if FOLDER in os.environ:  # somebody keeps them elsewhere
        yield
        return
    folder = tempfile.mkdtemp(prefix="storage-core-metrics-")
    os.environ[FOLDER] = folder
    try:
        yield
    finally:
        del os.environ[FOLDER]
        shutil.rmtree(folder, ignore_errors=True)


def forget(pid: int) -> None:
    """A process that kept shared figures is gone: what it was doing no longer counts."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = registry = CollectorRegistry()
        self._children: dict[tuple[str, str, int], tuple[Histogram, Counter, Counter]] = {}
        labels = ("route", "method", "status")
        self._seconds = Histogram(
            "storage_gateway_request_seconds",
            "Time from a request's head to the end of its reply.",
            labels,
            buckets=BUCKETS,
            registry=registry,
        )
        self._received = Counter(
            "storage_gateway_received_bytes",
            "Bytes of request bodies.",
            ("route",),
            registry=registry,
        )
        self._sent = Counter(
            "storage_gateway_sent_bytes", "Bytes of reply bodies.", ("route",), registry=registry
        )
        self._active = Gauge(
            "storage_gateway_active_requests",
            "Requests being answered.",
            multiprocess_mode="livesum",
            registry=registry,
        )

    def begin(self) -> None:
        """A request has come."""
        self._active.inc()

    def end(self, exchange: Exchange, seconds: float) -> None:
        """A request is answered, or its client gone (status 499)."""
        self._active.dec()
        key = (exchange.route, exchange.method, exchange.status)
        children = self._children.get(key) or self._new(*key)
        children[0].observe(seconds)
        if exchange.body.count:
            children[1].inc(exchange.body.count)
        if exchange.sent:
            children[2].inc(exchange.sent)

    def _new(self, route: str, method: str, status: int) -> tuple[Histogram, Counter, Counter]:
        # A client may send any method, which must not make a new series each.
        shown = method if method in METHODS else "other"
        children = (
            self._seconds.labels(route, shown, str(status or 499)),
            self._received.labels(route),
            self._sent.labels(route),
        )
        if shown == method:
            self._children[route, method, status] = children
        return children

    def text(self) -> tuple[bytes, str]:
        """All figures and their media type."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

        registry = self._registry
        if FOLDER in os.environ:
            from prometheus_client.multiprocess import MultiProcessCollector

            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def close(self) -> None:
        """The process ends: what it is doing no longer counts."""
        if FOLDER in os.environ:
            forget(os.getpid())
