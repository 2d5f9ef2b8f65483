from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where that can be: these tests make thousands of small trees, and neither
    ``kill -9`` nor the model of a power failure depends on the real disk."""
    shm = "/dev/shm"
    place = shm if os.access(shm, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as made:
        yield Path(made)
