"""Several worker processes on one socket: started, replaced when they die, renewed, stopped."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final, TypeAlias

from storage_core.errors import ConfigError

log = logging.getLogger("storage_core.gateway")

FAIR_LIFE: Final = 5.0
"""Seconds after which a worker's death is bad luck: the next one starts at once."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""Seconds before a worker takes the place of one that died young; doubled with each."""

Work: TypeAlias = Callable[[Callable[[], None]], None]

_CONTEXT = multiprocessing.get_context("spawn")  # forks of a threaded process can deadlock


@dataclass(eq=False)
class _Worker:
    """A worker process.

    Attributes:
        word: Readable once it serves or has died; None when that was read.
        generation: How many renewals had been asked for when it started.
        ready: Whether it serves.
        killed_at: When it is killed, once it was told to end.
    """

    process: SpawnProcess
    word: Connection | None
    generation: int
    started: float = field(default_factory=time.monotonic)
    ready: bool = False
    killed_at: float | None = None


class Supervisor:
    """Keeps a number of workers running until SIGINT or SIGTERM; SIGHUP renews them.

    Args:
        work: What a worker does until SIGTERM; it must be picklable. It is given what to call
            once it serves.
        count: Number of workers.
        grace: Seconds a worker has to end before it is killed.
        on_stop: Called before the workers are told to end; it closes the socket here, which
            would otherwise go on taking connections that nobody serves.
        on_death: Called with the process id of each worker that is gone.
    """

    def __init__(
        self,
        work: Work,
        count: int,
        *,
        grace: float,
        on_stop: Callable[[], None],
        on_death: Callable[[int], None] | None = None,
    ) -> None:
        self._work = work
        self._count = count
        self._grace = grace
        self._close = on_stop
        self._on_death = on_death
        self._workers: list[_Worker] = []
        self._generation = 0
        self._proven = False  # whether a worker was ever ready
        self._failures = 0  # workers that died young of late
        self._next_start = 0.0
        self._stopping = False

    def run(self) -> None:
        """Supervise; in the main thread.

        Raises:
            ConfigError: a worker died before any of them was ready.
        """
        handlers = {
            signal.SIGINT: self._on_stop,
            signal.SIGTERM: self._on_stop,
            signal.SIGHUP: self._on_renew,
        }
        self._signals, self._writing = os.pipe()
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            while not self._stopping:
                self._balance()
                self._await()
                self._hear()
                self._bury()
        finally:
            self._close()
            self._stop()
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._signals)
            os.close(self._writing)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        os.write(self._writing, b"s")

    def _on_renew(self, _number: int, _frame: FrameType | None) -> None:
        self._generation += 1
        os.write(self._writing, b"r")

    def _staying(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.killed_at is None]

    def _balance(self) -> None:
        """Start and dismiss workers: as many as there should be, and one more while an old one
        waits for its successor."""
        staying = self._staying()
        may_start = time.monotonic() >= self._next_start
        while len(staying) < self._count and may_start:
            staying.append(self._start())
        if not all(worker.ready for worker in staying):
            return
        old = [worker for worker in staying if worker.generation < self._generation]
        if len(staying) > self._count:
            self._dismiss((old or staying)[0])
        elif old and may_start:
            self._start()

    def _start(self) -> _Worker:
        word, telling = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(target=_main, args=(self._work, telling))
        # A hangup of all processes is not a worker's business, from its first moment on: blocked
        # signals stay so in a child, while here one that comes meanwhile is only late.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        telling.close()
        worker = _Worker(process, word, self._generation)
        self._workers.append(worker)
        return worker

    def _dismiss(self, worker: _Worker) -> None:
        worker.killed_at = time.monotonic() + self._grace
        worker.process.terminate()

    def _await(self) -> None:
        """Sleep until a signal, a worker's word or death, or the time to do something."""
        times = [worker.killed_at for worker in self._workers if worker.killed_at is not None]
        if len(self._staying()) <= self._count and self._next_start > time.monotonic():
            times.append(self._next_start)
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        words = [worker.word for worker in self._workers if worker.word is not None]
        deaths = [worker.process.sentinel for worker in self._workers]
        if self._signals in wait([self._signals, *words, *deaths], timeout):
            os.read(self._signals, 512)

    def _hear(self) -> None:
        """See which workers have become ready."""
        for worker in self._workers:
            if worker.word is not None and worker.word.poll():
                with suppress(EOFError, OSError):
                    worker.word.recv_bytes()
                    worker.ready = self._proven = True
                worker.word.close()
                worker.word = None

    def _bury(self) -> None:
        """See which workers are dead, and kill those that should have been for long."""
        for worker in list(self._workers):
            if worker.process.exitcode is not None:
                self._workers.remove(worker)
                if self._on_death is not None and worker.process.pid is not None:
                    self._on_death(worker.process.pid)
                if worker.killed_at is None and not self._stopping:
                    self._mourn(worker)
                _release(worker)
            elif worker.killed_at is not None and time.monotonic() >= worker.killed_at:
                worker.process.kill()
                worker.killed_at += self._grace

    def _mourn(self, worker: _Worker) -> None:
        """Take note of a death that nobody asked for.

        Raises:
            ConfigError: there never was a worker that served.
        """
        if not self._proven:
            raise ConfigError("a worker of the gateway could not start; the log says why")
        status = worker.process.exitcode
        if worker.ready:
            log.error("worker %s died with status %s", worker.process.pid, status)
        else:
            log.error("worker %s could not start, status %s", worker.process.pid, status)
        staying = self._staying()
        if not worker.ready and any(other.generation < worker.generation for other in staying):
            log.error("the workers are not renewed: those that run go on as they are")
            for other in staying:
                other.generation = worker.generation
        now = time.monotonic()
        if now - self._next_start > LONGEST_PAUSE:
            self._failures = 0
        self._next_start = now
        if now - worker.started < FAIR_LIFE:
            self._next_start += min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures)
            self._failures += 1

    def _stop(self) -> None:
        for worker in self._staying():
            self._dismiss(worker)
        deadline = time.monotonic() + self._grace
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
            _release(worker)
        self._workers.clear()


def _release(worker: _Worker) -> None:
    if worker.word is not None:
        worker.word.close()
    worker.process.close()


def _main(work: Work, telling: Connection) -> None:
    """A worker's life, in a fresh process."""

    def ready() -> None:
        if not telling.closed:
            telling.send_bytes(b"ready")
            telling.close()

    try:
        work(ready)
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400 - a message, not a bug
        raise SystemExit(3) from None
