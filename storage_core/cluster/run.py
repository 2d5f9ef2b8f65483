"""One operation on a cluster: jobs out, answers back, some of them at a time."""

from __future__ import annotations

import pickle
import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import storage_core
from storage_core.cluster import worker
from storage_core.cluster.jobs import Answer, Job, Refusal, Sealed
from storage_core.cluster.telling import Told, task_key
from storage_core.errors import ConfigError, StorageError, UnavailableError

if TYPE_CHECKING:
    from distributed import Future

_DISTRIBUTION: Final = "storage-core"

AHEAD: Final = 2
"""Jobs that are out at a time for each thread of the cluster: one that is done, and one that is
there when it ends."""
_LOOK: Final = 5.0
"""Seconds after which the client looks again how many workers there are."""


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


class Run:
    """The jobs of one operation.

    Args:
        client: Of the cluster.
        token: Names the operation; tells nothing else, for it is on dashboards and in logs.
        operation: What all its jobs have in common.
        patience: Seconds to wait when there are no workers.
    """

    def __init__(self, client: Any, token: str, operation: Sealed, patience: float) -> None:
        self._client = client
        self._token = token
        self._operation = operation
        self._patience = patience
        self._out: dict[Future[Answer | None], Job] = {}
        self._done: queue.SimpleQueue[Future[Answer | None] | Told] = queue.SimpleQueue()
        self._told: dict[str, int] = {}
        self._sent = 0
        self._look_at = 0.0
        self.threads = 0

    def told(self, told: Told) -> None:
        """A worker tells how far a job has come; from any thread."""
        self._done.put(told)

    def check_workers(self) -> None:
        """Ask the workers that there are whether they can take part; one that comes later
        says so with its first job.

        Raises:
            ConfigError: storage-core is not installed there, or another version of it, or
                another machine is not like this one.
            UnavailableError: there are no workers.
        """
        self._wait_for_workers()
        self._ask(metadata.version, _DISTRIBUTION)  # with nothing of ours, which may be missing
        self._ask(worker.welcome, storage_core.__version__, self._token, self._operation)

    def _ask(self, question: Callable[..., Any], *arguments: object) -> None:
        with self._reaching():
            answers: dict[str, Any] = self._client.run(question, *arguments, on_error="return")
        for address, answer in sorted(answers.items()):
            if isinstance(answer, Refusal):
                raise answer.error
            if isinstance(answer, ImportError):
                raise ConfigError(_missing(f"the worker {address}", answer)) from answer
            if isinstance(answer, Exception) and not isinstance(answer, OSError):
                raise ConfigError(f"the worker {address} can not take part: {answer}") from answer
            # With an OSError it has just been lost.

    def follow(self, course: Course) -> None:
        """Do all jobs of a course.

        Raises:
            StorageError, OSError: as answered by a worker; the others' jobs are called off.
            UnavailableError: the scheduler is out of reach, or there are no workers.
        """
        try:
            while True:
                while len(self._out) < AHEAD * self.threads and (job := course.next(self.threads)):
                    self._send(job)
                if not self._out:
                    return
                self._receive(course)
        except BaseException:
            self._call_off()
            raise

    def close(self) -> None:
        """Let the workers close what they have open for this operation."""
        if self._client.status != "running":
            return  # they close it when they are left alone for a while
        with suppress(Exception):  # likewise
            self._client.run(worker.dismiss, self._token, on_error="ignore")

    def _send(self, job: Job) -> None:
        self._sent += 1
        kind = type(job).__name__.lower()
        with self._reaching():
            future: Any = self._client.submit(
                worker.perform,
                storage_core.__version__,
                self._token,
                self._operation,
                Sealed(pickle.dumps(job)),
                key=task_key(kind, self._token, self._sent),
                pure=False,
            )
        self._out[future] = job
        self._told[future.key] = 0
        future.add_done_callback(self._done.put)

    def _receive(self, course: Course) -> None:
        future = self._next()
        if isinstance(future, Told):
            if (before := self._told.get(future.task)) is not None:
                self._told[future.task] = future.bytes
                course.moved(future.bytes - before)
            return
        job = self._out.pop(future)
        told = self._told.pop(future.key)
        try:
            with self._reaching():
                answer: Answer = future.result()
        except Exception as error:  # noqa: BLE001 - whatever a task or the cluster raises
            self._failed(course, job, error, told)
            return
        finally:
            future.release()
        if isinstance(answer, Refusal):
            raise answer.error
        course.take(job, answer, told)

    def _next(self) -> Any:
        while True:
            if time.monotonic() >= self._look_at:
                self._wait_for_workers()
            with suppress(queue.Empty):
                return self._done.get(timeout=_LOOK)

    def _failed(self, course: Course, job: Job, error: Exception, told: int) -> None:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            lost = UnavailableError(
                f"{error.allowed_failures + 1} workers were lost while they did it, one after the"
                " other; their logs say why, a lack of memory for one"
            )
            course.give_up(job, lost, told)
        elif isinstance(error, CancelledError):
            raise UnavailableError(
                f"the cluster called the work off ({error}); the same call goes on from what is"
                " done"
            ) from error
        elif isinstance(error, ImportError):
            raise ConfigError(_missing("a worker", error)) from error
        else:
            raise error

    def _wait_for_workers(self) -> None:
        """Learn how many threads there are.

        Raises:
            UnavailableError: there are none for too long, or the scheduler does not answer.
        """
        with self._reaching():
            self.threads = sum(self._client.nthreads().values())
            if not self.threads:
                # A cluster that grows with its work gets some.
                wanted = self._client.submit(int, key=f"storage-wake-{self._token}", pure=False)
                try:
                    wanted.result(timeout=self._patience)
                except TimeoutError as error:
                    raise UnavailableError(
                        f"the cluster has had no workers for {self._patience:g} s; start some"
                    ) from error
                finally:
                    wanted.release()
                self.threads = max(1, sum(self._client.nthreads().values()))
        self._look_at = time.monotonic() + _LOOK

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Around what asks the scheduler: tells that it is out of reach."""
        try:
            yield
        except StorageError:
            raise
        except Exception as error:
            if isinstance(error, OSError) or self._client.status != "running":
                raise UnavailableError(
                    f"the scheduler is out of reach ({error}); the same call goes on from what is"
                    " done"
                ) from error
            raise

    def _call_off(self) -> None:
        futures: list[Any] = list(self._out)
        self._out.clear()
        if self._client.status == "running":
            with suppress(Exception):  # what brought us here is to be told
                self._client.cancel(futures, force=True)


def _missing(address: str, error: ImportError) -> str:
    return (
        f"{address} can not take part: what it needs is not installed there ({error}); install the"
        " same version of 'storage-core[dask]' on all machines"
    )
