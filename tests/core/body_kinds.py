"""One body of each kind, all with the same bytes."""

from __future__ import annotations

import array
import gzip
import io
import mmap
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = bytes(range(256)) * 1100 + b"end"  # more than one piece, and not a round number


def real_file(tmp_path: Path, offset: int) -> io.BufferedReader:
    path = tmp_path / "body"
    path.write_bytes(b"x" * offset + DATA)
    file = path.open("rb")
    file.seek(offset)
    return file


def memory_map(tmp_path: Path) -> mmap.mmap:
    with real_file(tmp_path, 0) as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def spooled(tmp_path: Path) -> Any:
    file = tempfile.SpooledTemporaryFile(max_size=10)  # noqa: SIM115 - closed by the test
    file.write(b"skip" + DATA)
    file.seek(4)
    return file


def compressed(tmp_path: Path) -> Any:
    path = tmp_path / "body.gz"
    path.write_bytes(gzip.compress(DATA))
    return gzip.open(path, "rb")


class OnlyRead:
    """The least a file object may be: no position, no descriptor."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._inner.read(min(size, 1000))


def wide(data: bytes) -> memoryview:
    assert len(data) % 4 == 3
    return memoryview(array.array("I", data + b"!"))


BODIES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: DATA,
    "bytearray": lambda _: bytearray(DATA),
    "memoryview": lambda _: memoryview(DATA),
    "view of a part": lambda _: memoryview(b"--" + DATA + b"--")[2:-2],
    "view with a stride": lambda _: memoryview(bytes(b for one in DATA for b in (one, 0)))[::2],
    "mmap": memory_map,
    "array": lambda _: array.array("B", DATA),
    "BytesIO": lambda _: io.BytesIO(DATA),
    "file": lambda path: real_file(path, 0),
    "file from its position": lambda path: real_file(path, 5),
    "unbuffered file": lambda path: real_file(path, 0).detach(),
    "spooled file": spooled,
    "gzip": compressed,
    "only read()": lambda _: OnlyRead(DATA),
    "generator": lambda _: (DATA[at : at + 999] for at in range(0, len(DATA), 999)),
    "list": lambda _: [DATA[:1], b"", bytearray(DATA[1:9]), memoryview(DATA)[9:]],
}
