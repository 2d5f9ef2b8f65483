"""Ctrl-C and SIGTERM: the first one unwinds the command, a second one ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from storage_core.cli.status import INTERRUPTED, TERMINATED

_STATUS = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
_SAME = 0.5
"""Seconds within which another signal is the same one: `timeout` sends its own twice."""
_SHOW_CURSOR = b"\x1b[?25h\n"


class Terminated(BaseException):
    """SIGTERM; unwinds like a Ctrl-C, so that nothing half-written stays behind."""


@contextmanager
def unwinding() -> Iterator[None]:
    """Have Ctrl-C raise `KeyboardInterrupt` and SIGTERM `Terminated`, once."""
    asked: float | None = None

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        now = time.monotonic()
        if asked is not None:
            if now - asked > _SAME:
                _give_up(number)
            return
        asked = now
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    # Whoever started the process may want it to ignore Ctrl-C, as nohup does.
    wanted = [
        number
        for number in _STATUS
        if number != signal.SIGINT or signal.getsignal(number) is signal.default_int_handler
    ]
    before = {number: signal.signal(number, handle) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _give_up(number: int) -> None:
    """End without unwinding: what stays behind is what a crash would leave."""
    if sys.stderr.isatty():
        with suppress(OSError):
            os.write(2, _SHOW_CURSOR)  # a bar may have hidden it
    os._exit(_STATUS[signal.Signals(number)])
