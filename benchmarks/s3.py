"""S3 clients side by side on a local service that keeps nothing, so that they are measured.

    python benchmarks/s3.py [--quick] [--tasks NAME,...] [--peers NAME,...] [--rounds N]

Each client runs in a process of its own and takes its turn in every round; figures are medians
of the rounds. The service (`_s3_server.c`) is compiled and started here. Compare ratios within
one run, not figures between runs. CPU is the client's, all its threads together. `--peers` takes
names as the tables have them, or their beginnings: `storage` is all of this library's.
"""

from __future__ import annotations

import argparse
import os

from benchmarks._measure import Figures, measure
from benchmarks._peer import PEERS
from benchmarks._s3_server import Server
from benchmarks._tasks import Task, tasks

UNITS = {
    "small": ("op/s", "CPU us/op", 1, 1e6),
    "keys": ("key/s", "CPU us/key", 1, 1e6),
    "large": ("MB/s", "CPU s/GB", 1e3, 1),
    "tree": ("file/s", "CPU us/file", 1, 1e6),
}


def show(task: Task, figures: Figures) -> None:
    """A table; ratios of rate and CPU are to obstore's client of the same kind."""
    rate, cost, many, little = UNITS[task.kind]
    print(f"\n{task.name}: {task.title}")
    print(
        f"{'':26}{rate:>10} {cost:>11} {'peak MB':>8} {'grown MB':>8} {'requests':>9}"
        f" {'rate x':>7} {'CPU x':>7}"
    )
    for peer, found in figures.peers.items():
        rival = figures.peers.get("obstore async" if peer.endswith("async") else "obstore")
        others = ("obstore", "obstore async", "obstore, local")
        rival = rival or next(
            (figures.peers[name] for name in others if name in figures.peers), None
        )
        ratios = (
            f"{found['rate'] / rival['rate']:7.2f} {found['cpu'] / rival['cpu']:7.2f}"
            if rival
            else ""
        )
        print(
            f"{peer:26}{found['rate'] * many:10.0f} {found['cpu'] * little:11.2f}"
            f" {found['peak'] / 1e6:8.0f} {found['growth'] / 1e6:8.0f} {found['requests']:9.3g}"
            f" {ratios}",
            flush=True,
        )
    for peer, why in figures.missing.items():
        print(f"{peer:26}missing: {why}")


def chosen_peers(text: str) -> set[str] | None:
    """Those whose names begin with one of those given."""
    starts = tuple(filter(None, text.split(",")))
    return {peer for peer in PEERS if peer.startswith(starts)} if starts else None


def main() -> None:
    """Parse the arguments, measure and print."""
    known = tasks(quick=False)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, three rounds")
    parser.add_argument("--peers", default="", help="clients to measure, all without it")
    parser.add_argument("--tasks", default="", help=", ".join(task.name for task in known))
    parser.add_argument("--rounds", type=int, help="rounds of every task")
    parser.add_argument("--aws", help="the AWS command line, if it is not on the PATH")
    arguments = parser.parse_args()
    if arguments.aws:
        os.environ["AWS_PROGRAM"] = arguments.aws
    wanted = set(filter(None, arguments.tasks.split(",")))
    if unknown := wanted - {task.name for task in known}:
        parser.error(f"no task is called {', '.join(sorted(unknown))}")
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    with Server() as server:
        for task in tasks(quick=arguments.quick):
            if not wanted or task.name in wanted:
                show(task, measure(task, rounds, server, chosen_peers(arguments.peers)))


if __name__ == "__main__":
    main()
