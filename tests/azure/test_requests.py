"""From what core asks to headers, queries and bodies."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from storage_azure.requests import (
    block_list_body,
    block_query,
    condition_headers,
    list_query,
    range_header,
    resolved,
    tagging,
    tags_body,
    version_query,
)
from storage_core.errors import InvalidRangeError
from storage_core.model import NO_CONDITIONS, ByteRange, Conditions

MOMENT = datetime(1994, 11, 6, 8, 49, 37, 999, tzinfo=UTC)
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("conditions", "headers"),
    [
        (NO_CONDITIONS, {}),
        (Conditions(if_match="0x1"), {"if-match": '"0x1"'}),
        (Conditions(if_none_match="*"), {"if-none-match": "*"}),
        (Conditions(if_match="*"), {"if-match": '"*"'}),  # an etag as others, not any object
        (Conditions(if_none_match="0x1"), {"if-none-match": '"0x1"'}),
        (Conditions(if_modified_since=MOMENT), {"if-modified-since": DATE}),
        (Conditions(if_unmodified_since=MOMENT), {"if-unmodified-since": DATE}),
        # The etag decides, where the service would want both.
        (Conditions(if_match="0x1", if_unmodified_since=MOMENT), {"if-match": '"0x1"'}),
        (Conditions(if_none_match="0x1", if_modified_since=MOMENT), {"if-none-match": '"0x1"'}),
    ],
)
def test_conditions(conditions: Conditions, headers: dict[str, str]) -> None:
    assert condition_headers(conditions) == headers


def test_conditions_of_a_source() -> None:
    found = condition_headers(Conditions(if_match="0x1"), "x-ms-source-")
    assert found == {"x-ms-source-if-match": '"0x1"'}


def test_ranges_are_inclusive() -> None:
    assert range_header(2, 5) == "bytes=2-4"
    assert range_header(2, None) == "bytes=2-"
    assert resolved(ByteRange(-3), 10) == (7, 10)
    assert resolved(None, 10) == (0, 10)
    with pytest.raises(InvalidRangeError):
        resolved(ByteRange(10, 12), 10)


def test_parameters_ascend_by_name() -> None:
    query = list_query(limit=7, prefix="p", delimiter="/", marker="m", include="metadata")
    names = [name for name, _ in query]
    assert names == sorted(names)
    assert dict(query)["restype"] == "container"
    assert "restype" not in dict(list_query(limit=7, container=False))
    assert version_query("v", ("comp", "tags")) == (("comp", "tags"), ("versionid", "v"))
    assert [name for name, _ in block_query("x")] == ["blockid", "comp"]


def test_tags() -> None:
    assert tagging({"a b": "c=d", "e": ""}) == "a%20b=c%3Dd&e="
    assert b"<Key>a&amp;b</Key><Value>&lt;</Value>" in tags_body({"a&b": "<"})


def test_block_list() -> None:
    assert b"<Latest>a</Latest><Latest>b</Latest>" in block_list_body(["a", "b"])
