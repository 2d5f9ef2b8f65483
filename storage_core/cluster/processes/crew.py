"""The worker processes of an engine, for one operation."""

from __future__ import annotations

import time
from collections import Counter, deque
from multiprocessing.connection import wait
from typing import Any, Final

from storage_core.cluster.engine import Crew, Done, Event, Lost, Told
from storage_core.cluster.jobs import Job
from storage_core.cluster.processes.child import PATIENCE, Child
from storage_core.cluster.processes.messages import (
    Do,
    End,
    Ended,
    FromWorker,
    NotStarted,
    Open,
    Opened,
)
from storage_core.cluster.run import AHEAD
from storage_core.errors import ConfigError, UnavailableError

TRIES: Final = 4
"""So many processes are lost with one job at most, as Dask has it by default."""


class ProcessCrew(Crew):
    """Some processes, one of which may be lost at any time.

    Args:
        children: All of the engine; those that are lost are replaced in it.
        count: So many of them take part.
        opening: What they are to do.
    """

    batch = 1024

    def __init__(self, children: list[Child], count: int, opening: Open) -> None:
        self._all = children
        self._count = count
        self._opening = opening
        self._jobs: dict[int, Job] = {}
        self._waiting: deque[int] = deque()
        self._happened: deque[Event] = deque()
        self._losses: Counter[int] = Counter()
        self._in_vain: Counter[int] = Counter()

    @property
    def threads(self) -> int:
        return self._count

    @property
    def _children(self) -> list[Child]:
        return self._all[: self._count]

    def begin(self) -> None:
        """Have all processes open what they need; nobody waits for it."""
        for number, child in enumerate(self._children):
            if not child.alive or child.used:
                child.kill()
                self._all[number] = Child()
            self._all[number].open(self._opening)

    def send(self, number: int, job: Job) -> None:
        self._jobs[number] = job
        self._waiting.append(number)
        self._hand_out()

    def next(self) -> Event:
        while not self._happened:
            for child in _speaking(self._children):
                try:
                    message = child.receive()
                except EOFError:
                    self._replace(child)
                else:
                    self._heard(child, message)
            self._hand_out()
        return self._happened.popleft()

    def _hand_out(self) -> None:
        """Give each process one job more than it does; to the one that has the fewest first."""
        while self._waiting:
            takers = [child for child in self._children if child.opened]
            child = min(takers, key=lambda child: len(child.jobs), default=None)
            if child is None or len(child.jobs) >= AHEAD:
                return
            number = self._waiting.popleft()
            child.jobs.append(number)
            child.send(Do(number, self._jobs[number]))

    def _heard(self, child: Child, message: FromWorker | NotStarted) -> None:
        match message:
            case Told():
                self._happened.append(message)
            case Done():
                child.jobs.remove(message.job)
                del self._jobs[message.job]
                self._happened.append(message)
            case Opened():
                if message.refusal is not None:
                    raise message.refusal.error
                child.opened = True
                del self._in_vain[self._all.index(child)]
            case NotStarted():
                raise ConfigError(f"no worker process can start: {message.reason}")

    def _replace(self, child: Child) -> None:
        """Another process in the place of one that is lost; what it did is to be done again.

        Raises:
            UnavailableError: no process lives long enough to take a job.
        """
        child.close()
        how = child.wait()
        again = list(child.jobs)
        if again:
            number = again[0]
            self._losses[number] += 1
            if self._losses[number] >= TRIES:
                del again[0], self._jobs[number]
                error = UnavailableError(
                    f"{TRIES} worker processes were lost while they did it, one after the other;"
                    f" the last one {how}, a lack of memory can be why"
                )
                self._happened.append(Lost(number, error))
        place = self._all.index(child)
        if not child.opened:
            self._in_vain[place] += 1
            if self._in_vain[place] >= TRIES:
                raise UnavailableError(
                    f"{TRIES} worker processes were lost before they took a job; the last one {how}"
                )
        self._waiting.extendleft(reversed(again))
        self._all[place] = Child()
        self._all[place].open(self._opening)

    def close(self) -> None:
        """Call off what is out, and have all processes close what they have open. One that does
        not in time is killed."""
        left = [child for child in self._children if child.alive]
        until = time.monotonic() + PATIENCE
        try:
            for child in left:
                child.send(End())
            while left and (seconds := until - time.monotonic()) > 0:
                for child in _speaking(left, seconds):
                    if _has_ended(child):
                        left.remove(child)
        finally:
            for child in self._children:
                child.jobs.clear()
                child.opened = False
                if child in left or child.used or not child.alive:
                    child.kill()


def _speaking(children: list[Child], seconds: float | None = None) -> list[Child]:
    """Wait for those that have said something, or are lost."""
    found: list[Any] = wait([child.connection for child in children], seconds)
    return [child for child in children if child.connection in found]


def _has_ended(child: Child) -> bool:
    """Whether it has no more to say of the operation; all else that it says comes too late."""
    try:
        message = child.receive()
    except EOFError:
        child.close()
        return True
    if not isinstance(message, Ended):
        return False
    child.used = message.spent
    return True
