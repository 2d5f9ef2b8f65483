"""S3 clients side by side on a local service that keeps nothing, so that they are measured.

    python benchmarks/s3.py [--quick] [--peers NAME,...] [--tasks NAME,...] [--json FILE]

Each client runs in a process of its own and takes its turn in every round; figures are medians
of the rounds. The service (`_s3_server.c`) is compiled and started here. Compare ratios within
one run, not figures between runs. CPU is the client's, all its threads together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks._s3_peers import PEERS
    from benchmarks._s3_server import Server
else:
    from _s3_peers import PEERS
    from _s3_server import Server

GIB = 1024**3
SLOW = {"boto3": 10, "aiobotocore": 10, "s3fs": 20}
"""Share of the operations that these do, who take so much longer for each."""


@dataclass(frozen=True)
class Task:
    """What all clients do.

    Attributes:
        name: As the clients know it.
        count: Operations in one round; 1 for a large object.
        width: How many at a time.
        size: Bytes of a large object.
    """

    name: str
    count: int
    width: int = 1
    size: int = 0

    @property
    def title(self) -> str:
        if self.size:
            return f"{self.name} {self.size / GIB:g} GiB, streamed"
        if self.name in {"get", "put", "head"}:
            return f"{self.name} 1 KiB, " + (
                f"{self.width} at a time" if self.width > 1 else "one by one"
            )
        return f"{self.name} {self.count} keys"

    def of(self, peer: str) -> int:
        """Operations this client does."""
        return self.count if self.size else max(self.count // SLOW.get(peer, 1), self.width)


def tasks(quick: bool) -> list[Task]:
    """All of them."""
    few = 640 if quick else 6400
    size = GIB // 4 if quick else GIB
    return [
        *(Task(name, few, width) for width in (1, 64) for name in ("get", "put", "head")),
        Task("list", 100_000),
        Task("delete", 10_000),
        Task("presign", 10_000),
        Task("upload", 1, size=size),
        Task("download", 1, size=size),
    ]


class Worker:
    """A client's process."""

    def __init__(self, peer: str, url: str) -> None:
        script = Path(__file__).with_name("_s3_peers.py")
        self.peer = peer
        self.process = subprocess.Popen(
            [sys.executable, script, peer, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.peer} failed; its error is above")
        return line

    def run(self, task: Task) -> dict[str, float]:
        """One round."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{task.name} {task.of(self.peer)} {task.width} {task.size}\n")
        self.process.stdin.flush()
        found: dict[str, float] = json.loads(self._line())
        return found

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def measure(task: Task, workers: list[Worker], rounds: int, server: Server) -> dict[str, Any]:
    """Medians for each client, with the requests each operation took."""
    taken: dict[str, list[dict[str, float]]] = {worker.peer: [] for worker in workers}
    asked: dict[str, float] = {}
    for number in range(rounds):
        turn = workers[number % len(workers) :] + workers[: number % len(workers)]
        for worker in turn:
            before = server.statistics()[0]
            taken[worker.peer].append(worker.run(task))
            asked[worker.peer] = server.statistics()[0] - before
    medians: dict[str, Any] = {}
    for peer, runs in taken.items():
        units = task.size / GIB if task.size else task.of(peer)
        medians[peer] = {
            "rate": statistics.median(units / run["seconds"] for run in runs),
            "cpu": statistics.median(run["cpu"] / units for run in runs),
            "peak": max(run["peak"] for run in runs),
            "growth": max(run["growth"] for run in runs),
            "requests": asked[peer] / task.of(peer),
        }
    return medians


def show(task: Task, medians: dict[str, Any]) -> None:
    """A table; ratios of rate and CPU are to obstore's client of the same kind."""
    rate, cost = ("MB/s", "CPU s/GiB") if task.size else ("op/s", "CPU us/op")
    print(f"\n{task.title}")
    head = f"{rate:>10} {cost:>10} {'peak MB':>8} {'grown MB':>8} {'requests':>9}"
    print(f"{'':20}{head} {'rate x':>8} {'CPU x':>7}")
    for peer, found in medians.items():
        rival = medians.get("obstore async" if peer.endswith("async") else "obstore")
        shown = found["rate"] * (GIB / 1e6 if task.size else 1)
        cpu = found["cpu"] * (1 if task.size else 1e6)
        ratios = (
            f"{found['rate'] / rival['rate']:8.2f} {found['cpu'] / rival['cpu']:7.2f}"
            if rival
            else ""
        )
        print(
            f"{peer:20}{shown:10.0f} {cpu:10.2f} {found['peak'] / 1e6:8.0f}"
            f" {found['growth'] / 1e6:8.0f} {found['requests']:9.3g} {ratios}"
        )


def main() -> None:
    """Parse the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer operations, one round less")
    parser.add_argument("--peers", default=",".join(PEERS), help="clients to measure")
    parser.add_argument("--tasks", default="", help="tasks to run, all without it")
    parser.add_argument("--rounds", type=int, help="rounds of every task")
    parser.add_argument("--json", type=Path, help="where to write the figures too")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    chosen = set(filter(None, arguments.tasks.split(",")))
    figures: dict[str, Any] = {}
    with Server() as server:
        workers = [Worker(peer, server.url) for peer in arguments.peers.split(",")]
        try:
            for task in tasks(arguments.quick):
                if not chosen or task.name in chosen:
                    figures[task.title] = measure(task, workers, rounds, server)
                    show(task, figures[task.title])
        finally:
            for worker in workers:
                worker.close()
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
