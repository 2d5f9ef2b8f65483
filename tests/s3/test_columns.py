"""Values made column by column are those that the class itself makes."""

from __future__ import annotations

import pickle
from copy import copy, deepcopy
from dataclasses import FrozenInstanceError, asdict, fields, replace
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

import pytest

from storage_core.model import EMPTY, DeleteResult, ObjectInfo, ObjectSummary, PutResult
from storage_s3.columns import Columns, begun_info, put_result


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


def test_a_single_value_is_as_its_constructor_makes_it():
    result = put_result("key", "etag", 3, "version", {"crc32c": "00"})
    assert result == PutResult("key", "etag", 3, "version", {"crc32c": "00"})


MOMENT = datetime(2026, 1, 31, tzinfo=UTC)
REST: dict[str, Any] = {
    field.name: None if field.name.endswith("_at") else field.name
    for field in fields(ObjectInfo)[4:]
}
WHOLE = ObjectInfo("key", 3, "etag", MOMENT, **REST)


def begun(asked: list[int] | None = None) -> ObjectInfo:
    def later() -> dict[str, Any]:
        if asked is not None:
            asked.append(1)
        return REST

    return begun_info("key", 3, "etag", MOMENT, later)


def test_what_is_worked_out_later_can_not_be_told_from_the_whole():
    assert begun() == WHOLE
    assert hash(begun()) == hash(WHOLE)
    assert repr(begun()) == repr(WHOLE)
    assert asdict(begun()) == asdict(WHOLE)
    assert replace(begun(), size=4) == replace(WHOLE, size=4)
    for again in (pickle.loads(pickle.dumps(begun())), copy(begun()), deepcopy(begun())):
        assert again == WHOLE
        assert again.write_id == "write_id"
    for field in fields(ObjectInfo):
        assert getattr(begun(), field.name) == getattr(WHOLE, field.name)


def test_it_is_worked_out_once_and_only_when_asked_for():
    asked: list[int] = []
    info = begun(asked)
    assert (info.key, info.size, info.etag, info.modified) == ("key", 3, "etag", MOMENT)
    assert asked == []
    assert info.version == "version"
    assert info.write_id == "write_id"
    assert asked == [1]


def test_it_is_frozen_and_has_no_other_attributes():
    for info in (begun(), WHOLE):
        with pytest.raises(FrozenInstanceError):
            info.version = "other"  # type: ignore[misc]
        with pytest.raises(AttributeError, match="'ObjectInfo' object has no attribute 'other'"):
            info.other  # type: ignore[attr-defined]  # noqa: B018
    assert begun().version == "version"
