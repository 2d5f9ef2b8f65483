"""Processes, as the system tells of them."""

from __future__ import annotations

from pathlib import Path


def is_gone(pid: int) -> bool:
    """Whether it has ended, though nobody may have asked how."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def children(pid: int) -> list[int]:
    """Processes that one has started and that are there still."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in found for child in thread.read_text().split()]
