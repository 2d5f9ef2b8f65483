"""Open directories: cached, shared by threads, and never shared with a forked child.

A lock of flock(2) belongs to the open file, so threads that use one descriptor need a lock of
their own beside it, and a forked child must open its own.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from types import TracebackType
from weakref import WeakSet

from storage_local import syscalls

CAPACITY = 256


class Handle:
    """An open descriptor that closes when the last user drops it."""

    __slots__ = ("__weakref__", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class Leaf(Handle):
    """An open leaf directory with its lock between threads and processes.

    A thread never locks a leaf twice. If it holds the lock already, an interrupt (Ctrl-C) came
    before an `unlock`, which no Python code can rule out: then it takes over its own lock
    instead of waiting for itself.
    """

    __slots__ = ("id", "mutex")

    def __init__(self, fd: int, identity: str) -> None:
        super().__init__(fd)
        self.id = identity
        self.mutex = threading.RLock()

    def lock(self, kind: int = fcntl.LOCK_EX) -> None:
        """Take the lock: ``LOCK_EX`` to change, ``LOCK_SH`` to scan."""
        if not self.mutex._is_owned():  # type: ignore[attr-defined]
            self.mutex.acquire()
        try:
            fcntl.flock(self.fd, kind)
        except BaseException:
            self.unlock()  # an interrupt may come when the lock is taken already
            raise

    def unlock(self) -> None:
        """Release the lock."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_UN)
        finally:
            self.mutex.release()


class FileLock:
    """``with FileLock(name, dir_fd, kind):`` holds flock(2) on a file by a descriptor of its
    own, so that threads exclude each other as processes do."""

    __slots__ = ("_arguments", "_fd")

    def __init__(self, name: str, dir_fd: int, kind: int) -> None:
        self._arguments = (name, dir_fd, kind)
        self._fd = -1

    def __enter__(self) -> None:
        name, dir_fd, kind = self._arguments
        fd = os.open(name, syscalls.READ, dir_fd=dir_fd)
        try:
            fcntl.flock(fd, kind)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # Closing alone would leave the lock with a child that another thread forked.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        finally:
            os.close(self._fd)


class Handles:
    """The open leaves of one root, the oldest closed when there are too many."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._open: dict[str, Leaf] = {}
        self._mutex = threading.Lock()

    def at_hand(self, identity: str) -> Leaf | None:
        """The leaf of that id, if it is open."""
        return self._open.get(identity)

    def leaf(self, identity: str, dir_fd: int) -> Leaf:
        """The leaf of that id, whose directory is in ``dir_fd``.

        Raises:
            FileNotFoundError: it is gone.
        """
        leaf = self._open.get(identity)
        if leaf is not None:
            return leaf
        fresh = Leaf(os.open(identity, syscalls.DIRECTORY, dir_fd=dir_fd), identity)
        with self._mutex:
            leaf = self._open.setdefault(identity, fresh)
            if len(self._open) > self._capacity:
                del self._open[next(iter(self._open))]
        return leaf

    def drop(self, identity: str) -> None:
        """Forget a leaf that was removed."""
        with self._mutex:
            self._open.pop(identity, None)

    def reset(self) -> None:
        """Forget all, with new locks: for close, and for a forked child."""
        self._mutex = threading.Lock()
        self._open = {}


_after_fork: WeakSet[Callable[[], None] | object] = WeakSet()


class ForkAware:
    """Base of what must begin afresh in a forked child."""

    def __init__(self) -> None:
        _after_fork.add(self)

    def after_fork(self) -> None:
        """Called in the child, where no other thread runs."""
        raise NotImplementedError


def _run_after_fork() -> None:
    for one in list(_after_fork):
        assert isinstance(one, ForkAware)
        one.after_fork()


os.register_at_fork(after_in_child=_run_after_fork)
