"""The workers of a cluster, for one operation."""

from __future__ import annotations

import pickle
import queue
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, nullcontext, suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import storage_core
from storage_core.cluster.dask import worker
from storage_core.cluster.dask.telling import listening, task_key
from storage_core.cluster.engine import Crew, Done, Event, Lost, Told
from storage_core.cluster.jobs import Answer, Job, Refusal, Sealed
from storage_core.cluster.session import Operation, parcel
from storage_core.errors import ConfigError, StorageError, UnavailableError

if TYPE_CHECKING:
    from distributed import Future

_DISTRIBUTION: Final = "storage-core"
_LOOK: Final = 5.0
"""Seconds after which the client looks again how many workers there are."""


@contextmanager
def working(client: Any, operation: Operation, patience: float) -> Iterator[DaskCrew]:
    """All workers that there are, after they were asked whether they can take part.

    Args:
        client: Of the cluster.
        operation: What is to be done.
        patience: Seconds to wait when there are no workers.

    Raises:
        ConfigError: storage-core is not installed there, or another version of it, or another
            machine is not like this one.
        InvalidRequestError: a part of the operation can not be sent.
        UnavailableError: there are no workers, or the scheduler is out of reach.
    """
    from distributed import protocol

    # As Dask does it: a function of a notebook goes along by value.
    sealed = parcel(operation, protocol.pickle.dumps)
    crew = DaskCrew(client, secrets.token_hex(16), sealed, patience)
    try:
        crew.check_workers()
        with listening(client, crew.token, crew.told) if operation.progress else nullcontext():
            yield crew
    finally:
        crew.close()


class DaskCrew(Crew):
    """See `working`.

    Args:
        client: Of the cluster.
        token: Names the operation; tells nothing else, for it is on dashboards and in logs.
        operation: What all its jobs have in common.
        patience: Seconds to wait when there are no workers.
    """

    batch = 256

    def __init__(self, client: Any, token: str, operation: Sealed, patience: float) -> None:
        self._client = client
        self.token = token
        self._operation = operation
        self._patience = patience
        self._out: dict[Future[Answer], int] = {}
        self._happened: queue.SimpleQueue[Future[Answer] | Told] = queue.SimpleQueue()
        self._look_at = 0.0
        self._threads = 0

    @property
    def threads(self) -> int:
        return self._threads

    def told(self, told: Told) -> None:
        """A worker tells how far a job has come; from any thread."""
        self._happened.put(told)

    def check_workers(self) -> None:
        """Ask the workers that there are whether they can take part; one that comes later
        says so with its first job.

        Raises:
            ConfigError, UnavailableError: as `working`.
        """
        self._wait_for_workers()
        self._ask(metadata.version, _DISTRIBUTION)  # with nothing of ours, which may be missing
        self._ask(worker.welcome, storage_core.__version__, self.token, self._operation)

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

    def send(self, number: int, job: Job) -> None:
        kind = type(job).__name__.lower()
        with self._reaching():
            future: Any = self._client.submit(
                worker.perform,
                storage_core.__version__,
                self.token,
                self._operation,
                Sealed(pickle.dumps(job)),
                key=task_key(kind, self.token, number),
                pure=False,
            )
        self._out[future] = number
        future.add_done_callback(self._happened.put)

    def next(self) -> Event:
        found = self._wait()
        if isinstance(found, Told):
            return found
        number = self._out.pop(found)
        try:
            with self._reaching():
                return Done(number, found.result())
        except Exception as error:  # noqa: BLE001 - whatever a task or the cluster raises
            return Lost(number, self._lost(error))
        finally:
            found.release()

    def _wait(self) -> Any:
        while True:
            if time.monotonic() >= self._look_at:
                self._wait_for_workers()
            with suppress(queue.Empty):
                return self._happened.get(timeout=_LOOK)

    def _lost(self, error: Exception) -> UnavailableError:
        """That a job is given up; all else ends the operation."""
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return UnavailableError(
                f"{error.allowed_failures + 1} workers were lost while they did it, one after the"
                " other; their logs say why, a lack of memory for one"
            )
        if isinstance(error, CancelledError):
            raise UnavailableError(
                f"the cluster called the work off ({error}); the same call goes on from what is"
                " done"
            ) from error
        if isinstance(error, ImportError):
            raise ConfigError(_missing("a worker", error)) from error
        raise error

    def _wait_for_workers(self) -> None:
        """Learn how many threads there are.

        Raises:
            UnavailableError: there are none for too long, or the scheduler does not answer.
        """
        with self._reaching():
            self._threads = sum(self._client.nthreads().values())
            if not self._threads:
                # A cluster that grows with its work gets some.
                wanted = self._client.submit(int, key=f"storage-wake-{self.token}", pure=False)
                try:
                    wanted.result(timeout=self._patience)
                except TimeoutError as error:
                    raise UnavailableError(
                        f"the cluster has had no workers for {self._patience:g} s; start some"
                    ) from error
                finally:
                    wanted.release()
                self._threads = max(1, sum(self._client.nthreads().values()))
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

    def close(self) -> None:
        """Call off what is out, and let the workers close what they have open."""
        out: list[Any] = list(self._out)
        self._out.clear()
        if self._client.status != "running":
            return  # they close it when they are left alone for a while
        with suppress(Exception):  # likewise; and what brought us here is to be told
            if out:
                self._client.cancel(out, force=True)
            self._client.run(worker.dismiss, self.token, on_error="ignore")


def _missing(address: str, error: ImportError) -> str:
    return (
        f"{address} can not take part: what it needs is not installed there ({error}); install the"
        " same version of 'storage-core[dask]' on all machines"
    )
