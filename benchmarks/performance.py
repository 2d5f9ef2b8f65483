"""The figures of docs/performance.md: all tasks, all clients, then the page and its picture.

    python benchmarks/performance.py [--quick | --render] [--tasks NAME,...] [--rounds N]
                                     [--aws PROGRAM]

A full run takes some twenty minutes and writes the figures (docs/performance.json), the page and
its picture. With `--tasks` some tasks are measured again and the others' figures stay. A quick
run prints and writes nothing. `--render` makes the page of the figures that are there.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import _page as page
from benchmarks._measure import Figures, measure
from benchmarks._picture import picture
from benchmarks._s3_server import Server
from benchmarks._targets import rows
from benchmarks._tasks import Task, tasks
from benchmarks.s3 import show

DOCS = Path(__file__).resolve().parent.parent / "docs"
FIGURES = DOCS / "performance.json"


def run(taken: dict[str, Any], chosen: Collection[Task], rounds: int) -> Iterator[dict[str, Any]]:
    """Measure tasks, and put each one's figures in the place of those that were there.

    Args:
        taken: What a page is made of.
        chosen: Tasks to measure.
        rounds: Of every task.

    Returns:
        The same after each task.
    """
    with Server() as server:
        for task in chosen:
            figures = measure(task, rounds, server)
            show(task, figures)
            found = {**taken["results"], task.name: rounded(asdict(figures))}
            taken = {"about": page.machine(), "results": found}
            yield taken


def rounded(value: Any) -> Any:
    """The same with numbers of four digits, as no more of them mean anything."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def rendered(taken: dict[str, Any]) -> dict[str, str]:
    """The page and its picture, by name of the file."""
    results = {name: Figures(**figures) for name, figures in taken["results"].items()}
    reached = rows(results)
    text = page.page(reached, tasks(quick=False), results, taken["about"])
    return {"performance.md": text, "performance.svg": picture(reached)}


def store(taken: dict[str, Any]) -> None:
    """Write figures, page and picture."""
    FIGURES.write_text(json.dumps(taken, separators=(",", ":")) + "\n", "utf-8")
    for name, text in rendered(taken).items():
        (DOCS / name).write_text(text, "utf-8")


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, two rounds")
    parser.add_argument("--render", action="store_true", help="write the page of older figures")
    parser.add_argument("--tasks", default="", help="what to measure again, all without it")
    parser.add_argument("--rounds", type=int, help="rounds of every task")
    parser.add_argument("--aws", help="the AWS command line, if it is not on the PATH")
    arguments = parser.parse_args()
    if arguments.aws:
        os.environ["AWS_PROGRAM"] = arguments.aws
    if arguments.render:
        store(json.loads(FIGURES.read_text("utf-8")))
        return
    names = set(filter(None, arguments.tasks.split(",")))
    every = tasks(quick=arguments.quick)
    if unknown := names - {task.name for task in every}:
        parser.error(f"no task is called {', '.join(sorted(unknown))}")
    chosen = [task for task in every if not names or task.name in names]
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    taken: dict[str, Any] = {"results": {}}
    if names and not arguments.quick and FIGURES.exists():
        taken = json.loads(FIGURES.read_text("utf-8"))
    for found in run(taken, chosen, rounds):
        taken = found
        if not arguments.quick:
            store(found)
    if arguments.quick:
        results = {name: Figures(**figures) for name, figures in taken["results"].items()}
        print("\nA quick run: less of everything than the names of the work say.\n")
        print(page.targets(rows(results)).replace("<br>", ", "))


if __name__ == "__main__":
    main()
