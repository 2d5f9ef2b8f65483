"""`ProcessEngine`: processes of this machine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final, NamedTuple

import storage_core
from storage_core.cluster.engine import Crew, Engine
from storage_core.cluster.processes.child import PATIENCE, Child
from storage_core.cluster.processes.crew import ProcessCrew
from storage_core.cluster.processes.messages import Open
from storage_core.cluster.processes.sealing import dumps
from storage_core.cluster.session import Operation, parcel
from storage_core.errors import ClosedError, InvalidRequestError
from storage_core.transfer.memory import MEMORY
from storage_core.transfer.options import TransferOptions

LEAST: Final = 16 * 1024**2
"""Bytes for buffers that a process takes part with at least."""


class ProcessEngine(Engine):
    """Worker processes on this machine, to be given to `sync`, `copy_tree` and `verify`: trees
    of many objects keep one interpreter busy, and here there are several.

    It is a context manager. One engine does for any number of operations; those of several
    threads take their turns. The processes start when it is made, and stay until `close`, or
    until this process ends in whatever way. They have its environment; credentials reach them
    over private sockets alone.

    The budget for buffers (`storage_core.set_max_memory`, and ``max_memory`` of an operation's
    options) is that of all of them together: each gets an equal share, and if that came to less
    than 16 MiB, only as many take part as get so much.

    Args:
        processes: How many; without it one for each processor that this process may use.

    Raises:
        InvalidRequestError: ``processes`` is no number of at least 1.
        ConfigError: no process can be made.
    """

    shared_folders = True

    def __init__(self, processes: int | None = None) -> None:
        if processes is None:
            processes = min(_processors(), max(1, MEMORY.limit // LEAST))
        elif isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
            raise InvalidRequestError(f"processes {processes!r} is not a number of at least 1")
        self.processes = processes
        self._lock = threading.RLock()
        self._busy = self._closed = False
        self._children: list[Child] = []
        try:
            for _ in range(processes):
                self._children.append(Child())
        except BaseException:
            self._end()
            raise

    @contextmanager
    def crew(self, operation: Operation) -> Iterator[Crew]:
        with self._alone():
            if self._closed:
                raise ClosedError("the engine is closed")
            count, memory, own = shared(self.processes, MEMORY.limit, operation.options)
            options = replace(operation.options, max_memory=own)
            sealed = parcel(replace(operation, options=options), dumps)
            opening = Open(storage_core.__version__, memory, sealed)
            crew = ProcessCrew(self._children, count, opening)
            try:
                self._busy = True
                crew.begin()
                yield crew
            finally:
                try:
                    crew.close()
                finally:
                    self._busy = False

    def close(self) -> None:
        """End the processes, after the operation that is under way; may be called twice."""
        with self._alone():
            self._end()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._end()

    def _end(self) -> None:
        self._closed = True
        until = time.monotonic() + PATIENCE
        try:
            for child in self._children:
                child.close()
            while self._children:
                self._children[-1].wait(max(0.0, until - time.monotonic()))
                self._children.pop()
        finally:
            for child in self._children:
                child.kill()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            if self._busy:
                raise InvalidRequestError(
                    "the engine is at work on the very operation that asks this of it"
                )
            yield

    def __repr__(self) -> str:
        return f"<ProcessEngine {'closed' if self._closed else f'of {self.processes} processes'}>"


class Shares(NamedTuple):
    """Who gets how much memory.

    Attributes:
        processes: How many take part.
        memory: Bytes for buffers of each.
        own: Bytes of each for the one operation, None for no limit of its own.
    """

    processes: int
    memory: int
    own: int | None


def shared(processes: int, limit: int, options: TransferOptions) -> Shares:
    """The budget for buffers, shared out evenly.

    Args:
        processes: All that there are.
        limit: The whole budget.
        options: Of the operation.
    """
    least = max(LEAST, options.part_size or 0)
    count = max(1, min(processes, min(limit, options.max_memory or limit) // least))
    return Shares(count, limit // count, options.max_memory and options.max_memory // count)


def _processors() -> int:
    """How many this process may use; of the machine, where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
