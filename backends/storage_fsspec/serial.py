"""One call at a time on a filesystem that several threads share.

fsspec promises nothing about threads. Its own filesystems of memory and of the machine, and those
that run on its event loop, take calls from any thread; connections such as SFTP's or FTP's do not.
"""

from __future__ import annotations

import threading
from typing import Any

_SAFE = frozenset(("file", "local", "memory"))


class Serial:
    """A filesystem, or a file of it, whose methods wait for one another."""

    def __init__(self, target: Any, lock: threading.RLock | None = None) -> None:
        self._target = target
        self._lock = lock or threading.RLock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                answer = found(*arguments, **named)
            return Serial(answer, self._lock) if name == "open" else answer

        return call

    def __enter__(self) -> Serial:
        with self._lock:
            self._target.__enter__()
        return self

    def __exit__(self, *raised: Any) -> Any:
        with self._lock:
            return self._target.__exit__(*raised)


def shareable(fs: Any) -> Any:
    """The filesystem as threads can share it."""
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    return fs if fs.async_impl or protocols & _SAFE else Serial(fs)
