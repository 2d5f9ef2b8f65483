"""Layouts for a local object store, compared: a file per object, SQLite, ordered leaves.

    python benchmarks/layout.py [--quick] [--dir DIRECTORY] [--objects N]

Each stores objects of 4 KiB with a little metadata, gets them at random, and reads one page
of 1000 from nine tenths of the bucket. The file per object keeps its metadata in an extended
attribute; its page has to read and sort the whole directory, since directories have no order.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import storage_core

BODY = os.urandom(4096)
PAGE = 1000


class FilePerObject:
    """The key is the file's name; nothing is synced."""

    name = "file per object"

    def __init__(self, place: Path) -> None:
        self.place = str(place / "files")
        os.mkdir(self.place)

    def put(self, key: str) -> None:
        path = f"{self.place}/{key}"
        fd = os.open(f"{path}.tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, BODY)
        with contextlib.suppress(OSError):  # tmpfs of older kernels has none
            os.setxattr(fd, "user.meta", b'{"etag":"0123456789abcdef"}')
        os.close(fd)
        os.rename(f"{path}.tmp", path)

    def get(self, key: str) -> None:
        fd = os.open(f"{self.place}/{key}", os.O_RDONLY)
        os.read(fd, 8192)
        os.close(fd)

    def page(self, start: str) -> int:
        names = sorted(name for name in os.listdir(self.place) if name > start)[:PAGE]
        return sum(1 for name in names if os.stat(f"{self.place}/{name}").st_size)


class Sqlite:
    """One table by key, bodies inline, write-ahead log, without waiting for the disk."""

    name = "SQLite, bodies inline"

    def __init__(self, place: Path) -> None:
        self.db = sqlite3.connect(place / "objects.db", isolation_level=None)
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=off")
        self.db.execute("create table o(key text primary key, meta text, body blob) without rowid")

    def put(self, key: str) -> None:
        self.db.execute("insert or replace into o values(?,?,?)", (key, '{"etag":"0123"}', BODY))

    def get(self, key: str) -> None:
        self.db.execute("select meta, body from o where key=?", (key,)).fetchone()

    def page(self, start: str) -> int:
        query = "select key, meta, length(body) from o where key>? order by key limit ?"
        return len(self.db.execute(query, (start, PAGE)).fetchall())


class Leaves:
    """This library's driver through the blocking face."""

    name = "ordered leaves (storage_local)"

    def __init__(self, place: Path) -> None:
        self.storage = storage_core.open_url(f"file://{place}/root?fsync=false")
        self.bucket = self.storage.create_bucket("bench")

    def put(self, key: str) -> None:
        self.bucket.put(key, BODY)

    def get(self, key: str) -> None:
        with self.bucket.get(key) as reader:
            reader.read()

    def page(self, start: str) -> int:
        pages = self.bucket.list(start_after=start, page_size=PAGE).pages()
        return len(next(iter(pages)).items)


def timed(call: Callable[[str], object], arguments: list[str]) -> float:
    """Seconds per call."""
    begin = time.perf_counter()
    for argument in arguments:
        call(argument)
    return (time.perf_counter() - begin) / len(arguments)


def main() -> None:
    """Fill each layout and measure it."""
    parser = argparse.ArgumentParser(description="Layouts for a local object store, compared.")
    parser.add_argument("--dir", type=Path, help="where to work (default: the temporary directory)")
    parser.add_argument("--quick", action="store_true", help="fewer objects")
    parser.add_argument("--objects", type=int, help="100000; with --quick 5000")
    arguments = parser.parse_args()
    count = arguments.objects or (5000 if arguments.quick else 100_000)
    place = Path(tempfile.mkdtemp(prefix="storage-layout-", dir=arguments.dir))
    keys = [f"k{number:08}" for number in range(count)]
    random.Random(1).shuffle(keys)
    start = f"k{count * 9 // 10:08}"
    try:
        layouts: list[FilePerObject | Sqlite | Leaves] = [
            FilePerObject(place),
            Sqlite(place),
            Leaves(place),
        ]
        puts: dict[str, list[float]] = {one.name: [] for one in layouts}
        for at in range(0, len(keys), 1000):  # in turns, so that all see the same machine
            for one in layouts:
                some = keys[at : at + 1000]
                puts[one.name].append(timed(one.put, some))
        print(f"{count} objects of {len(BODY)} bytes; medians")
        print(f"{'':32} {'put us':>9} {'get us':>9} {'page ms':>9}")
        for one in layouts:
            some = random.Random(2).sample(keys, min(5000, len(keys)))
            gets = [timed(one.get, some) for _ in range(5)]
            pages = [timed(one.page, [start]) for _ in range(9)]
            print(
                f"{one.name:32} {statistics.median(puts[one.name]) * 1e6:9.1f}"
                f" {statistics.median(gets) * 1e6:9.1f} {statistics.median(pages) * 1e3:9.1f}"
            )
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
