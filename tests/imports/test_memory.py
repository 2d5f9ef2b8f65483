"""The memory of a worker, whatever the size of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.imports.world import cc5, worker_process

MIB = 1024**2
ROW = 8 * 1024
BATCH_MEMORY = 24 * MIB
"""What batches and caches may take: far less than the large file."""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_large_file_takes_no_more_memory_than_a_small_one(world, distribution):
    with ExitStack() as stack:
        process = worker_process(world, distribution, stack)
        assert world.ended(world.submit(body(4 * MIB))).state == "imported"
        before = peak(process.pid)
        done = world.ended(world.submit(body(48 * MIB)))
        assert (done.state, done.rows_ok) == ("imported", 48 * MIB // ROW)
        assert peak(process.pid) - before < BATCH_MEMORY


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_long_lines_of_small_values_take_little_more(world, distribution):
    """A value takes many times its text; a batch ends the earlier."""
    line = b"[" + b"[]," * (MIB // 3 - 100) + b"[]]"
    lines = (b'{"id": %d, "x": %s}\n' % (number, line) for number in range(12))
    with ExitStack() as stack:
        process = worker_process(world, distribution, stack)
        done = world.ended(world.submit(lines, "jsonl"))
        assert (done.state, done.rows_ok) == ("imported", 12)
        assert peak(process.pid) < 220 * MIB, "where all of them would take 350"


def body(size: int) -> Iterator[bytes]:
    """A file of about so many bytes."""
    head, tail = cc5("10|0||1").split(b"10|0||1\n")
    count = size // ROW
    yield head
    for number in range(count):
        yield b"10|%d|%s|%d\n" % (number, b"x" * ROW, number)
    yield tail.replace(b"99|1", b"99|%d" % count)


def peak(pid: int) -> int:
    """Most memory that a process had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")
