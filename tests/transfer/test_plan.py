"""How large objects are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.errors import InvalidRequestError
from storage_core.model import Capabilities
from storage_core.transfer.options import TransferOptions
from storage_core.transfer.plan import PART, WIDTH, Plan, plan_download, plan_upload

MIB = 1024**2
SESSIONS = Capabilities(multipart=True)
sizes = st.integers(0, 5 * 1024**4)


def _covers(plan: Plan, size: int) -> None:
    spans = [plan.span(number, size) for number in (1, plan.parts)]
    assert spans[0][0] == 0
    assert spans[-1][1] == size
    assert (plan.parts - 1) * plan.part_size < max(size, 1)


@given(sizes)
def test_uploads_keep_to_what_the_profile_takes(size: int) -> None:
    plan = plan_upload(size, SESSIONS, TransferOptions())
    _covers(plan, size)
    assert plan.parts <= SESSIONS.max_parts
    assert SESSIONS.min_part_size <= plan.part_size <= SESSIONS.max_part_size
    assert 1 <= plan.width <= WIDTH


@given(sizes)
def test_downloads_are_cut_into_no_more_ranges_than_is_sensible(size: int) -> None:
    plan = plan_download(size, TransferOptions())
    _covers(plan, size)
    assert plan.part_size >= PART
    assert plan.parts <= 1024


def test_an_object_of_one_part_is_one_part() -> None:
    assert plan_upload(PART, SESSIONS, TransferOptions()).parts == 1
    assert plan_upload(PART + 1, SESSIONS, TransferOptions()).parts == 2
    assert plan_upload(0, SESSIONS, TransferOptions()).parts == 1


def test_without_sessions_all_goes_in_one_request() -> None:
    assert plan_upload(100 * MIB, Capabilities(), TransferOptions()) == Plan(100 * MIB, 1, 1)


def test_a_part_size_that_does_not_do_is_refused_with_one_that_does() -> None:
    with pytest.raises(InvalidRequestError, match=r"takes parts of 5242880 to"):
        plan_upload(100 * MIB, SESSIONS, TransferOptions(part_size=MIB))
    with pytest.raises(InvalidRequestError, match="takes parts of"):
        plan_upload(5 * 1024**4, SESSIONS, TransferOptions(part_size=5 * MIB))
    assert plan_upload(MIB, SESSIONS, TransferOptions(part_size=MIB)).parts == 1
    assert plan_upload(100 * MIB, SESSIONS, TransferOptions(part_size=50 * MIB)).parts == 2


@pytest.mark.parametrize("name", ["part_size", "concurrency", "max_memory", "bandwidth"])
@pytest.mark.parametrize("value", [0, -1, "many"])
def test_options_below_one_are_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidRequestError, match=f"{name} {value!r} is not a number"):
        TransferOptions(**{name: value})  # type: ignore[arg-type]
