"""A profile seen through the faulty proxy: what the cases of category P work with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest

from storage_conformance import proxy as faults
from storage_conformance.cases import unsupported
from storage_conformance.fixtures import Suite
from storage_conformance.profiles import Openings, innermost
from storage_conformance.proxy import Fault, FaultyProxy
from storage_core import (
    Bucket,
    RetryPolicy,
    Storage,
    StorageError,
)

QUICK = RetryPolicy(attempts=4, base=0.01, cap=0.02)
BODY = bytes(range(256)) * 8
LARGE = bytes(range(251)) * 8000  # about 2 MB: more than sockets between two processes hold

PASSING: dict[str, Fault] = {
    "500": faults.answer(500),
    "502": faults.answer(502),
    "503": faults.answer(503),
    "504": faults.answer(504),
    "429": faults.answer(429),
    "reset": faults.reset(),
    "lost": faults.lost(),
    "garbage": faults.garbage(),
}
"""Faults that pass: a repeated request goes well."""


@dataclass(frozen=True)
class Through:
    """The case's bucket, seen through the proxy."""

    proxy: FaultyProxy
    bucket: Bucket
    open: Callable[[RetryPolicy], Bucket]

    @property
    def creates(self) -> bool:
        """Whether the profile has create-only puts."""
        return self.bucket.storage.capabilities.allows("put", "if_absent")

    def cost(self, action: Callable[[], object], *injected: Fault) -> int:
        """How many requests more an action makes when these faults are injected."""
        plain = self.proxy.cost(action)
        self.proxy.inject(*injected)
        found = self.proxy.cost(action)
        assert not self.proxy.pending, "not all faults were met"
        return found - plain


class ThroughProxy(Suite):
    """Cases that look at their bucket through the proxy.

    Attributes:
        endpoint: The driver's setting that says where the service is; the proxy's URL takes
            its place.
    """

    endpoint: ClassVar[str] = "endpoint_url"

    @pytest.fixture
    def proxy(self, storage: Storage) -> Iterator[FaultyProxy]:
        url = getattr(innermost(storage.driver).settings, self.endpoint, None)
        if not url:
            unsupported(f"the profile has no {self.endpoint} that the faulty proxy could stand at")
        if not str(url).startswith("http://"):
            unsupported("the service is reached by TLS, which the faulty proxy can not look into")
        with FaultyProxy(str(url)) as proxy:
            yield proxy

    @pytest.fixture
    def through(self, bucket: Bucket, proxy: FaultyProxy, openings: Openings) -> Through:
        def opened(policy: RetryPolicy) -> Bucket:
            storage = openings.open(retry=policy, endpoint=(self.endpoint, proxy.url))
            return storage.bucket(bucket.name)

        return Through(proxy, opened(QUICK), opened)


def fails(call: Callable[[], object]) -> StorageError:
    """The error by which a call fails, as it has to."""
    with pytest.raises(StorageError) as caught:
        call()
    return caught.value
