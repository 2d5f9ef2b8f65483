"""The budget for the buffers of all transfers of this process."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from storage_core.errors import InvalidRequestError

if TYPE_CHECKING:
    from storage_core.runtime.team import Team, Turn

DEFAULT: Final = 256 * 1024**2


class Memory:
    """Bytes that may be reserved, first come first served. A transfer holds one reservation at
    a time: one that held some while it waited for more could wait for itself."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.forget()

    def forget(self) -> None:
        """Begin anew, in a forked child: who reserved or waits is not there."""
        self._used = 0
        self._lock = threading.Lock()
        self._waiting: deque[Turn] = deque()

    def at_once(self, least: int, most: int) -> int:
        """As `reserve`, without a wait: 0 where there is less, or others wait already."""
        with self._lock:
            free = self.limit - self._used
            if self._waiting or free < least:
                return 0
            granted = min(most, free)
            self._used += granted
            return granted

    async def reserve(self, team: Team, least: int, most: int) -> int:
        """Reserve as much as there is between two bounds; waits until there is the lower one.

        Raises:
            InvalidRequestError: the whole budget is less than ``least``.
        """
        turn = None
        while True:
            with self._lock:
                if least > self.limit:
                    if turn is not None:  # the budget was lowered meanwhile
                        self._waiting.remove(turn)
                        self._wake()
                    raise InvalidRequestError(
                        f"the transfer needs {least} bytes of memory and {self.limit} are allowed;"
                        " raise max_memory or lower part_size"
                    )
                ahead = bool(self._waiting) and (turn is None or self._waiting[0] is not turn)
                if not ahead and self.limit - self._used >= least:
                    granted = min(most, self.limit - self._used)
                    self._used += granted
                    if turn is not None:
                        self._waiting.popleft()
                    self._wake()
                    return granted
                if turn is not None:
                    self._waiting.remove(turn)
                    turn = team.turn()
                    self._waiting.appendleft(turn)
                else:
                    turn = team.turn()
                    self._waiting.append(turn)
            try:
                await turn.wait()
            except BaseException:
                with self._lock:
                    self._waiting.remove(turn)
                    self._wake()
                raise

    def release(self, size: int) -> None:
        """Give back what was reserved."""
        with self._lock:
            self._used -= size
            self._wake()

    def resize(self, limit: int) -> None:
        """Change the budget; what is reserved stays."""
        with self._lock:
            self.limit = limit
            self._wake()

    def _wake(self) -> None:
        if self._waiting:
            self._waiting[0].wake()


MEMORY = Memory(DEFAULT)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=MEMORY.forget)


def set_max_memory(size: int) -> None:
    """Set how many bytes the buffers of all transfers of this process may take together;
    256 MiB without it.

    Raises:
        InvalidRequestError: less than 1 MiB.
    """
    if size < 1024**2:
        raise InvalidRequestError(f"max_memory {size!r} is below 1 MiB")
    MEMORY.resize(size)
