"""One-way mirrors and comparisons of trees."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias

from storage_core.blocking.transfers import end_of, make_context
from storage_core.blocking.tree import Tree
from storage_core.runtime import drive
from storage_core.transfer.options import DEFAULTS, TransferOptions

if TYPE_CHECKING:
    from storage_core.transfer.folder import FolderSide
    from storage_core.transfer.prefix import BucketSide
    from storage_core.transfer.progress import OnProgress
    from storage_core.transfer.report import OnOutcome, TransferReport, VerifyReport
    from storage_core.transfer.rules import Compare

Side: TypeAlias = Tree | str | PathLike[str]
"""Objects below a prefix (`Bucket.tree`), or a folder of this machine."""


def sync(
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
    """Make a target equal to a source: what is missing there or differs is uploaded, downloaded
    or copied, the rest is left alone.

    Nothing is deleted before all transfers have gone well, and nothing at all if one failed or
    a listing broke off. What `download_tree` and `upload_tree` say of keys, times, folders and
    symbolic links holds here.

    Args:
        source: A folder, or a tree of a bucket (`Bucket.tree`).
        target: Likewise; one of the two is a tree.
        compare: When two of one key and size are taken to be equal. ``"time"``: the source is
            not newer than the target. ``"etag"``: their etags are the same, or the etag of the
            object is the MD5 of the file. ``"checksum"``: a digest of both is the same; one
            that is not known is computed, from the file or by reading the object. Two of
            different sizes always differ.
        delete: Delete from the target what the source does not have.
        max_delete: With ``delete``, the brake: were it more than so many objects or files,
            everything else is done, nothing at all is deleted, and the call fails.
        include: Patterns of which a key has to match one, if there are any: ``*``, ``?`` and
            ``[…]`` over the whole key below the prefix or folder; ``*`` matches ``/`` too.
        exclude: Patterns of which it may match none. What is left out is not deleted either.
        dry_run: Do nothing; tell what would be done: transfers, then deletions, each ascending
            by key. Deletions over ``max_delete`` are told of too, before the call fails.
        content_type: For uploads, gives the media type for a key.
        options: How machine and network are used.
        progress: Called with a `Progress` ten times a second at most, from any thread but never
            twice at a time.
        on_outcome: Called with the `Outcome` of each key when it has one, likewise.

    Raises:
        TransferIncompleteError: keys failed, after all others were tried; its ``report`` lists
            them. Or more were to be deleted than ``max_delete``: its ``withheld`` says how many.
        InvalidRequestError: both sides are folders, overlap, or an option is none of its own, as
            ``max_delete`` without ``delete`` or below 0.
        NotADirectoryError: the source folder is none.
    """
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
    return drive(context.told(transfer(context, _side(source), _side(target), rules, on_outcome)))


def verify(
    source: Side,
    target: Side,
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    options: TransferOptions = DEFAULTS,
    progress: OnProgress | None = None,
) -> VerifyReport:
    """Compare the bytes of two trees without changing either.

    Digests that both sides know, from their listings or of the objects, are compared without
    moving a byte; of a file they are computed. Only where one side knows none that the other
    has, it is read.

    Args:
        source: A folder, or a tree of a bucket (`Bucket.tree`).
        target: Likewise.
        include: As for `sync`.
        exclude: As for `sync`.
        options: How machine and network are used.
        progress: Called with a `Progress` ten times a second at most, from any thread but never
            twice at a time; its bytes are those of the pairs that were compared.

    Returns:
        What is the same, what differs and what only one side has; its ``ok`` says whether the
        two are equal.

    Raises:
        NotADirectoryError: a folder is none.
    """
    from storage_core.transfer.rules import make_rules
    from storage_core.transfer.verify import compare_trees

    rules = make_rules(include=include, exclude=exclude)
    context = make_context(options, progress)
    return drive(context.told(compare_trees(context, _side(source), _side(target), rules)))


def _side(given: Side) -> FolderSide | BucketSide:
    from storage_core.transfer.folder import FolderSide
    from storage_core.transfer.prefix import BucketSide

    if isinstance(given, Tree):
        return BucketSide(end_of(given.bucket), given.prefix)
    return FolderSide(given)
