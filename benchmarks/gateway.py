"""What the gateway costs as a server, next to nginx serving the same bytes.

    python benchmarks/gateway.py [--quick] [--rounds N] [--size MIB] [--peers] [--only TEXT]

Every server is a process of its own on the loopback: `storage serve` on local disk, and on S3
(`_s3_server.c`, whose CPU does not count) for what it passes on; nginx from apt with one worker.
Objects lie in the page cache. A client in C (`_http_client.c`) checks status and length of every
answer and has the kernel drop the bodies, so that hardly any time goes into it. In each round
every server in turn gets each task. CPU is that of the server's processes; figures are medians
over the rounds, and a ratio is the median of those to nginx with ``sendfile off`` in the same
round. Requests per second and core are what one second of CPU answers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from urllib.parse import urlsplit

import storage_core
from benchmarks._gateway_servers import Client, Contestant, Servers, contestants, cpu_seconds
from benchmarks._s3_server import Server as S3Server
from storage_core.model import Method

KIB, MIB = 1024, 1024 * 1024
BUCKET = "bench"
REFERENCE = "nginx, sendfile off"
WEEK = 7 * 86400


@dataclass(frozen=True)
class Task:
    """One column of the first table, or one of the second.

    Attributes:
        requests: What a contestant is sent, as `_http_client.c` reads it; empty where it has
            no such operation.
        count: How many of them, in turns.
        connections: How many are on their way at a time.
    """

    name: str
    requests: Callable[[Contestant], bytes]
    count: int
    connections: int


@dataclass(frozen=True)
class Figures:
    """CPU seconds of a server, and what they were spent on."""

    cpu: float
    requests: int
    bytes: int

    @property
    def per_gb(self) -> float:
        return self.cpu / (self.bytes / 1e9)

    @property
    def per_request(self) -> float:
        """Microseconds."""
        return self.cpu / self.requests * 1e6


Results = dict[tuple[str, str], list[Figures]]
"""By names of contestant and task."""


class Requests:
    """Makes what contestants are sent: links for the gateway, plain paths for others.

    Args:
        config: The configuration that the gateways go by.
        links: How many different links "a link each" means.
    """

    def __init__(self, config: Path, links: int) -> None:
        self._config = str(config)
        self._links = links
        self._storages: dict[str, storage_core.Storage] = {}
        self.ranges = cache(self._ranges)
        self.gets = cache(self._gets)
        self.puts = cache(self._puts)
        self.heads = cache(self._heads)
        self.tampered = cache(self._tampered)

    def storage(self, profile: str) -> storage_core.Storage:
        if profile not in self._storages:
            self._storages[profile] = storage_core.open(profile, config=self._config)
        return self._storages[profile]

    def close(self) -> None:
        for storage in self._storages.values():
            storage.close()

    def _target(self, profile: str | None, key: str, method: Method) -> str:
        if profile is None:
            return "/" + key
        bucket = self.storage(profile).bucket(BUCKET)
        parts = urlsplit(bucket.presign(key, method=method, expires_in=WEEK).url)
        return f"{parts.path}?{parts.query}"

    def _ranges(self, profile: str | None, size: int, step: int) -> bytes:
        """All of the large object, in ranges of ``step`` bytes; 0 for the whole at once."""
        target = self._target(profile, large(size), "GET")
        if not step:
            return written("GET", target, 200, size)
        return b"".join(
            written("GET", target, 206, step, f"Range: bytes={at}-{at + step - 1}\r\n")
            for at in range(0, size, step)
        )

    def _gets(self, profile: str | None, size: int, *, each: bool) -> bytes:
        count = self._links if each and profile is not None else 1
        return b"".join(
            written("GET", self._target(profile, small(size), "GET"), 200, size)
            for _ in range(count)
        )

    def _puts(self, profile: str | None) -> bytes:
        if profile is None:
            return b""
        return b"".join(
            written(
                "PUT", self._target(profile, f"put-{at % 100}", "PUT"), 200, -1, body=b"x" * KIB
            )
            for at in range(self._links)
        )

    def _heads(self, profile: str | None) -> bytes:
        return written("HEAD", self._target(profile, small(KIB), "HEAD"), 200, KIB)

    def _tampered(self, profile: str | None) -> bytes:
        """Links with the last digit of the signature changed."""
        if profile is None:
            return b""
        target = self._target(profile, small(KIB), "GET")
        return written("GET", target[:-2] + ("AA" if target[-2:] != "AA" else "BB"), 403, -1)


def written(
    method: str, target: str, status: int, length: int, fields: str = "", body: bytes = b""
) -> bytes:
    """One request, and what is expected of its answer."""
    if body:
        fields += f"Content-Length: {len(body)}\r\n"
    sent = f"{method} {target} HTTP/1.1\r\nHost: bench\r\n{fields}\r\n".encode() + body
    return b"%d %d %d %d\n" % (status, length, method == "HEAD", len(sent)) + sent


# The service in C takes the size of an object from its name.
def large(size: int) -> str:
    return f"large-{size}"


def small(size: int) -> str:
    return f"small-{size}"


def transfers(make: Requests, size: int) -> Iterator[Task]:
    """The large object, as a whole and in ranges."""
    for name, step, connections in (
        ("whole", 0, 1),
        ("whole, 16 at a time", 0, 16),
        ("8 MiB", 8 * MIB, 1),
        ("1 MiB", MIB, 1),
        ("1 MiB, 16 at a time", MIB, 16),
        ("64 KiB", 64 * KIB, 1),
        ("64 KiB, 16 at a time", 64 * KIB, 16),
    ):

        def requests(contestant: Contestant, step: int = step) -> bytes:
            if step and not contestant.ranges:
                return b""
            return make.ranges(contestant.links, size, step)

        count = size // step if step else max(2, connections)
        yield Task(name, requests, count, connections)


def redemptions(make: Requests, count: int) -> Iterator[Task]:
    """Small objects, and requests with hardly a body."""

    def task(name: str, requests: Callable[[str | None], bytes], share: int = 1) -> Task:
        return Task(name, lambda contestant: requests(contestant.links), count // share, 16)

    for name, size in (("1 KiB", KIB), ("64 KiB", 64 * KIB)):
        yield task(f"GET {name}, one link", partial(make.gets, size=size, each=False))
        yield task(f"GET {name}, a link each", partial(make.gets, size=size, each=True))
    yield task("HEAD", make.heads)
    yield task("PUT 1 KiB, a link each", make.puts, 4)
    yield task("403 for a tampered link", make.tampered)


def prepare(make: Requests, folder: Path, size: int) -> None:
    """The same bytes as objects and as files."""
    block = os.urandom(MIB)
    with open(folder / "files" / large(size), "wb") as file:
        file.writelines(block for _ in range(size // MIB))
    for length in (KIB, 64 * KIB):
        (folder / "files" / small(length)).write_bytes(block[:length])
    bucket = make.storage("disk").create_bucket(BUCKET)
    for path in (folder / "files").iterdir():
        with open(path, "rb") as body:
            bucket.put(path.name, body)


def measure(
    client: Client, chosen: list[Contestant], tasks: list[Task], rounds: int, results: Results
) -> None:
    """All rounds of all tasks; the first, which warms up, is not kept."""
    for number in range(rounds + 1):
        for task in tasks:
            for contestant in chosen:
                requests = task.requests(contestant)
                if not requests:
                    continue
                count = task.count if number else max(1, task.count // 8)
                before = cpu_seconds(contestant.pid)
                told = client.run(contestant.port, requests, count, min(task.connections, count))
                cpu = cpu_seconds(contestant.pid) - before
                if number:
                    figures = Figures(cpu, int(told["requests"]), int(told["bytes"]))
                    results.setdefault((contestant.name, task.name), []).append(figures)
        print(f"round {number} of {rounds}", file=sys.stderr)


def report(
    title: str,
    tasks: list[Task],
    chosen: list[Contestant],
    results: Results,
    figure: Callable[[Figures], float],
    form: Callable[[float], str],
) -> None:
    """A table: tasks downwards, contestants sideways, with the ratios to the reference."""
    width = max(len(task.name) for task in tasks)
    print(f"\n{title:{width}}" + "".join(f"{one.name:>26}" for one in chosen))
    for task in tasks:
        base = [figure(found) for found in results.get((REFERENCE, task.name), ())]
        cells = []
        for one in chosen:
            found = [figure(figures) for figures in results.get((one.name, task.name), ())]
            cell = form(statistics.median(found)) if found else "-"
            if found and base:
                ratios = (value / other for value, other in zip(found, base, strict=True))
                cell += f"  x {statistics.median(ratios):5.2f}"
            cells.append(f"{cell:>26}")
        print(f"{task.name:{width}}" + "".join(cells))


def per_core(microseconds: float) -> str:
    return f"{microseconds:6.0f} = {1e6 / microseconds:6.0f}/s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round, smaller")
    parser.add_argument("--rounds", type=int, help="5; with --quick 1")
    parser.add_argument("--size", type=int, help="MiB of the large object: 512; with --quick 64")
    parser.add_argument("--peers", action="store_true", help="other servers in Python too")
    parser.add_argument("--only", default="", help="contestants whose name holds this, and nginx")
    options = parser.parse_args()
    if not shutil.which(os.environ.get("CC", "cc").split()[0]):
        print("skipped: the client and the S3 service are in C, and there is no C compiler (cc)")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers are stopped on the way out
    rounds = options.rounds or (1 if options.quick else 5)
    size = (options.size or (64 if options.quick else 512)) * MIB
    count = 400 if options.quick else 4000
    chosen = [
        one
        for one in contestants(peers=options.peers)
        if options.only in one.name or one.name == REFERENCE
    ]
    results: Results = {}
    with S3Server() as s3, Client() as client, Servers(chosen, s3.url) as folder:
        make = Requests(folder / "storage.toml", count)
        try:
            prepare(make, folder, size)
            large_tasks, small_tasks = list(transfers(make, size)), list(redemptions(make, count))
            measure(client, chosen, [*large_tasks, *small_tasks], rounds, results)
        finally:
            make.close()
    report("CPU seconds per GB", large_tasks, chosen, results, lambda f: f.per_gb, "{:.3f}".format)
    title = "CPU µs, requests/s/core"
    report(title, small_tasks, chosen, results, lambda f: f.per_request, per_core)


if __name__ == "__main__":
    main()
