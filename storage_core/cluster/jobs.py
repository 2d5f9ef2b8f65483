"""What client and workers send each other. All of it is data: a job that is done twice, because
the worker that had it was lost, names the same keys and gives the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from storage_core.transfer.entries import KeyRange
from storage_core.transfer.planning import Decision
from storage_core.transfer.report import Outcome, TransferReport, VerifyReport


class Sealed(bytes):
    """A pickle that logs and dashboards of a cluster show nothing of: they print the arguments
    of tasks that fail, and this holds settings with their credentials."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} sealed bytes>"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Look:
    """List both sides and compare.

    Attributes:
        keys: The keys to look at.
        bounded: Stop after so many that one answer stays small, and say where.
    """

    keys: KeyRange
    bounded: bool


@dataclass(frozen=True, slots=True)
class Looked:
    """What there is to be done among the keys of a `Look`.

    Attributes:
        decisions: What to move and to delete, ascending by key.
        unchanged: Number of keys that are the same on both sides.
        rest: Keys that are still to be looked at, None if all were.
    """

    decisions: tuple[Decision, ...]
    unchanged: int
    rest: KeyRange | None


@dataclass(frozen=True, slots=True)
class Carry:
    """Do what was decided.

    Attributes:
        decisions: What.
        bandwidth: This job's share of the bytes per second.
        may_wait: Whether moves that something is in the way of are given back, because it is
            yet to be deleted; else they fail.
    """

    decisions: tuple[Decision, ...]
    bandwidth: float | None
    may_wait: bool


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of a `Carry`.

    Attributes:
        report: Of what was done.
        outcomes: Of the keys, if they are wanted.
        blocked: What could not be done before the deletions.
    """

    report: TransferReport
    outcomes: tuple[Outcome, ...]
    blocked: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """List both sides and verify; attributes as of `Look`."""

    keys: KeyRange
    bounded: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a `Check`.

    Attributes:
        report: Of the keys that were verified.
        rest: Keys that are still to be verified, None if all were.
    """

    report: VerifyReport
    rest: KeyRange | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A worker can not do it, and the whole operation ends with this error."""

    error: Exception


Job: TypeAlias = Look | Carry | Check
Answer: TypeAlias = Looked | Carried | Checked | Refusal
