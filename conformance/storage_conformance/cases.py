"""What a case is: a test function with a stable id, the rule it holds and the clause of the
contract the rule comes from.

    class Listing(Suite):
        @case("F12", "start_after is exclusive", clause="Listing", needs=ORDERED)
        def test_f12_start_after(self, bucket: Bucket) -> None: ...

Where the profile does not declare what a case needs, the body does not run. Its probe does
instead: the call has to be refused, and nothing may be sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

if TYPE_CHECKING:
    from storage_core import Bucket
    from storage_core.model import Capabilities

Function = TypeVar("Function", bound=Callable[..., None])

MARK: Final = "__conformance_case__"
"""Attribute of a function that is a case."""

CATEGORIES: Final = {
    "A": "bucket life",
    "B": "write",
    "C": "read",
    "D": "head",
    "E": "metadata",
    "F": "list",
    "G": "keys",
    "H": "copy and move",
    "I": "delete",
    "J": "conditions",
    "K": "multipart",
    "L": "links",
    "M": "checksums",
    "N": "versions and tags",
    "O": "errors",
    "P": "faults",
    "Q": "process",
    "R": "security",
    "S": "capability honesty",
    "T": "memory",
}

PARTS: Final = (
    "core",
    "conditions",
    "links",
    "multipart",
    "versions",
    "tags",
    "faults",
    "security",
    "process",
    "memory",
)
"""What can be selected. The part of a case is that of its category unless it says other."""

_PART_OF: Final = {
    "J": "conditions",
    "K": "multipart",
    "L": "links",
    "N": "versions",
    "P": "faults",
    "Q": "process",
    "R": "security",
    "T": "memory",
}

_ID = re.compile(r"([A-Z])[0-9]{2}[a-z]?")


@dataclass(frozen=True, slots=True)
class Need:
    """Something a profile may lack.

    Attributes:
        name: What it is, for the report.
        predicate: Whether a profile of these capabilities has it.
        probe: A call that must raise `UnsupportedError`, with nothing sent, where it has
            not. None where no single call asks for it.
    """

    name: str
    predicate: Callable[[Capabilities], bool]
    probe: Callable[[Bucket], object] | None


@dataclass(frozen=True, slots=True)
class Case:
    """One rule, and what it takes to test it.

    Attributes:
        id: Category letter and number, never given to another rule.
        rule: What must hold, in one line.
        clause: Heading of the contract the rule belongs to.
        needs: What the profile must have.
        part: One of `PARTS`.
    """

    id: str
    rule: str
    clause: str
    needs: tuple[Need, ...]
    part: str

    @property
    def category(self) -> str:
        return self.id[0]


class UnsupportedCase(Exception):  # noqa: N818 - an outcome, not an error
    """Ends a case for which the profile, or the machine, has not what it takes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def unsupported(reason: str) -> NoReturn:
    """End the running case as unsupported, for reasons no capability tells of.

    Args:
        reason: Why it can not run here; it appears in the report.
    """
    raise UnsupportedCase(reason)


_known: dict[str, str] = {}


def case(
    id: str,  # noqa: A002 - what it is called everywhere
    rule: str,
    *,
    clause: str,
    needs: Need | tuple[Need, ...] = (),
    part: str | None = None,
) -> Callable[[Function], Function]:
    """Declare a test function to be a case; see `Case` for the arguments.

    Raises:
        ValueError: the id is malformed or taken, the category or part unknown, or the rule
            not one line.
    """
    match = _ID.fullmatch(id)
    if match is None or match[1] not in CATEGORIES:
        raise ValueError(f"case id {id!r} is not a category letter and two digits")
    if not rule or "\n" in rule:
        raise ValueError(f"the rule of case {id} is not one line")
    if part is None:
        part = _PART_OF.get(match[1], "core")
    if part not in PARTS:
        raise ValueError(f"case {id} names part {part!r}; there are {', '.join(PARTS)}")
    made = Case(id, rule, clause, needs if isinstance(needs, tuple) else (needs,), part)

    def mark(function: Function) -> Function:
        place = f"{function.__module__}.{function.__qualname__}"
        if _known.setdefault(id, place) != place:
            raise ValueError(f"case id {id} is taken by {_known[id]}; {place} needs another")
        if not function.__name__.startswith(f"test_{id.lower()}_"):
            raise ValueError(f"case {id} is named {function.__name__}, not test_{id.lower()}_…")
        setattr(function, MARK, made)
        return function

    return mark


def case_of(function: object) -> Case | None:
    """The case a function was declared as, if any."""
    found = getattr(function, MARK, None)
    return found if isinstance(found, Case) else None
