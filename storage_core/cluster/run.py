"""One operation: jobs out, answers back, some of them at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from storage_core.cluster.engine import Crew, Lost, Told
from storage_core.cluster.jobs import Answer, Job, Refusal
from storage_core.errors import StorageError

AHEAD: Final = 2
"""Jobs that are out at a time for each thread of the workers: one that is done, and one that is
there when it ends."""


class Course(ABC):
    """What is to be done next, and what becomes of it."""

    @abstractmethod
    def next(self, threads: int) -> Job | None:
        """A job to be sent now, None if there is none (any more, or before others are done).

        Args:
            threads: Of all workers.
        """

    @abstractmethod
    def moved(self, size: int) -> None:
        """Jobs that are out have moved so many bytes more; fewer, where one begins anew."""

    @abstractmethod
    def take(self, job: Job, answer: Answer, told: int) -> None:
        """A job is done. Called once for each, however often it had to be done again.

        Args:
            job: Which.
            answer: What became of it.
            told: Its bytes that `moved` was told of.
        """

    @abstractmethod
    def give_up(self, job: Job, error: StorageError, told: int) -> None:
        """A job was lost with the workers that had it, one after the other, and is not tried
        again."""


def follow(course: Course, crew: Crew) -> None:
    """Do all jobs of a course.

    Raises:
        StorageError, OSError: as answered by a worker.
        ConfigError: a worker can not take part.
        UnavailableError: the workers are out of reach, or there are none.
    """
    out: dict[int, Job] = {}
    moved: dict[int, int] = {}
    sent = 0
    while True:
        while len(out) < AHEAD * crew.threads and (job := course.next(crew.threads)):
            sent += 1
            out[sent], moved[sent] = job, 0
            crew.send(sent, job)
        if not out:
            return
        event = crew.next()
        if event.job not in out:
            continue  # told late
        if isinstance(event, Told):
            course.moved(event.bytes - moved[event.job])
            moved[event.job] = event.bytes
            continue
        job, told = out.pop(event.job), moved.pop(event.job)
        if isinstance(event, Lost):
            course.give_up(job, event.error, told)
        elif isinstance(event.answer, Refusal):
            raise event.answer.error
        else:
            course.take(job, event.answer, told)
