"""The page: Markdown from figures, and from what they were taken on."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks._measure import Figures
from benchmarks._peers_tools import Aws, Rclone
from benchmarks._targets import MARKS, MIB, Check, Row
from benchmarks._tasks import Kind, Task

PACKAGES = (
    "storage-core",
    "obstore",
    "opendal",
    "boto3",
    "awscrt",
    "aiobotocore",
    "s3fs",
    "fsspec",
    "uvloop",
)
UNITS: dict[Kind, tuple[str, float, str, float, int]] = {
    "small": ("operations/s", 1, "CPU µs each", 1e6, 0),
    "keys": ("keys/s", 1, "CPU µs each", 1e6, 1),
    "large": ("MB/s", 1e3, "CPU s per GB", 1, 2),
    "tree": ("files/s", 1, "CPU µs each", 1e6, 0),
}
"""Rate with its factor, cost with its factor and digits."""

HEAD = """\
# Performance

Figures of this library and its peers on the same work, those of one task all in the same run; a task may have been measured apart from the others (`--tasks`). This page and its picture are made of the run's figures (`performance.json`); whether a target was reached is worked out from them.

![storage-core against each rival, target by target](performance.svg)

## How it is measured

- The service is a small server in C on the loopback (`benchmarks/_s3_server.c`): one thread, epoll, bodies of uploads dropped in the kernel, downloads sent by `sendfile` from known content, with the true CRC32C of whole objects. It costs so little that the clients are what is measured. There is no latency and no TLS.
- Every client runs in a process of its own, with its own defaults but for address and keys, by the way of its own that suits the task best. Clients of coroutines run on uvloop. In every round each takes its turn, the first one changing; figures are medians of the rounds, {rounds} at the least, and ratios medians of those in each round. After each round what was sent, and each file that was received, is checked byte for byte or by count.
- CPU is user and system time of the client's process with all its threads, or of the program that it is. Growth is the peak of its memory above what it had before the task; of programs, all they have.
- Bodies are signed as each client does by default. One large object goes up unsigned where a client can do so, which for this library is the profile's choice `payload = "unsigned"`; it sends a CRC32C of each part and of the object all the same, and downloads are compared with the CRC32C that the service has.
- `storage sync`, rclone and `aws s3 sync` start as programs, as they are used; the other clients are at work already. `aws` takes a tenth of the tree up and down. rclone is tuned with `--transfers 32 --checkers 32 --fast-list --s3-no-head --s3-no-check-bucket`, and to sync with `--update --use-server-modtime`.
- One client does the same work as another, not always as much of it: of the large downloads only those of this library and of `awscrt, CRC32C` are verified; raw sockets look at nothing.

Compare ratios; figures of another machine are others.
"""

TAIL = """\
## To repeat it

<!-- docs: skip takes some twenty minutes -->
```console
$ make bench
$ python benchmarks/performance.py --quick
$ python benchmarks/s3.py --tasks down,up --peers storage-core,obstore
```

The first writes this page. The second is done in a few minutes with less of everything, and writes nothing. The third measures some tasks alone. A C compiler is needed, and the peers of the extra `bench`; rclone comes from the distribution (`apt-get install rclone`), and an AWS command line that is not on the `PATH` is named by `AWS_PROGRAM`.
"""


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines)) + "\n"


def checked(check: Check) -> str:
    """A comparison with its mark."""
    if check.reached is None:
        return f"{check.what}: missing"
    text = f"{check.reached / MIB:.0f} MiB" if check.memory else f"{check.reached:.2f}"
    return f"{check.what} **{text}** {MARKS[check.ok]}"


def targets(rows: Sequence[Row]) -> str:
    """The table of what was aimed at."""
    lines = [
        "| " + " | ".join([row.work, row.target, "<br>".join(map(checked, row.checks))]) + " |"
        for row in rows
    ]
    return "\n".join(["| work | target | reached |", "|---|---|---|", *lines]) + "\n"


def summary(rows: Sequence[Row]) -> str:
    """One sentence."""
    marks = [check.ok for row in rows for check in row.checks]
    text = f"{marks.count(True)} of {len(marks)} comparisons reach their target"
    if missing := marks.count(None):
        text += f"; {missing} could not be made, as a peer was missing"
    return text + ". More is better for all ratios, of CPU too.\n"


def figures_of(task: Task, figures: Figures) -> str:
    """The table of one task."""
    rate, many, cost, little, digits = UNITS[task.kind]
    lines = [
        [
            peer,
            f"{found['rate'] * many:,.0f}".replace(",", " "),
            f"{found['cpu'] * little:.{digits}f}",
            f"{found['seconds']:.2f}",
            f"{found['peak'] / MIB:.0f}",
            f"{found['growth'] / MIB:.0f}",
        ]
        for peer, found in figures.peers.items()
    ]
    lines += [[peer, f"missing: {why}", "", "", "", ""] for peer, why in figures.missing.items()]
    head = ["", rate, cost, "seconds", "peak MiB", "growth MiB"]
    return f"### {task.title[0].upper()}{task.title[1:]}\n\n{_table(head, lines)}"


def machine() -> dict[str, str]:
    """What the figures were taken on, and with."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    cores = len(os.sched_getaffinity(0))
    told = {
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "machine": f"{cores} cores, {cpu}, {memory:.0f} GiB of memory",
        "system": f"{platform.system()} {platform.release()}, {platform.python_implementation()}"
        f" {platform.python_version()}",
    }
    load = os.getloadavg()[2]
    told["load"] = f"{load:.0f} on average over the last 15 minutes, the benchmark's own included"
    for package in PACKAGES:
        try:
            told[package] = version(package)
        except PackageNotFoundError:
            told[package] = "missing"
    for tool in (Rclone, Aws):
        told[tool.program] = tool.version() or "missing"
    return told


def page(
    rows: Sequence[Row],
    tasks: Sequence[Task],
    results: Mapping[str, Figures],
    about: Mapping[str, str],
) -> str:
    """All of it."""
    rounds = min(
        (len(runs) for found in results.values() for runs in found.runs.values()), default=0
    )
    taken = [figures_of(task, results[task.name]) for task in tasks if task.name in results]
    return "\n".join(
        [
            HEAD.format(rounds=rounds),
            "## What was aimed at, and what was reached\n",
            summary(rows),
            targets(rows),
            "## The figures\n",
            *taken,
            "## The machine\n",
            _table(["", ""], [[name, text] for name, text in about.items()]).replace("---:", "---"),
            TAIL,
        ]
    )
