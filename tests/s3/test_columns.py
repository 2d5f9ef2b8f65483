"""Values made column by column are those that the class itself makes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from itertools import repeat

import pytest

from storage_core.model import EMPTY, DeleteResult, ObjectSummary
from storage_s3.columns import Columns


def test_rows_are_as_made_one_by_one() -> None:
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    rows = Columns(ObjectSummary).rows
    made = rows(2, ["a", "b"], [1, 2], ["x", None], repeat(moment), repeat(EMPTY))
    assert made == [ObjectSummary("a", 1, "x", moment), ObjectSummary("b", 2, None, moment)]
    assert hash(made[0]) == hash(ObjectSummary("a", 1, "x", moment))
    with pytest.raises(FrozenInstanceError):
        made[0].key = "c"  # type: ignore[misc]


def test_every_field_needs_a_column() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Columns(DeleteResult).rows(1, ["a"], [None])
