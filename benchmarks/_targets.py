"""What was aimed at, and whether it was reached: worked out from the figures, by nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from benchmarks._measure import Figures

Measure = Literal["rate", "cpu"]
OURS: Final = "storage-core"
OURS_ASYNC: Final = "storage-core async"
MIB: Final = 1024**2
MARKS: Final = {True: "✓", False: "✗", None: "missing"}
TIMES: Final = "\N{MULTIPLICATION SIGN}"


class Check(NamedTuple):
    """One comparison.

    Attributes:
        what: What is compared, with whom.
        reached: Ratio, or bytes; None if one side is missing.
        needed: What it has to be at least, or at most where it is bytes.
        memory: Whether it is bytes.
    """

    what: str
    reached: float | None
    needed: float
    memory: bool = False

    @property
    def ok(self) -> bool | None:
        """Whether it holds; None if that is not known."""
        if self.reached is None:
            return None
        return self.reached <= self.needed if self.memory else self.reached >= self.needed


@dataclass(frozen=True)
class Row:
    """A line of the table: the work, what was aimed at, and the comparisons that tell."""

    work: str
    target: str
    checks: tuple[Check, ...]


Results = Mapping[str, Figures]
"""Figures by name of the task."""


def ratio(
    results: Results, task: str, ours: str, rivals: Iterable[str], measure: Measure
) -> float | None:
    """How many times better we are than the best of the rivals who were there.

    For rates that is ours by theirs, for costs theirs by ours, in each round; the median of the
    rounds counts, since in one round both met the same machine.
    """
    figures = results.get(task, Figures())
    there = [rival for rival in rivals if rival in figures.runs]
    if ours not in figures.runs or not there:
        return None
    found = []
    for rival in there:
        pairs = zip(figures.runs[ours], figures.runs[rival], strict=True)
        found.append(
            statistics.median(
                mine[measure] / theirs[measure]
                if measure == "rate"
                else theirs[measure] / mine[measure]
                for mine, theirs in pairs
            )
        )
    return min(found)


def _small(results: Results, task: str, ours: str, rival: str, needed: float) -> tuple[Check, ...]:
    return tuple(
        Check(f"{label} against {rival}", ratio(results, task, ours, [rival], measure), needed)
        for label, measure in _MEASURES
    )


_MEASURES: Final[tuple[tuple[str, Measure], ...]] = (("CPU", "cpu"), ("rate", "rate"))


def _rate(
    results: Results, task: str, rivals: Mapping[str, float], *, ours: str = OURS
) -> tuple[Check, ...]:
    """Wall time against the best form of each rival, given with what is needed."""
    found = []
    for rival, needed in rivals.items():
        forms = FORMS.get(rival, (rival,))
        found.append(Check(rival, ratio(results, task, ours, forms, "rate"), needed))
    return tuple(found)


FORMS: Final = {
    "obstore": ("obstore", "obstore async", "obstore, unsigned"),
    "opendal": ("opendal", "opendal, CRC32C"),
    "boto3": ("boto3", "boto3, unsigned, CRC32C"),
    "awscrt": ("awscrt", "awscrt, CRC32C"),
    "raw sockets": ("raw socket", "raw sockets, 4"),
    "rclone": ("rclone", "rclone, tuned"),
    "aws s3 sync": ("aws",),
    "obstore in a loop": ("obstore async",),
    "unverified": ("storage-core, unverified",),
}
"""Ways in which a rival was tried; the best one counts."""


def _growth(results: Results, names: Iterable[str], needed: float, what: str) -> tuple[Check, ...]:
    grown = [
        figures.peers[ours]["growth"]
        for name in names
        if (figures := results.get(name)) is not None
        for ours in (OURS, OURS_ASYNC)
        if ours in figures.peers
    ]
    return (Check(what, max(grown, default=None), needed, memory=True),)


DOWN: Final = {"obstore": 1.1, "boto3": 1.1, "awscrt": 1.1, "raw sockets": 0.8}
TREES: Final = {"rclone": 3.0, "aws s3 sync": 3.0, "obstore in a loop": 1.0}


def rows(results: Results) -> list[Row]:
    """The table."""
    found = [
        Row(f"{name} of 1 KiB, blocking, one by one", f"≥ 1.5 {TIMES} obstore", checks)
        for name in ("get", "put", "head")
        for checks in [_small(results, name, OURS, "obstore", 1.5)]
    ]
    found += [
        Row(f"{name} of 1 KiB, async, 64 at a time", f"≥ 2 {TIMES} obstore async", checks)
        for name in ("get", "put", "head")
        for checks in [_small(results, f"{name}-64", OURS_ASYNC, "obstore async", 2.0)]
    ]
    for task, work, needed in (
        ("list", "list 100 000 keys", 2.0),
        ("delete", "delete 10 000 keys", 1.1),
        ("presign", "presign 10 000 links", 1.0),
    ):
        checks = _small(results, task, OURS, "obstore", needed)
        target = f"≥ {needed:g} {TIMES} obstore"
        if task == "presign":
            checks = (*_small(results, task, OURS, "boto3", 10.0), *checks)
            target = f"≥ 10 {TIMES} boto3, " + target
        found.append(Row(f"{work}, blocking", target, checks))
        asynchronous = _small(results, task, OURS_ASYNC, "obstore async", needed)
        found.append(Row(f"{work}, async", f"≥ {needed:g} {TIMES} obstore async", asynchronous))
    down = f"≥ 1.1 {TIMES} obstore, boto3, awscrt; ≥ 0.8 {TIMES} raw sockets"
    up = {"obstore": 2.0, "opendal": 1.0, "boto3": 1.0}
    trees = f"≥ 3 {TIMES} rclone and aws s3 sync, ≥ 1 {TIMES} obstore in a loop"
    found += [
        Row("1 GiB down to a file in memory, verified", down, _rate(results, "down", DOWN)),
        Row("1 GiB down to a file on disk, verified", down, _rate(results, "down-disk", DOWN)),
        Row(
            "1 GiB up from a file, CRC32C, unsigned payload",
            f"≥ 2 {TIMES} obstore, ≥ 1 {TIMES} opendal and boto3",
            _rate(results, "up", up),
        ),
        *(
            Row(f"tree of 20 000 files of 8 KiB, {what}", trees, _rate(results, task, TREES))
            for task, what in (
                ("tree-up", "up"),
                ("tree-down", "down"),
                ("tree-sync", "sync with nothing to do"),
            )
        ),
        *(
            Row(f"verified against unverified, {task}", "≥ 0.9", checks)
            for task in ("down", "up")
            for checks in [_rate(results, task, {"unverified": 0.9})]
        ),
        Row(
            "growth of memory, one large object",
            "≤ 100 MiB",
            _growth(results, ("down", "down-disk", "up"), 100 * MIB, "at most"),
        ),
        Row(
            "growth of memory, anything",
            "≤ 256 MiB, the budget of the engine",
            _growth(results, results, 256 * MIB, "at most"),
        ),
    ]
    return found
