"""What a worker process has open: both sides of an operation, once, however many jobs it does."""

from __future__ import annotations

import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage_core import plugins
from storage_core.blocking.storage import Storage
from storage_core.blocking.transfers import end_of
from storage_core.blocking.tree import Tree
from storage_core.cluster.jobs import Sealed
from storage_core.cluster.marks import Mark, check_mark
from storage_core.errors import ClosedError, ConfigError, InvalidRequestError
from storage_core.transfer.folder import FolderSide
from storage_core.transfer.options import TransferOptions
from storage_core.transfer.prefix import BucketSide
from storage_core.transfer.rules import Rules

IDLE = 60.0
"""Seconds after its last job that a worker keeps storages open whose client does not come back;
one that does closes them when it is through."""

Place = Tree | Path


@dataclass(frozen=True, slots=True)
class Operation:
    """What all jobs of one call of `sync`, `copy_tree` or `verify` have in common.

    Attributes:
        source: One side.
        target: The other.
        rules: What takes part, and how.
        options: The caller's.
        marks: By which a worker knows the sides.
        outcomes: Whether the outcomes of all keys are wanted, not only of those that fail.
        progress: Whether jobs tell how far they have come.
    """

    source: Place
    target: Place
    rules: Rules
    options: TransferOptions
    marks: tuple[Mark, Mark]
    outcomes: bool
    progress: bool


@dataclass(frozen=True, slots=True)
class Parcel:
    """An `Operation` on its way: the drivers that it takes to open it come first, so that a
    worker without one can say so."""

    drivers: tuple[str, ...]
    operation: Sealed


def parcel(operation: Operation, dumps: Callable[[Operation], bytes]) -> Sealed:
    """An operation as workers can open it.

    Args:
        operation: What is sent.
        dumps: Pickles it.

    Raises:
        InvalidRequestError: a part of it can not be sent.
    """
    drivers = {storage.driver.name for storage in storages(operation.source, operation.target)}
    known = [name for name in sorted(drivers) if plugins.find_entry(plugins.GROUP, "driver", name)]
    try:
        inner = dumps(operation)
    except Exception as error:
        raise InvalidRequestError(
            f"a side of the transfer, or content_type, can not be sent to workers: {error}"
        ) from error
    return Sealed(pickle.dumps(Parcel(tuple(known), Sealed(inner))))


class Session:
    """One operation on this worker.

    Raises:
        ConfigError: this worker lacks a driver, or sees other folders and buckets than the
            client.
        StorageError: a side can not be opened here.
    """

    def __init__(self, sealed: Sealed) -> None:
        parcel: Parcel = pickle.loads(sealed)  # noqa: S301 - from the client, as all tasks are
        for name in parcel.drivers:
            plugins.load_driver(name)
        try:
            self.operation: Operation = pickle.loads(parcel.operation)  # noqa: S301
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"what the transfer needs is not installed: {type(error).__name__}: {error}"
            ) from error
        self.closed = False
        self.users = 0
        self.timer: threading.Timer | None = None
        try:
            check_mark(self.operation.source, self.operation.marks[0])
            check_mark(self.operation.target, self.operation.marks[1])
        except BaseException:
            self.close()
            raise

    def checkpoint(self) -> None:
        """For jobs, between pieces of their work.

        Raises:
            ClosedError: the operation was called off.
        """
        if self.closed:
            raise ClosedError("the operation was called off")

    def close(self) -> None:
        """Close the storages; jobs under way fail."""
        self.closed = True
        for storage in storages(self.operation.source, self.operation.target):
            storage.close()


def side(place: Place) -> BucketSide | FolderSide:
    """A place as the engine of transfers takes it."""
    if isinstance(place, Tree):
        return BucketSide(end_of(place.bucket), place.prefix)
    return FolderSide(place)


def storages(*places: Place) -> list[Storage]:
    """The storages of some places, each once."""
    found = [place.bucket.storage for place in places if isinstance(place, Tree)]
    return list({id(storage): storage for storage in found}.values())


class Sessions:
    """All operations of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}
        self._ended: deque[str] = deque(maxlen=256)

    @contextmanager
    def use(self, token: str, sealed: Sealed) -> Iterator[Session]:
        """The session of an operation, opened if it is not yet.

        Raises:
            ClosedError: the operation has ended.
        """
        with self._lock:
            if token in self._ended:
                raise ClosedError("the operation has ended")
            session = self._open.get(token)
            if session is None:
                session = self._open[token] = Session(sealed)
            session.users += 1
            if session.timer is not None:
                session.timer.cancel()
                session.timer = None
        try:
            yield session
        finally:
            with self._lock:
                session.users -= 1
                if not session.users and not session.closed:
                    session.timer = threading.Timer(IDLE, self._rest, (token,))
                    session.timer.daemon = True
                    session.timer.start()

    def end(self, token: str) -> None:
        """The operation has ended; a job of it that comes late is refused."""
        with self._lock:
            self._ended.append(token)
            session = self._open.pop(token, None)
            if session is not None:
                if session.timer is not None:
                    session.timer.cancel()
                session.close()

    def _rest(self, token: str) -> None:
        with self._lock:
            session = self._open.get(token)
            if session is not None and not session.users:
                del self._open[token]
                session.close()


SESSIONS = Sessions()
