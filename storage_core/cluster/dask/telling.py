"""How far a job has come, told while it runs: events of Dask, from workers to the client.

There is one topic for all operations, for the scheduler keeps what it knows of a topic for good.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from storage_core.cluster.engine import Told

if TYPE_CHECKING:
    from distributed import Worker

TOPIC: Final = "storage-transfers"

Listener = Callable[[Told], None]

_LISTENERS: Final[dict[str, tuple[Any, Listener]]] = {}
_LOCK: Final = threading.Lock()


def task_key(kind: str, token: str, number: int) -> str:
    """Dask's key of a job. It is on dashboards and in logs, and names no key and no profile."""
    return f"storage-{kind}-{token}-{number}"


def teller(worker: Worker) -> Callable[[int], None]:
    """For the job that this thread of a worker is doing: tells the client of its bytes."""
    task = str(worker.get_current_task())

    def tell(size: int) -> None:
        worker.log_event(TOPIC, {"task": task, "bytes": size})

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
    _, _, token, number = str(message["task"]).split("-")
    found = _LISTENERS.get(token)
    if found is not None:
        found[1](Told(int(number), int(message["bytes"])))
