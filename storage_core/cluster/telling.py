"""How far a job has come, told while it runs: events of Dask, from workers to the client.

There is one topic for all operations, for the scheduler keeps what it knows of a topic for good.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from storage_core.transfer.progress import OnProgress, Progress

if TYPE_CHECKING:
    from distributed import Worker

TOPIC: Final = "storage-transfers"
EVERY: Final = 1.0
"""Seconds between two events of a job at least."""


class Told(NamedTuple):
    """A job has moved so many bytes so far.

    Attributes:
        task: Dask's key of the job.
        bytes: How many; less than before when it is done again.
    """

    task: str
    bytes: int


Listener = Callable[[Told], None]

_LISTENERS: Final[dict[str, tuple[Any, Listener]]] = {}
_LOCK: Final = threading.Lock()


def task_key(kind: str, token: str, number: int) -> str:
    """Dask's key of a job. It is on dashboards and in logs, and names no key and no profile."""
    return f"storage-{kind}-{token}-{number}"


def teller(worker: Worker) -> OnProgress:
    """For the job that this thread of a worker is doing: tells the client of its progress."""
    task = str(worker.get_current_task())
    last = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() >= last + EVERY:
            last = time.monotonic()
            worker.log_event(TOPIC, {"task": task, "bytes": progress.bytes})

    return tell


@contextmanager
def listening(client: Any, token: str, listener: Listener) -> Iterator[None]:
    """Be told, from a thread of Dask's, of the jobs of an operation."""
    with _LOCK:
        _LISTENERS[token] = client, listener
    client.subscribe_topic(TOPIC, _dispatch)
    try:
        yield
    finally:
        with _LOCK:
            del _LISTENERS[token]
            others = any(other is client for other, _ in _LISTENERS.values())
        if not others and client.status == "running":
            client.unsubscribe_topic(TOPIC)


def _dispatch(event: tuple[float, Mapping[str, Any]]) -> None:
    message = event[1]
    task = str(message["task"])
    found = _LISTENERS.get(task.rsplit("-", 2)[1])
    if found is not None:
        found[1](Told(task, int(message["bytes"])))
