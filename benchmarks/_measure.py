"""Rounds in which clients take their turns, each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import _content as content
from benchmarks._peers import TREE_MTIME, tree_files
from benchmarks._s3_server import Server
from benchmarks._tasks import FILE, TOP, TREE, Task

SCRIPT = Path(__file__).with_name("_peer.py")
Run = dict[str, float]


class PeerFailedError(Exception):
    """A client ended with an error, or did not do what it was told."""


@dataclass
class Figures:
    """What a task came to. Rates are units per second, costs seconds of CPU per unit, memory
    is bytes.

    Attributes:
        peers: Medians by name of the client.
        runs: Rate and cost in each round, by name of the client.
        missing: Why a client did not take part.
    """

    peers: dict[str, Run] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class Worker:
    """A client's process."""

    def __init__(self, peer: str, url: str) -> None:
        self.peer = peer
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT, peer, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(),
        )
        self.missing: str | None = self._line().get("missing")

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise PeerFailedError("its error is on the terminal")
        found: dict[str, Any] = json.loads(line)
        return found

    def run(self, job: dict[str, Any]) -> Run:
        """One round."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return self._line()

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def _environment() -> dict[str, str]:
    """Without what could lead a client elsewhere: proxies, accounts, certificates."""
    strange = ("AWS_", "RCLONE_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(strange) or name.endswith("_PROGRAM")
    }


@contextmanager
def _fixture(task: Task) -> Iterator[Path]:
    """The folder that files come to and from; what is to be sent is in it."""
    with tempfile.TemporaryDirectory(prefix="storage-bench-", dir=task.place) as name:
        folder = Path(name)
        source = folder / "source"
        if task.call == "up" or (task.local and task.size):
            content.write(source, task.size)
        elif task.call in {"tree_up", "tree_same"} or task.local:
            make_tree(source, task.count)
        yield folder


def make_tree(folder: Path, count: int = TREE) -> None:
    """The first of the files that bucket `tree` of the service lists."""
    body = content.content(FILE)
    for number in range(count):
        top, rest = divmod(number, TOP)
        path = folder / f"t{top}/d{rest // 100:02}/f{rest % 100:02}-{FILE}"
        if not rest % 100:
            path.parent.mkdir(parents=True)
        path.write_bytes(body)
        os.utime(path, (TREE_MTIME, TREE_MTIME))


def _round(task: Task, worker: Worker, folder: Path) -> Run:
    """One turn of one client, with what it did looked at."""
    sends = task.call in {"up", "tree_up", "tree_same"}
    path = folder / ("source" if sends else "target")
    job = {
        "task": task.call,
        "count": task.of(worker.peer),
        "width": task.width,
        "size": task.size,
        "path": str(path),
        "source": str(folder / "source"),
        "prefix": task.prefix(worker.peer),
    }
    found = worker.run(job)
    if task.call == "down":
        whole = content.holds(path, task.size)
        path.unlink()
        if not whole:
            raise PeerFailedError("the file is not what was sent")
    elif task.call == "tree_down":
        sizes = [status.st_size for _, status in tree_files(path)]
        if sizes != [FILE] * task.of(worker.peer):
            raise PeerFailedError(f"it left {len(sizes)} files, or not all whole")
        shutil.rmtree(path)
    return found


def _check_sent(task: Task, peer: str, received: int) -> None:
    """See that the service got what there was to send, at the least."""
    sizes = {"up": task.size, "tree_up": FILE * task.of(peer)}
    if not task.local and received < sizes.get(task.call, 0):
        raise PeerFailedError(f"it sent {received} bytes, not {sizes[task.call]}")


def measure(task: Task, rounds: int, server: Server, chosen: set[str] | None = None) -> Figures:
    """All rounds of a task, with medians for each client.

    Args:
        task: What to measure.
        rounds: How often.
        server: The service, running.
        chosen: Clients to measure; all of the task's without it.
    """
    figures = Figures()
    taken: dict[str, list[Run]] = {}
    asked: dict[str, int] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(_fixture(task)) if task.kind in {"large", "tree"} else Path()
        workers = []
        for peer in task.peers:
            if chosen is None or peer in chosen:
                worker = Worker(peer, str(folder) if task.local else server.url)
                stack.callback(worker.close)
                if worker.missing:
                    figures.missing[peer] = worker.missing
                else:
                    workers.append(worker)
        if task.size:
            server.prepare(task.size)
        for number in range(rounds * task.rounds):
            turn = number % max(1, len(workers))
            for worker in [*workers[turn:], *workers[:turn]]:
                before = server.statistics()
                try:
                    found = _round(task, worker, folder)
                    after = server.statistics()
                    _check_sent(task, worker.peer, after.received - before.received)
                except PeerFailedError as error:
                    figures.missing[worker.peer] = f"failed: {error}"
                    workers.remove(worker)
                    taken.pop(worker.peer, None)
                else:
                    taken.setdefault(worker.peer, []).append(found)
                    asked[worker.peer] = after.requests - before.requests
    for peer in [worker.peer for worker in workers]:
        units, turns = task.units(peer), taken[peer]
        runs = [{"rate": units / run["seconds"], "cpu": run["cpu"] / units} for run in turns]
        figures.runs[peer] = runs
        figures.peers[peer] = {
            "rate": statistics.median(run["rate"] for run in runs),
            "cpu": statistics.median(run["cpu"] for run in runs),
            "seconds": statistics.median(run["seconds"] for run in turns),
            "peak": max(run["peak"] for run in turns),
            "growth": max(run["growth"] for run in turns),
            "requests": asked[peer] / task.of(peer),
        }
    return figures
