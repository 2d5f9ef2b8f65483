"""`sync`, `copy_tree` and `verify` by the workers of an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from storage_core.blocking.tree import Tree
from storage_core.cluster.courses import Transfer, Verification
from storage_core.cluster.engine import Crew, Engine
from storage_core.cluster.marks import marked
from storage_core.cluster.ranges import cut, is_ordered
from storage_core.cluster.run import follow
from storage_core.cluster.session import Operation, Place, side
from storage_core.errors import InvalidRequestError
from storage_core.transfer.entries import ALL, KeyRange
from storage_core.transfer.options import DEFAULTS, TransferOptions
from storage_core.transfer.progress import Meter, OnProgress
from storage_core.transfer.report import (
    Action,
    OnOutcome,
    TransferIncompleteError,
    TransferReport,
    VerifyReport,
)
from storage_core.transfer.rules import Compare, LeftOut, Rules, make_rules
from storage_core.transfer.spool import Spool
from storage_core.transfer.sync import check_sides, check_store

Side: TypeAlias = Tree | str | PathLike[str]

_RANGES = 4
"""Ranges for each thread, so that none of them is idle for long at the end."""


def sync(
    source: Side,
    target: Side,
    *,
    engine: Engine,
    compare: Compare = "time",
    delete: bool = False,
    max_delete: int | None = None,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    dry_run: bool = False,
    content_type: Callable[[str], str | None] | None = None,
    options: TransferOptions = DEFAULTS,
    progress: OnProgress | None = None,
    on_outcome: OnOutcome | None = None,
) -> TransferReport:
    """As `storage_core.sync`, with an engine: its workers list both sides range by range and move what
    differs straight between them.

    What a worker was doing when it was lost is done again by another, and counted once. Nothing
    is deleted before all else has gone well on all workers. Ctrl-C calls off what is left.

    Args:
        source: A tree of a bucket (`Bucket.tree`), or a folder that all workers share.
        target: Likewise; one of the two is a tree.
        engine: The workers: a `ProcessEngine` or a `DaskEngine`.
        compare: As for `storage_core.sync`.
        delete: Delete from the target what the source does not have.
        max_delete: As for `storage_core.sync`; of all workers together.
        include: As for `storage_core.sync`.
        exclude: Likewise.
        dry_run: Do nothing; tell what would be done.
        content_type: For uploads, gives the media type for a key; it is sent to the workers.
        options: How each worker uses machine and network. ``bandwidth`` is that of all workers
            together, shared out evenly, and so is ``max_memory`` among processes of this
            machine; all else holds for each job. A worker of a cluster does as many at a time
            as it has threads, a process of this machine one.
        progress: Called in the caller's thread with a `Progress`, whenever a job is done and
            every second that it takes longer.
        on_outcome: Called in the caller's thread with the `Outcome` of each key, in no order.

    Raises:
        TransferIncompleteError: keys failed, after all others were tried; its ``report`` lists
            them. What was lost with several workers in turn is among them.
        ConfigError: a worker can not take part; the message says which and why.
        UnavailableError: the workers are out of reach, or there are none.
        InvalidRequestError: as `storage_core.sync`.
    """
    rules = make_rules(
        include=include,
        exclude=exclude,
        compare=compare,
        delete=delete,
        max_delete=max_delete,
        dry_run=dry_run,
        content_type=content_type,
    )
    return _transfer(source, target, engine, rules, options, progress, on_outcome)


def copy_tree(
    source: Tree,
    target: Tree,
    *,
    engine: Engine,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    leave_out: Iterable[LeftOut] = (),
    options: TransferOptions = DEFAULTS,
    progress: OnProgress | None = None,
    on_outcome: OnOutcome | None = None,
) -> TransferReport:
    """As `storage_core.Bucket.copy_tree`, with an engine: all objects of one tree are copied to
    another. What a worker was doing when it was lost is copied again, which is why there is no
    ``if_absent``: it would fail on its own copies.

    Args:
        source: What is copied (`Bucket.tree`).
        target: Where to.
        engine: As for `sync`.
        include: As for `storage_core.sync`.
        exclude: Likewise.
        leave_out: As for `storage_core.Bucket.copy_tree`.
        options: As for `sync`.
        progress: As for `sync`.
        on_outcome: As for `sync`.

    Raises:
        TransferIncompleteError, ConfigError, UnavailableError, InvalidRequestError: as `sync`.
    """
    for tree in (source, target):
        if not isinstance(tree, Tree):
            raise InvalidRequestError(f"{tree!r} is no tree of a bucket; for a folder, use sync")
    rules = make_rules(include=include, exclude=exclude, leave_out=leave_out)
    return _transfer(source, target, engine, rules, options, progress, on_outcome)


def verify(
    source: Side,
    target: Side,
    *,
    engine: Engine,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    options: TransferOptions = DEFAULTS,
    progress: OnProgress | None = None,
) -> VerifyReport:
    """As `storage_core.verify`, with an engine; what has to be read for it is read by the workers.

    Args:
        source: As for `sync`.
        target: As for `sync`.
        engine: As for `sync`.
        include: As for `storage_core.sync`.
        exclude: Likewise.
        options: As for `sync`.
        progress: As for `sync`.

    Raises:
        ConfigError, UnavailableError, InvalidRequestError: as `sync`.
    """
    rules = make_rules(include=include, exclude=exclude)
    meter = Meter(progress)
    with _running(
        source, target, engine, rules, options, make=False, outcomes=False, progress=False
    ) as (crew, ranges, bounded):
        course = Verification(ranges, bounded, meter)
        follow(course, crew)
    meter.finish()
    return course.report()


def _transfer(
    source: Side,
    target: Side,
    engine: Engine,
    rules: Rules,
    options: TransferOptions,
    progress: OnProgress | None,
    on_outcome: OnOutcome | None,
) -> TransferReport:
    meter = Meter(progress)
    make = None if rules.dry_run else True
    sides = side(_place(source)), side(_place(target))
    check_sides(*sides)
    check_store(*sides, rules)
    moving: Action = "copy"
    if not (isinstance(source, Tree) and isinstance(target, Tree)):
        moving = "download" if isinstance(source, Tree) else "upload"
    with (
        _running(
            source,
            target,
            engine,
            replace(rules, max_delete=None),  # a worker knows only of the deletions of its job
            options,
            make=make,
            outcomes=on_outcome is not None,
            progress=progress is not None,
        ) as (crew, ranges, bounded),
        closing(Spool()) as spool,
    ):
        course = Transfer(
            ranges, bounded, crew.batch, rules, moving, options.bandwidth, meter, on_outcome, spool
        )
        follow(course, crew)
    meter.finish()
    report = course.report()
    if report.failures or report.withheld:
        raise TransferIncompleteError.of(report, rules.max_delete)
    return report


@contextmanager
def _running(
    source: Side,
    target: Side,
    engine: Engine,
    rules: Rules,
    options: TransferOptions,
    *,
    make: bool | None,
    outcomes: bool,
    progress: bool,
) -> Iterator[tuple[Crew, list[KeyRange], bool]]:
    """An operation that all workers can take part in, and the ranges of its keys."""
    places = _place(source), _place(target)
    trust = engine.shared_folders
    with (
        marked(places[0], make=False, trust=trust) as source_mark,
        marked(places[1], make=make, trust=trust) as target_mark,
        engine.crew(
            Operation(*places, rules, options, (source_mark, target_mark), outcomes, progress)
        ) as crew,
    ):
        bounded = all(map(is_ordered, places))
        yield crew, cut(places[0], _RANGES * crew.threads) if bounded else [ALL], bounded


def _place(given: Side) -> Place:
    if isinstance(given, Tree):
        return given
    if isinstance(given, str | PathLike):
        return Path(given).absolute()
    raise InvalidRequestError(
        f"{given!r} is no side of a transfer: give a tree of a bucket (bucket.tree(prefix), of"
        " the blocking face), or a folder"
    )
