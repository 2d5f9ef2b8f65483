"""What tests of downloads share."""

from __future__ import annotations

import random
from pathlib import Path

from storage_core import TransferOptions

PART = 64 * 1024
OPTIONS = TransferOptions(part_size=PART)


def content(size: int, seed: int = 1) -> bytes:
    """Bytes that are nowhere alike."""
    return random.Random(seed).randbytes(size)


def left_in(folder: Path) -> list[str]:
    """Names in a folder, without the state directory."""
    return sorted(path.name for path in folder.iterdir() if path.name != "state")
