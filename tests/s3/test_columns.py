"""Values made column by column are those that the class itself makes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

import pytest

from storage_core.model import EMPTY, DeleteResult, ObjectInfo, ObjectSummary, PutResult
from storage_s3.columns import Columns, info_of, put_result


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


def test_single_values_are_as_their_constructors_make_them():
    names: list[Any] = [field.name for field in fields(ObjectInfo)]
    made = info_of(*names)
    assert made == ObjectInfo(*names)
    assert repr(made) == repr(ObjectInfo(*names))
    result = put_result("key", "etag", 3, "version", {"crc32c": "00"})
    assert result == PutResult("key", "etag", 3, "version", {"crc32c": "00"})


def test_a_single_value_needs_all_its_fields():
    with pytest.raises(ValueError, match="zip"):
        info_of("key", 3)
