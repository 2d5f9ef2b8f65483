"""What tests of uploads share."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage_core import Bucket
from storage_core.transfer.journal import journals
from tests.core.conftest import scripted
from tests.transfer.downloads import OPTIONS, PART, content

DATA = content(5 * PART + 7)
ONE_BY_ONE = replace(OPTIONS, concurrency=1)


def stored(bucket: Bucket, key: str = "pear") -> bytes:
    with bucket.get(key) as reader:
        return reader.read()


def clean(bucket: Bucket) -> bool:
    """Whether nothing is left of uploads."""
    return not list(bucket.list_uploads()) and not journals()


def numbers(bucket: Bucket) -> list[int]:
    """Parts that were sent, in order."""
    return [request.number for request in scripted(bucket).requests("put_part")]


def by_path(path: Path) -> Any:
    return path


def in_memory(path: Path) -> Any:
    return io.BytesIO(path.read_bytes())


def small_pieces(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    return (data[start : start + 1000] for start in range(0, len(data), 1000))
