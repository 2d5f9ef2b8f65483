"""`Context`: what all parts of one transfer share."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from storage_core.core.between import End
from storage_core.runtime.team import Team
from storage_core.transfer.bandwidth import Bandwidth
from storage_core.transfer.gate import Gate
from storage_core.transfer.options import TransferOptions
from storage_core.transfer.progress import Meter, OnProgress

T = TypeVar("T")


class Context:
    """One transfer: how its jobs run, its options, its counters.

    Args:
        team: Of the face.
        options: The caller's.
        progress: The caller's callback, or None.
    """

    __slots__ = ("bandwidth", "meter", "options", "team")

    def __init__(self, team: Team, options: TransferOptions, progress: OnProgress | None) -> None:
        self.team = team
        self.options = options
        self.meter = Meter(progress)
        self.bandwidth = Bandwidth(options.bandwidth)

    def nested(self) -> Context:
        """The same transfer, with a team of its own: what fails in it stops it alone."""
        inner = Context.__new__(Context)
        inner.team = self.team.nested()
        inner.options, inner.meter, inner.bandwidth = self.options, self.meter, self.bandwidth
        return inner

    async def told(self, work: Coroutine[Any, Any, T]) -> T:
        """The whole transfer; the progress callback hears how it ended."""
        try:
            return await work
        finally:
            self.meter.finish()

    def gate(self, width: int, *ends: End) -> Gate:
        """Lets jobs in as the services of ``ends`` bear it."""
        clients = [end.core.client for end in ends]
        return Gate(self.team, width, lambda: sum(client.throttled for client in clients))
