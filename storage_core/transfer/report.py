"""What became of a transfer of many objects. The same work gives the same report, in whatever
order its parts came to their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from storage_core.errors import StorageError

Action: TypeAlias = Literal["upload", "download", "copy", "delete", "verify"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, or in a dry run would be, with one key.

    Attributes:
        key: Relative to the root of the tree.
        action: What.
        size: Bytes moved; 0 for a deletion.
        error: Why it failed, None if it did not.
        etag: Of the object that was written by an upload, or read by a download or copy; None
            where nothing was done.
    """

    key: str
    action: Action
    size: int = 0
    error: StorageError | OSError | None = None
    etag: str | None = None


OnOutcome: TypeAlias = Callable[[Outcome], object]


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What a transfer of many objects did.

    Attributes:
        transferred: Objects moved.
        bytes: Their bytes.
        unchanged: Objects that were the same on both sides already.
        deleted: Objects deleted from the target.
        skipped: What is not for a transfer to take, ascending: in a folder all that is no
            regular file, such as symbolic links; in a bucket, where the target is a folder,
            empty objects that mark folders.
        failures: What failed, ascending by key.
        dry_run: Whether all this was only looked at.
        withheld: Objects that were to be deleted and are all left, being more than
            ``max_delete``.
    """

    transferred: int = 0
    bytes: int = 0
    unchanged: int = 0
    deleted: int = 0
    skipped: tuple[str, ...] = ()
    failures: tuple[Outcome, ...] = ()
    dry_run: bool = False
    withheld: int = 0

    def merged(self, other: TransferReport) -> TransferReport:
        """Both together."""
        return TransferReport(
            self.transferred + other.transferred,
            self.bytes + other.bytes,
            self.unchanged + other.unchanged,
            self.deleted + other.deleted,
            tuple(sorted((*self.skipped, *other.skipped))),
            tuple(sorted((*self.failures, *other.failures), key=lambda found: found.key)),
            self.dry_run or other.dry_run,
            self.withheld + other.withheld,
        )


class TransferIncompleteError(StorageError):
    """Of many objects some failed, or more were to be deleted than may be; all others were
    transferred.

    Attributes:
        report: What became of all of them.
    """

    report: TransferReport

    @classmethod
    def of(cls, report: TransferReport, max_delete: int | None = None) -> TransferIncompleteError:
        """The error that tells of a report's failures, and of deletions over the limit."""
        told = []
        if report.withheld:
            told.append(_withheld(report, max_delete))
        if report.failures:
            told.append(_failed(report))
        error = cls("; ".join(told))
        error.report = report
        return error


def _withheld(report: TransferReport, max_delete: int | None) -> str:
    was, look = ("would be", "them") if report.dry_run else ("was", "them in a dry run")
    return (
        f"nothing {was} deleted: {report.withheld} to delete are more than max_delete {max_delete}"
        f" allows; look at {look}, and raise the limit if the source is whole"
    )


def _failed(report: TransferReport) -> str:
    failures = report.failures
    first = failures[0]
    more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
    tried = len(failures) + report.transferred + report.deleted
    return (
        f"{len(failures)} of {tried} failed: {first.action} of {first.key!r}{more}: {first.error}"
    )


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a comparison of two trees found.

    Attributes:
        same: Keys with the same bytes on both sides.
        different: Keys with different bytes, ascending.
        only_source: Keys that the target does not have, ascending.
        only_target: Keys that the source does not have, ascending.
        failures: What could not be compared, ascending by key.
        skipped: What was not for a comparison to take, as in `TransferReport`.
        bytes: Size of what was compared.
        read: Bytes of objects that had to be read for it.
    """

    same: int = 0
    different: tuple[str, ...] = ()
    only_source: tuple[str, ...] = ()
    only_target: tuple[str, ...] = ()
    failures: tuple[Outcome, ...] = ()
    skipped: tuple[str, ...] = ()
    bytes: int = 0
    read: int = 0

    @property
    def ok(self) -> bool:
        """Whether both sides have the same keys with the same bytes, as far as they were to be
        compared."""
        return not (self.different or self.only_source or self.only_target or self.failures)

    def merged(self, other: VerifyReport) -> VerifyReport:
        """Both together."""
        return VerifyReport.of((self, other))

    @classmethod
    def of(cls, reports: Iterable[VerifyReport]) -> VerifyReport:
        """Several together."""
        found = tuple(reports)
        return cls(
            sum(report.same for report in found),
            tuple(sorted(key for report in found for key in report.different)),
            tuple(sorted(key for report in found for key in report.only_source)),
            tuple(sorted(key for report in found for key in report.only_target)),
            tuple(
                sorted(
                    (failure for report in found for failure in report.failures),
                    key=lambda failure: failure.key,
                )
            ),
            tuple(sorted(key for report in found for key in report.skipped)),
            sum(report.bytes for report in found),
            sum(report.read for report in found),
        )
