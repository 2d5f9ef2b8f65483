"""Keys kept for later, in a file when they are many."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Final

_IN_MEMORY: Final = 4 * 1024**2
"""Bytes of keys that are kept in memory."""


class Spool:
    """Keys in the order in which they were added."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - `close`
        self.count = 0

    def add(self, key: str) -> None:
        """Keep one; no key holds a NUL."""
        self._file.write(key.encode(errors="surrogatepass") + b"\0")
        self.count += 1

    def batches(self, size: int) -> Iterator[list[str]]:
        """All of them, ``size`` at a time."""
        self._file.seek(0)
        rest, found = b"", []
        while piece := self._file.read(64 * 1024):
            *whole, rest = (rest + piece).split(b"\0")
            found += [key.decode(errors="surrogatepass") for key in whole]
            while len(found) >= size:
                yield found[:size]
                found = found[size:]
        if found:
            yield found

    def close(self) -> None:
        """Forget all."""
        self._file.close()
