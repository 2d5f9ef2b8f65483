"""Errors that can not be pickled, or not be opened again, cost nothing but their class."""

from __future__ import annotations

import pickle

import pytest

from storage_core.cluster.jobs import Answer, Carried, Checked, Looked
from storage_core.cluster.portable import portable_answer
from storage_core.errors import PermissionDeniedError, StorageError
from storage_core.transfer.planning import Decision
from storage_core.transfer.report import Outcome, TransferReport, VerifyReport
from tests.cluster.functions import HeldError


class OddError(StorageError):
    """It can be pickled, and nobody can open that."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")

    def __reduce__(self) -> tuple[object, ...]:
        return OddError, ()


GOOD = PermissionDeniedError("no")


def errors(answer: Answer) -> list[StorageError | OSError | None]:
    match answer:
        case Looked():
            return [decision.error for decision in answer.decisions]
        case Carried():
            blocked = [decision.error for decision in answer.blocked]
            outcomes = (*answer.report.failures, *answer.outcomes)
            return [*blocked, *(outcome.error for outcome in outcomes)]
        case Checked():
            return [outcome.error for outcome in answer.report.failures]
        case _:
            raise AssertionError(answer)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (HeldError("not to be had"), "HeldError: not to be had"),
        (OddError("an odd", "bug"), "OddError: an odd bug"),
    ],
)
@pytest.mark.parametrize("kind", [Looked, Carried, Checked])
def test_one_key_stays_one_failure(kind: type, bad: HeldError | OddError, text: str):
    decisions = (Decision("a", "fail", error=bad), Decision("b", "fail", error=GOOD))
    outcomes = (Outcome("a", "copy", error=bad), Outcome("b", "copy", error=GOOD))
    given: dict[type, Answer] = {
        Looked: Looked((*decisions, Decision("c", "copy")), 3, None),
        Carried: Carried(TransferReport(failures=outcomes), outcomes, decisions),
        Checked: Checked(VerifyReport(failures=outcomes), None),
    }
    answer: Answer = pickle.loads(pickle.dumps(portable_answer(given[kind])))
    found = [error for error in errors(answer) if error is not None]
    assert [str(error) for error in found] == [text, "no"] * (len(found) // 2)
    assert {type(error) for error in found} == {StorageError, PermissionDeniedError}
