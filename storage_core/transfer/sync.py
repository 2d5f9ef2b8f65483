"""A one-way transfer of a tree: planned and carried out at a time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from storage_core.core.between import End
from storage_core.errors import InvalidRequestError
from storage_core.transfer.context import Context
from storage_core.transfer.entries import ALL, Entry, Side
from storage_core.transfer.feed import Feed
from storage_core.transfer.filters import Filter
from storage_core.transfer.folder import FolderSide
from storage_core.transfer.moving import carry_out
from storage_core.transfer.planning import looks_at_target, plan
from storage_core.transfer.prefix import BucketSide
from storage_core.transfer.report import OnOutcome, TransferIncompleteError, TransferReport
from storage_core.transfer.rules import Rules


async def transfer(
    context: Context, source: Side, target: Side, rules: Rules, on_outcome: OnOutcome | None
) -> TransferReport:
    """Make of the target what the rules say of the source.

    Listings and folders are read ahead of the comparison, and that goes on while the first
    objects move already.

    Args:
        context: Of the transfer.
        source: Where the bytes come from.
        target: Where they go.
        rules: What takes part, and how.
        on_outcome: Told of each outcome, never of two at a time.

    Raises:
        InvalidRequestError: the two sides do not go together.
        TransferIncompleteError: some objects failed, after all others were tried; or more were to
            be deleted than may be.
        StorageError: a listing broke off, or an object failed in a way that all would.
    """
    check_sides(source, target)
    check_store(source, target, rules)
    team = context.team
    sources = Feed(team, source.batches(team, ALL))
    targets = None
    if looks_at_target(rules):
        targets = Feed(team, target.batches(team, ALL, target=True))
    decided = Feed(
        team, plan(context, source, target, rules, sources=sources, targets=_given(targets))
    )
    reports: list[TransferReport] = []

    async def work() -> None:
        reports.append(await carry_out(context, source, target, rules, decided, on_outcome))

    jobs = [sources.fill(), decided.fill(), work()]
    if targets is not None:
        jobs.append(targets.fill())
    await team.together(jobs)
    report = reports[0]
    if report.failures or report.withheld:
        raise TransferIncompleteError.of(report, rules.max_delete)
    return report


def _given(targets: Feed[list[Entry]] | None) -> AsyncIterator[list[Entry]] | None:
    return targets


def check_sides(source: Side, target: Side) -> None:
    """Refuse sides that nothing can be transferred between.

    Raises:
        InvalidRequestError: both are folders, or the source would be read while it is written.
    """
    if source.is_folder and target.is_folder:
        raise InvalidRequestError(
            "both sides are folders; one of them has to be a tree of a bucket: bucket.tree(prefix)"
        )
    if not isinstance(source, BucketSide) or not isinstance(target, BucketSide):
        return
    overlap = source.prefix.startswith(target.prefix) or target.prefix.startswith(source.prefix)
    if overlap and _same_bucket(source.end, target.end):
        raise InvalidRequestError(
            f"{source.prefix!r} and {target.prefix!r} of the bucket {source.end.core.name!r}"
            " overlap, so the source would change while it is read"
        )


def check_store(source: Side, target: Side, rules: Rules) -> None:
    """Refuse a folder that a storage on this machine keeps its buckets in: files would be written
    to it or deleted from it behind its back, or it would take in its own files for ever.

    A source that only has it somewhere in it will do, if the rules exclude it.

    Raises:
        InvalidRequestError: the folder is in the storage's, or has it in it.
    """
    for side, other in ((source, target), (target, source)):
        if not isinstance(side, FolderSide) or not isinstance(other, BucketSide):
            continue
        kept = other.end.core.client.driver.local_folder()
        if kept is None:
            continue
        root, store = os.path.realpath(side.root), os.path.realpath(kept)
        inside, around = _is_below(root, store), _is_below(store, root)
        place = os.path.relpath(store, root).replace(os.sep, "/")
        excluded = around and not inside and not Filter(rules).takes(f"{place}/buckets/x")
        if (inside or around) and not excluded:
            raise InvalidRequestError(
                f"the folder {side.root} and {store}, where the storage keeps its buckets, are in"
                f" one another; take another folder, or exclude {place + '/*'!r}"
                if around and not inside
                else f"the folder {side.root} is in {store}, where the storage keeps its buckets;"
                " take another folder"
            )


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _same_bucket(one: End, other: End) -> bool:
    first, second = one.core.client, other.core.client
    same = first is second or (
        type(first.driver) is type(second.driver)
        and first.driver.describe() == second.driver.describe()
    )
    return same and one.core.name == other.core.name
