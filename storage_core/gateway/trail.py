"""Audit events on their way to the database, in the background of the answers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from storage_core.access import audit
from storage_core.gateway.service import TRAIL_SECONDS

if TYPE_CHECKING:
    from storage_core.access.model import AuditEvent
    from storage_core.gateway.service import Service

log = logging.getLogger("storage_core.gateway")

MAX_WAITING: Final = 10_000
"""Events; requests wait while there are more, so that an outage of the database loses none
and fills no memory."""
BATCH: Final = 500
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 5.0
"""Seconds between tries while the database is out of order."""


class Trail:
    """Writes events in the order they came, several at a time.

    Args:
        service: Whose state and threads it uses; that has to be open until `close` returns.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting: asyncio.Queue[AuditEvent | None] = asyncio.Queue(MAX_WAITING)
        self._batch: list[AuditEvent | None] = []  # those on their way
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="storage-core-audit")

    async def add(self, event: AuditEvent) -> None:
        """Leave an event; returns at once unless very many wait."""
        await self._waiting.put(event)

    async def close(self) -> None:
        """Return when all events are written, or can not be: those are in the log then."""
        self._closing.set()
        try:
            async with asyncio.timeout(TRAIL_SECONDS):
                await self._waiting.put(None)
                await self._task
        except TimeoutError:
            self._task.cancel()
            log.error("the database took too long for the last audit events")  # noqa: TRY400
        while not self._waiting.empty():
            self._batch.append(self._waiting.get_nowait())
        for event in filter(None, self._batch):  # what was to be kept is at least there
            log.critical("audit event lost: %s", event)

    async def _run(self) -> None:
        more = True
        while more:
            self._batch = [await self._waiting.get()]
            while len(self._batch) < BATCH and not self._waiting.empty():
                self._batch.append(self._waiting.get_nowait())
            events = [event for event in self._batch if event is not None]
            more = len(events) == len(self._batch)
            if events and not await self._write(events):
                return
            self._batch = []

    async def _write(self, events: list[AuditEvent]) -> bool:
        """Whether they were written at last; not, when the gateway ends first."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._service.change(audit.record, self._service.state, events)
            except Exception:
                log.exception("%d audit events could not be written", len(events))
                if self._closing.is_set():
                    return False
            else:
                return True
            try:
                await asyncio.wait_for(self._closing.wait(), pause)
            except TimeoutError:
                pause = min(2 * pause, LONGEST_PAUSE)
