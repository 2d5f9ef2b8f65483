"""Functions that worker processes find by their names."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path


def text_of_its_ending(key: str) -> str:
    return f"text/{key[-3:]}"


def fail(key: str) -> str:
    raise LookupError("a bug")


class OddError(Exception):
    """It can be pickled, and nobody can open that."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def fail_oddly(key: str) -> str:
    raise OddError("an odd", "bug")


class HeldError(OSError):
    """It can not be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.held = threading.Lock()


def fail_for_one(key: str) -> str:
    if key.endswith("/13.bin"):
        raise HeldError("not to be had")
    return "text/plain"


def die(key: str) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def die_once(grave: Path, key: str) -> str:
    """Die in the middle of the work, the first time."""
    try:
        grave.touch(exist_ok=False)
    except FileExistsError:
        return "text/plain"
    return die(key)
