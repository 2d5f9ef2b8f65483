"""One-way mirrors and comparisons of trees."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias

from storage_core.aio.transfers import end_of, make_context
from storage_core.aio.tree import AsyncTree
from storage_core.transfer.options import DEFAULTS, TransferOptions

if TYPE_CHECKING:
    from storage_core.transfer.folder import FolderSide
    from storage_core.transfer.prefix import BucketSide
    from storage_core.transfer.progress import OnProgress
    from storage_core.transfer.report import OnOutcome, TransferReport, VerifyReport
    from storage_core.transfer.rules import Compare

Side: TypeAlias = AsyncTree | str | PathLike[str]
"""Objects below a prefix (`AsyncBucket.tree`), or a folder of this machine."""


async def sync(
    source: Side,
    target: Side,
    *,
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
    """As `storage_core.sync`."""
    from storage_core.transfer.rules import make_rules
    from storage_core.transfer.sync import transfer

    rules = make_rules(
        include=include,
        exclude=exclude,
        compare=compare,
        delete=delete,
        max_delete=max_delete,
        dry_run=dry_run,
        content_type=content_type,
    )
    context = make_context(options, progress)
    work = transfer(context, _side(source), _side(target), rules, on_outcome)
    return await context.told(work)


async def verify(
    source: Side,
    target: Side,
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    options: TransferOptions = DEFAULTS,
    progress: OnProgress | None = None,
) -> VerifyReport:
    """As `storage_core.verify`."""
    from storage_core.transfer.rules import make_rules
    from storage_core.transfer.verify import compare_trees

    rules = make_rules(include=include, exclude=exclude)
    context = make_context(options, progress)
    return await context.told(compare_trees(context, _side(source), _side(target), rules))


def _side(given: Side) -> FolderSide | BucketSide:
    from storage_core.transfer.folder import FolderSide
    from storage_core.transfer.prefix import BucketSide

    if isinstance(given, AsyncTree):
        return BucketSide(end_of(given.bucket), given.prefix)
    return FolderSide(given)
