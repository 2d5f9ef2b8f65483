"""``storage fsck`` and ``storage import-tree``: for drivers that keep their objects on this
machine, as the local one does, and so offer these as methods of their own."""

import os
import stat
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from storage_core.cli.address import Address, parse, parse_group
from storage_core.cli.formats import count, size_text
from storage_core.cli.options import NoClobber
from storage_core.cli.output import record
from storage_core.cli.progress import Bars, Counter
from storage_core.cli.session import Session, This
from storage_core.cli.status import INTEGRITY, Failed, UsageError
from storage_core.errors import UnsupportedError


class _Finding(Protocol):
    """One thing that is not as it should be."""

    kind: str
    bucket: str | None
    key: str | None
    detail: str
    leftover: bool
    repaired: bool


class _CheckReport(Protocol):
    """What a check found."""

    findings: Sequence[_Finding]
    buckets: int
    objects: int
    bytes: int
    clean: bool


class _Skipped(Protocol):
    """Something in a tree that is no object."""

    place: str
    reason: str


class _ImportReport(Protocol):
    """What was taken in."""

    objects: int
    bytes: int
    cloned: int
    skipped: Sequence[_Skipped]


def fsck(
    address: str = "",
    /,
    *,
    repair: bool = False,
    deep: bool = False,
    session: This,
) -> None:
    """Check a profile that keeps its objects on this machine, also while it is in use.

    Left-overs of a crash cost space and are no failure; damage is, unless it could be repaired.

    Args:
        address: PROFILE:BUCKET; without a bucket everything is checked.
        repair: Remove left-overs and mend what can be mended.
        deep: Read every object and compare its checksum.
    """
    where = parse(address) if address else Address(None, "")
    if where.key:
        raise UsageError(f"{address!r} names an object; fsck takes a bucket")
    check, name = _method(session, where, "fsck")
    with Bars(session.out, "checking") as bars:
        counter = Counter(bars)
        report: _CheckReport = check(
            bucket=name,
            repair=repair,
            deep=deep,
            progress=lambda report: counter.reach(report.bytes),
        )
    for finding in report.findings:
        session.out.result({"type": "finding", **record(finding)}, _finding_text(finding))
    session.out.done(
        {
            "type": "summary",
            "clean": report.clean,
            "findings": len(report.findings),
            "buckets": report.buckets,
            "objects": report.objects,
            "bytes": report.bytes,
        },
        f"{count(report.buckets, 'bucket')}, {count(report.objects, 'object')},"
        f" {size_text(report.bytes)}:"
        f" {_verdict(report)}",
    )
    if not report.clean:
        raise Failed(INTEGRITY)


def _finding_text(finding: _Finding) -> str:
    sort = "left-over" if finding.leftover else "damage"
    place = "/".join(part for part in (finding.bucket, finding.key) if part is not None)
    where = f" {place}" if place else ""
    mended = " (repaired)" if finding.repaired else ""
    return f"{sort}: {finding.kind}{where}: {finding.detail}{mended}"


def _verdict(report: _CheckReport) -> str:
    if not report.findings:
        return "clean"
    if all(finding.repaired for finding in report.findings):
        return "repaired"
    return "left-overs; --repair removes them" if report.clean else "damaged"


def import_tree(
    folder: str,
    target: str,
    /,
    *,
    no_clobber: NoClobber = False,
    session: This,
) -> None:
    """Take a folder with all its files in as objects, without copying where the file system
    can share blocks.

    Symbolic links and special files are left out and told of. The bucket must exist, and the
    files must hold still meanwhile.

    Args:
        folder: The folder.
        target: PROFILE:BUCKET, or a prefix ending with "/".
        no_clobber: Leave objects that exist as they are.
    """
    where = parse_group(target)
    if not stat.S_ISDIR(os.stat(folder).st_mode):
        raise UsageError(f"{folder!r} is no folder; 'storage put' stores single files")
    take_in, name = _method(session, where, "import_tree")
    prefix = str(getattr(session.storage(where.profile).driver, "prefix", "")) + where.key
    with Bars(session.out, folder) as bars:
        counter = Counter(bars)
        report: _ImportReport = take_in(
            name,
            folder,
            prefix=prefix,
            overwrite=not no_clobber,
            progress=lambda report: counter.reach(report.bytes),
        )
    for skipped in report.skipped:
        session.out.note(f"left out: {skipped.place}: {skipped.reason}")
    session.out.done(
        {"bucket": where.bucket, **record(report), "skipped": [record(s) for s in report.skipped]},
        f"{count(report.objects, 'object')}, {size_text(report.bytes)}, {report.cloned} cloned,"
        f" {len(report.skipped)} left out",
    )


def _method(session: Session, where: Address, name: str) -> tuple[Callable[..., Any], str | None]:
    """A driver's own method, and the bucket's name as that driver knows it."""
    driver = session.storage(where.profile).driver
    bucket = getattr(driver, "bucket_prefix", "") + where.bucket
    inner = getattr(driver, "inner", driver)  # a layer has no such methods
    method = getattr(inner, name, None)
    if method is None:
        raise UnsupportedError(
            f"profile {session.profile_name(where.profile)!r} (driver {inner.name}) keeps no"
            " objects on this machine; this command is for those that do"
        )
    return method, bucket if where.bucket else None
