"""Errors on their way from a worker to the client."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import replace

from storage_core.cluster.jobs import Answer, Carried, Checked, Looked
from storage_core.errors import StorageError
from storage_core.transfer.planning import Decision
from storage_core.transfer.report import Outcome


def arrives(error: Exception) -> bool:
    """Whether an error can be pickled, and opened again."""
    try:
        return isinstance(pickle.loads(pickle.dumps(error)), type(error))  # noqa: S301 - just made
    except Exception:  # noqa: BLE001 - whatever a class of somebody else's raises
        return False


def portable(error: StorageError | OSError) -> StorageError | OSError:
    """An error that arrives: itself, or one that says the same."""
    return error if arrives(error) else StorageError(f"{type(error).__name__}: {error}")


def portable_answer(answer: Answer) -> Answer:
    """The same answer, with errors that arrive."""
    match answer:
        case Looked():
            return replace(answer, decisions=_decisions(answer.decisions))
        case Carried():
            return Carried(
                replace(answer.report, failures=_outcomes(answer.report.failures)),
                _outcomes(answer.outcomes),
                _decisions(answer.blocked),
            )
        case Checked():
            report = replace(answer.report, failures=_outcomes(answer.report.failures))
            return replace(answer, report=report)
        case _:
            return answer


def _decisions(given: Iterable[Decision]) -> tuple[Decision, ...]:
    return tuple(
        one if one.error is None else one._replace(error=portable(one.error)) for one in given
    )


def _outcomes(given: Iterable[Outcome]) -> tuple[Outcome, ...]:
    return tuple(
        one if one.error is None else replace(one, error=portable(one.error)) for one in given
    )
