"""``storage sync`` and ``verify``: two trees, made the same or compared."""

from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from storage_core.cli.address import Address
from storage_core.cli.content_type import guess
from storage_core.cli.formats import size_text
from storage_core.cli.many import ANEW, Many, shown
from storage_core.cli.operands import parse_side
from storage_core.cli.options import (
    CLUSTER,
    FILTERS,
    PACE,
    TRANSFER,
    Cluster,
    Filters,
    Pace,
    Transfer,
)
from storage_core.cli.session import Session, This
from storage_core.cli.status import INTEGRITY, Failed, UsageError

if TYPE_CHECKING:
    from storage_core import Tree
    from storage_core.transfer.report import VerifyReport


def sync(
    source: str,
    target: str,
    /,
    *,
    delete: bool = False,
    max_delete: int | None = None,
    compare: Literal["time", "etag", "checksum"] = "time",
    dry_run: bool = False,
    filters: Filters = FILTERS,
    transfer: Transfer = TRANSFER,
    cluster: Cluster = CLUSTER,
    session: This,
) -> None:
    """Make a tree the same as another, in one direction: what differs is transferred.

    A tree is a bucket, a prefix that ends with "/", or a local folder, which begins with "./",
    "../", "/" or "~/". Interrupted, the same command does what is left.

    Args:
        source: The tree to be like.
        target: The tree to change.
        delete: Delete what the source does not have, when all else is done and nothing failed.
        max_delete: Delete nothing, and fail, if it were more than so many.
        compare: What makes an object the same, besides its size.
        dry_run: Only show what would be done.
    """
    import storage_core

    origin, goal = _sides(source, target)
    options = transfer.options()
    if max_delete is not None and not delete:
        raise UsageError("--max-delete goes with --delete")
    if max_delete is not None and max_delete < 0:
        raise UsageError("--max-delete is 0 or more")
    with cluster.opened() as engine, Many(session, "comparing", dry_run=dry_run) as many:
        run = storage_core.sync if engine is None else partial(_cluster().sync, engine=engine)
        many.run(
            f"{source} to {target}",
            lambda progress, on_outcome: run(
                _tree(session, origin),
                _tree(session, goal),
                compare=compare,
                delete=delete,
                max_delete=max_delete,
                include=filters.include or (),
                exclude=filters.exclude or (),
                dry_run=dry_run,
                content_type=guess,
                options=options,
                progress=progress,
                on_outcome=on_outcome,
            ),
            many.tell(goal),
            lambda key: _name(goal, key),
        )


def verify(
    source: str,
    target: str,
    /,
    *,
    filters: Filters = FILTERS,
    pace: Pace = PACE,
    cluster: Cluster = CLUSTER,
    session: This,
) -> None:
    """Compare two trees by the checksums of their objects; nothing is changed.

    What one side knows no checksum of is read; where both know one, nothing is. A tree is a
    bucket, a prefix that ends with "/", or a local folder, which begins with "./", "../", "/"
    or "~/".

    Args:
        source: A tree.
        target: The tree that ought to be the same.
    """
    import storage_core

    origin, goal = _sides(source, target)
    options = pace.options()
    with cluster.opened() as engine, shown(session, "verifying", ANEW) as bars:
        run = storage_core.verify if engine is None else partial(_cluster().verify, engine=engine)
        report = run(
            _tree(session, origin),
            _tree(session, goal),
            include=filters.include or (),
            exclude=filters.exclude or (),
            options=options,
            progress=bars.progress,
        )
    _tell_differences(session, report, source, target)


def _tell_differences(session: Session, report: "VerifyReport", source: str, target: str) -> None:
    """All that is not the same, then the sum."""
    out = session.out
    found = {
        "different": (report.different, "different"),
        "only_source": (report.only_source, f"only in {source}"),
        "only_target": (report.only_target, f"only in {target}"),
    }
    for kind, (keys, text) in found.items():
        for key in keys:
            out.result({"type": "difference", "kind": kind, "key": key}, f"{text}: {key}")
    for key in report.skipped:
        out.note(f"left out, as it is no regular file: {key}")
    for failure in report.failures:
        assert failure.error is not None
        session.failed(failure.error, failure.key)
    if out.json:
        counts = {kind: len(keys) for kind, (keys, _) in found.items()}
        out.record(
            {
                "type": "summary",
                "ok": report.ok,
                "same": report.same,
                **counts,
                "failed": len(report.failures),
                "left_out": len(report.skipped),
                "bytes": report.bytes,
                "read": report.read,
            }
        )
    else:
        parts = [f"{report.same} the same ({size_text(report.bytes)})"]
        parts += [f"{len(keys)} {text}" for keys, text in found.values() if keys]
        parts += [f"{len(report.failures)} failed"] if report.failures else []
        out.note(", ".join(parts))
    if report.different or report.only_source or report.only_target:
        raise Failed(INTEGRITY)
    session.check()


def _sides(source: str, target: str) -> tuple[Address | Path, Address | Path]:
    """Two trees, one of them at least of a bucket.

    Raises:
        UsageError: both are folders, or one is no tree.
    """
    origin, goal = parse_side(source), parse_side(target)
    if isinstance(origin, Path) and isinstance(goal, Path):
        raise UsageError(f"{source!r} and {target!r} are both local; one is to be of a bucket")
    return origin, goal


def _cluster() -> ModuleType:
    from storage_core import cluster

    return cluster


def _tree(session: Session, side: Address | Path) -> "Tree | Path":
    return side if isinstance(side, Path) else session.bucket(side).tree(side.key)


def _name(side: Address | Path, key: str) -> str:
    return str(side / key) if isinstance(side, Path) else str(side.at(side.key + key))
