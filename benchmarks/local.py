"""Local disk: this library's blocking face against raw system calls and its peers.

    python benchmarks/local.py [--dir DIRECTORY] [--quick] [small | large | list | import ...]

Every figure is the median of interleaved rounds, so that the contenders share the machine's
good and bad moments; compare ratios within one run, not figures between runs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import fsspec
import obstore
from obstore.store import LocalStore

import storage_core

BODY = os.urandom(4096)
GIB = 1024**3

Put: TypeAlias = Callable[[list[str]], None]
"""Puts a body under each of the keys."""

C_LOOP = r"""
#include <fcntl.h>
#include <nmmintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* read + CRC32C + write: three interleaved crc streams would hide the latency of the
   instruction; one stream is what a straightforward program has. */
static char buffer[1 << 18];
int main(int argc, char **argv) {
    int in = open(argv[1], O_RDONLY), out = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
    uint64_t crc = 0xffffffff;
    ssize_t n;
    while ((n = read(in, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i + 8 <= n; i += 8) {
            uint64_t word;
            memcpy(&word, buffer + i, 8);
            crc = _mm_crc32_u64(crc, word);
        }
        if (write(out, buffer, n) != n) return 1;
    }
    printf("%08x\n", (uint32_t)~crc);
    return n < 0;
}
"""


def rounds(
    contenders: Mapping[str, Callable[[], None]], count: int, repeat: int
) -> dict[str, float]:
    """Median seconds of one call of each contender."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(count):
        for name, call in contenders.items():
            begin = time.perf_counter()
            for _ in range(repeat):
                call()
            times[name].append((time.perf_counter() - begin) / repeat)
    return {name: statistics.median(found) for name, found in times.items()}


def show(title: str, found: Mapping[str, float], base: str, scale: float, unit: str) -> None:
    """Print one table: figure, and speed relative to ``base`` (more is faster)."""
    print(f"\n{title}")
    for name, value in found.items():
        ratio = found[base] / value
        print(f"  {name:34} {value * scale:10.1f} {unit}   {ratio:6.2f} of {base}")


# --- small objects --------------------------------------------------------------------


def small(place: Path, *, quick: bool) -> None:
    """Get and put of 4 KiB, one at a time, the same 500 keys."""
    raw = place / "raw"
    raw.mkdir()
    keys = [f"k{number:04}" for number in range(500)]
    peer = LocalStore(str(place / "obstore"), mkdir=True)
    files = fsspec.filesystem("file")
    durable = storage_core.open_url(f"file://{place}/durable")
    plain = storage_core.open_url(f"file://{place}/plain?fsync=false")
    slow = durable.create_bucket("bench")
    fast = plain.create_bucket("bench")
    for key in keys:
        (raw / key).write_bytes(BODY)
        fast.put(key, BODY)
        slow.put(key, BODY)
        obstore.put(peer, key, BODY)
    raw_dir = os.open(raw, os.O_RDONLY)
    paths = [str(raw / key) for key in keys]

    def raw_get() -> None:
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            os.read(fd, 8192)
            os.close(fd)

    def our_get() -> None:
        for key in keys:
            with fast.get(key) as reader:
                reader.read()

    def obstore_get() -> None:
        for key in keys:
            bytes(obstore.get(peer, key).bytes())

    def fsspec_get() -> None:
        for path in paths:
            files.cat_file(path)

    def raw_put(names: list[str], *, sync: bool) -> None:
        for name in names:
            path = f"{raw}/{name}"
            fd = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(fd, BODY)
            if sync:
                os.fsync(fd)
            os.close(fd)
            os.rename(path + ".tmp", path)
            if sync:
                os.fsync(raw_dir)

    def our_put(bucket: storage_core.Bucket, names: list[str]) -> None:
        for name in names:
            bucket.put(name, BODY)

    def obstore_put(names: list[str]) -> None:
        for name in names:
            obstore.put(peer, name, BODY)

    def fsspec_put(names: list[str]) -> None:
        for name in names:
            files.pipe_file(f"{raw}/{name}.fsspec", BODY)

    plain_puts: dict[str, Put] = {
        "raw": lambda names: raw_put(names, sync=False),
        "storage-core": lambda names: our_put(fast, names),
        "obstore": obstore_put,
        "fsspec (in place)": fsspec_put,
    }
    durable_puts: dict[str, Put] = {
        "raw": lambda names: raw_put(names, sync=True),
        "storage-core": lambda names: our_put(slow, names),
    }
    fresh = itertools.count()

    def over(put: Put) -> Callable[[], None]:
        return lambda: put(keys)

    def new(put: Put) -> Callable[[], None]:
        return lambda: put([f"n{next(fresh):07}" for _ in keys])

    count = 5 if quick else 21
    scale = 1e6 / len(keys)
    gets = {"raw": raw_get, "storage-core": our_get, "obstore": obstore_get, "fsspec": fsspec_get}
    show("get 4 KiB (open, read, close)", rounds(gets, count, 4), "raw", scale, "us")
    for what, how in (("new keys", new), ("overwriting", over)):
        for name, puts in (
            (f"put 4 KiB, {what}, not durable (temp, rename)", plain_puts),
            (f"put 4 KiB, {what}, durable (temp, fsync, rename, fsync)", durable_puts),
        ):
            calls = {contender: how(put) for contender, put in puts.items()}
            tries = count if puts is plain_puts else count // 2
            show(name, rounds(calls, tries, 1), "raw", scale, "us")
    os.close(raw_dir)
    durable.close()
    plain.close()


# --- one large object -----------------------------------------------------------------


def large(place: Path, *, quick: bool) -> None:
    """1 GiB from a file and to a file, checksummed, not durable, against the loop in C."""
    size = GIB // 8 if quick else GIB
    source, target = place / "source", place / "target"
    with source.open("wb") as fresh:
        block = os.urandom(1 << 20)
        for _ in range(size >> 20):
            fresh.write(block)
    program = place / "loop"
    code = place / "loop.c"
    code.write_text(C_LOOP)
    subprocess.run(["cc", "-O2", "-msse4.2", "-o", program, code], check=True)
    storage = storage_core.open_url(f"file://{place}/root?fsync=false")
    bucket = storage.create_bucket("bench")
    with source.open("rb") as file:
        bucket.put("object", file)

    def loop() -> None:
        target.unlink(missing_ok=True)
        subprocess.run([program, source, target], check=True, stdout=subprocess.DEVNULL)

    def put() -> None:
        bucket.delete("object")
        with source.open("rb") as file:
            bucket.put("object", file)

    def get() -> None:
        target.unlink(missing_ok=True)
        with bucket.get("object") as reader, target.open("wb", buffering=0) as out:
            for piece in reader:
                out.write(piece)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = rounds({"loop in C": loop, "put": put, "get": get}, 3 if quick else 7, 1)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    show(f"{size >> 20} MiB, CRC32C, not durable", found, "loop in C", 1e3, "ms")
    print(f"  peak memory grew by {growth} MiB during these rounds")
    storage.close()


# --- listing --------------------------------------------------------------------------


def listing(place: Path, *, quick: bool) -> None:
    """All keys of a bucket, and one page deep in it."""
    number = 10_000 if quick else 100_000
    raw = place / "obstore" / "d"
    raw.mkdir(parents=True)
    peer = LocalStore(str(place / "obstore"))
    storage = storage_core.open_url(f"file://{place}/root?fsync=false")
    bucket = storage.create_bucket("bench")
    for one in range(number):
        bucket.put(f"d/{one:07}", b"")
        (raw / f"{one:07}").touch()
    files = fsspec.filesystem("file")

    def check(count: int) -> None:
        if count != number:
            raise AssertionError(count)

    contenders: dict[str, Callable[[], None]] = {
        "storage-core": lambda: check(sum(1 for _ in bucket.list())),
        "obstore": lambda: check(sum(len(page) for page in obstore.list(peer))),
        "fsspec": lambda: check(len(files.ls(str(raw), detail=True))),
    }
    found = rounds(contenders, 3 if quick else 7, 1)
    show(f"list {number} keys", found, "obstore", 1e6 / number, "us per key")
    print("  " + ", ".join(f"{name} {number / value:,.0f}/s" for name, value in found.items()))
    start = f"d/{number - number // 10:07}"

    def deep() -> None:
        next(iter(bucket.list(start_after=start, page_size=1000).pages()))

    show(
        "a page of 1000 at nine tenths",
        rounds({"storage-core": deep}, 9, 3),
        "storage-core",
        1e3,
        "ms",
    )
    storage.close()


# --- import ---------------------------------------------------------------------------


def imports(place: Path, *, quick: bool) -> None:
    """Process CPU time of an import, the interpreter's own start taken off."""
    del place

    def cost(statement: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", statement], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    statements = {
        "nothing": "pass",
        "storage_core": "import storage_core",
        "asyncio": "import asyncio",
        "obstore": "import obstore",
        "fsspec": "import fsspec",
    }
    times: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(5 if quick else 25):
        for name, statement in statements.items():
            times[name].append(cost(statement))
    middle = {name: statistics.median(found) for name, found in times.items()}
    rest = {name: max(1e-9, value - middle["nothing"]) for name, value in middle.items()}
    del rest["nothing"]
    show("import, CPU", rest, "asyncio", 1e3, "ms")


PARTS = {"small": small, "large": large, "list": listing, "import": imports}


def main() -> None:
    """Run the parts asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dir", type=Path, help="where to work (default: the temporary directory)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes")
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    arguments = parser.parse_args()
    for part in arguments.parts:
        place = Path(tempfile.mkdtemp(prefix="storage-bench-", dir=arguments.dir))
        try:
            PARTS[part](place, quick=arguments.quick)
        finally:
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
