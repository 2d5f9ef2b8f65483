"""Workers: threads that take jobs from the queue and carry them out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from huey.consumer import Worker  # type: ignore[import-untyped]

from storage_core.imports.leases import requeue_lapsed
from storage_core.imports.queue import JobQueue
from storage_core.imports.running import Runner
from storage_core.imports.sink import open_sink

if TYPE_CHECKING:
    from storage_core.blocking.storage import Storage
    from storage_core.config.gateway import ImportSettings
    from storage_core.state import State

log = logging.getLogger("storage_core.imports")

_POLL = 0.1
_MAX_POLL = 1.0
_BACKOFF = 1.15
_SWEEP = 10.0
_GRACE: Final = 30.0


def start_workers(
    state: State,
    settings: ImportSettings,
    storage: Callable[[str], Storage],
    *,
    count: int | None = None,
) -> Workers:
    """Start workers in threads of this process.

    Args:
        state: Where the jobs are; it is left open at the end, as the storages are.
        settings: The settings of the import.
        storage: Gives the opened storage of a profile; called in the threads.
        count: Threads; by default what the settings say.

    Raises:
        StorageError: the queue can not be opened.
    """
    return Workers(state, settings, storage, settings.workers if count is None else count)


class Workers:
    """Running workers; made by `start_workers`.

    Args:
        state: See there.
        settings: Likewise.
        storage: Likewise.
        count: Threads.
    """

    def __init__(
        self,
        state: State,
        settings: ImportSettings,
        storage: Callable[[str], Storage],
        count: int,
    ) -> None:
        self._state = state
        self._lease = settings.lease_seconds
        self._sink = open_sink(settings.database, state)
        self._runner = Runner(state, self._sink, storage, self._lease)
        self._queue = JobQueue(state, self._runner.run)
        self._stopping = threading.Event()
        targets = [self._work] * count + [self._sweep]
        self._threads = [
            threading.Thread(target=target, name=f"import-{index}", daemon=True)
            for index, target in enumerate(targets)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float | None = None, *, grace: float = _GRACE) -> None:
        """Take no further jobs, and end when those under way have ended. May be called twice.

        Args:
            timeout: Seconds until they are given back unfinished, for other workers; None for
                as long as they take.
            grace: Seconds that giving them back may take.
        """
        log.info("import workers stop")
        self._stopping.set()
        self._join(timeout)
        if self._alive():
            log.warning("imports under way are given back")
        self._runner.stopping.set()
        self._join(grace)
        if self._alive():
            # An importer hangs; its job is taken up when the lease ends with the process.
            log.error("an import does not end; its job is left to another worker")
            return
        self._queue.close()
        self._sink.close()

    def _alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _join(self, timeout: float | None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        worker = Worker(self._queue.huey, self._stopping, _POLL, _MAX_POLL, _BACKOFF)
        while not self._stopping.is_set():
            worker.loop()
        self._queue.close()  # PostgreSQL: the connection by which this thread listens, too

    def _sweep(self) -> None:
        while True:
            try:
                requeue_lapsed(self._state, self._lease, self._queue.waiting, self._queue.put)
            except Exception:
                log.exception("looking for import jobs without a worker failed")
            if self._stopping.wait(min(_SWEEP, self._lease / 4)):
                return
