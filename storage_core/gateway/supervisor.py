"""Several worker processes on one socket: started, replaced when they die, stopped."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType

from storage_core.errors import ConfigError

log = logging.getLogger("storage_core.gateway")

LEAST_LIFE = 2.0
"""Seconds a worker must have run for its death to count as bad luck: one that dies before
would die again."""

_CONTEXT = multiprocessing.get_context("spawn")  # forks of a threaded process can deadlock


class Supervisor:
    """Keeps a number of workers running until SIGINT or SIGTERM.

    Args:
        work: What a worker does until SIGTERM; it must be picklable.
        count: Number of workers.
        grace: Seconds a worker has to end before it is killed.
        on_stop: Called before the workers are told to end; it closes the socket here, which
            would otherwise go on taking connections that nobody serves.
    """

    def __init__(
        self,
        work: Callable[[], None],
        count: int,
        *,
        grace: float,
        on_stop: Callable[[], None],
    ) -> None:
        self._work = work
        self._count = count
        self._grace = grace
        self._close = on_stop
        self._workers: dict[SpawnProcess, float] = {}
        self._stopping = False
        self._renewing = False

    def run(self) -> None:
        """Supervise; in the main thread.

        Raises:
            ConfigError: a worker died right after its start.
        """
        handlers = {
            signal.SIGINT: self._on_stop,
            signal.SIGTERM: self._on_stop,
            signal.SIGHUP: self._on_renew,
        }
        reading, self._writing = os.pipe()
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            for _ in range(self._count):
                self._start()
            while not self._stopping:
                woken = wait([reading, *(worker.sentinel for worker in self._workers)])
                if reading in woken:
                    os.read(reading, 512)
                self._handle()
        finally:
            self._close()
            self._stop(list(self._workers))
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reading)
            os.close(self._writing)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        os.write(self._writing, b"s")

    def _on_renew(self, _number: int, _frame: FrameType | None) -> None:
        self._renewing = True
        os.write(self._writing, b"r")

    def _handle(self) -> None:
        """See to what woke us: a dead worker or a signal."""
        for worker, started in list(self._workers.items()):
            if worker.exitcode is None or self._stopping:
                continue
            del self._workers[worker]
            if time.monotonic() - started < LEAST_LIFE:
                raise ConfigError("a worker of the link server could not start; the log says why")
            log.error("worker %s died with status %s", worker.pid, worker.exitcode)
            worker.close()
            self._start()
        if self._renewing:
            self._renewing = False
            for worker in list(self._workers):
                self._start()
                self._stop([worker])

    def _start(self) -> None:
        worker = _CONTEXT.Process(target=_main, args=(self._work,))
        worker.start()
        self._workers[worker] = time.monotonic()

    def _stop(self, workers: list[SpawnProcess]) -> None:
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + self._grace
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.exitcode is None:
                worker.kill()
                worker.join()
            self._workers.pop(worker, None)
            worker.close()


def _main(work: Callable[[], None]) -> None:
    """A worker's life. It has the log settings of a fresh process, so warnings show."""
    logging.basicConfig(level=logging.INFO)
    try:
        work()
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400 - a message, not a bug
        raise SystemExit(3) from None
