"""The values: ranges, capabilities, links that keep their secret, and what pickles."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.errors import ConfigError, InvalidRangeError, UnavailableError
from storage_core.model import (
    EMPTY,
    NO_ATTRIBUTES,
    NO_CONDITIONS,
    Attributes,
    BucketInfo,
    ByteRange,
    Capabilities,
    Conditions,
    CopyProgress,
    DeleteResult,
    Link,
    ObjectInfo,
    ObjectSummary,
    Page,
    Part,
    Prefix,
    PutResult,
    UploadInfo,
    VersionSummary,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL = "https://files.example.org/s/fruit/a?sig=SECRET&exp=1"
INFO = ObjectInfo("a", 3, "e-1", NOW, "text/csv", metadata={"year": "2012"}, version="v1")
VALUES = [
    Capabilities(conditions={"put": frozenset(("if_absent",))}),
    Conditions(if_match="e-1"),
    NO_CONDITIONS,
    NO_ATTRIBUTES,
    Attributes("text/csv", tags={"a": "b"}, expires_at=NOW),
    ByteRange(1, 2),
    BucketInfo("fruit", NOW),
    INFO,
    ObjectSummary("a", 3, None, NOW),
    Prefix("a/"),
    VersionSummary("a", "v1", True, False, NOW),
    Page([Prefix("a/")], "token"),
    PutResult("a", "e-1", 3, None, {"crc32c": "00"}),
    CopyProgress(token="t"),
    DeleteResult("a", delete_marker=True),
    Part(1, "e-1", 3),
    UploadInfo("id", "a", NOW),
    Link(URL, "GET", {}, NOW),
]


def naive(size: int, start: int, stop: int | None) -> bytes:
    return bytes(index % 251 for index in range(size))[start:stop]


@given(st.integers(0, 300), st.integers(-310, 310), st.none() | st.integers(0, 310))
def test_a_range_selects_what_a_slice_does(size: int, start: int, stop: int | None):
    data = naive(size, 0, None)
    try:
        wanted = ByteRange.of((start, stop))
    except InvalidRangeError:
        assert stop is not None
        assert start < 0 or stop <= start
        return
    try:
        first, end = wanted.resolve(size)
    except InvalidRangeError:
        assert start >= size
        return
    assert 0 <= first <= end <= size
    assert data[first:end] == data[start:stop]


@pytest.mark.parametrize(
    "value", [(1, 1), (2, 1), (-1, 5), (0, 0), (5, -1), (1,), (1, 2, 3), 5, "ab", ("0", None), None]
)
def test_what_is_no_range(value):
    with pytest.raises(InvalidRangeError, match="range"):
        ByteRange.of(value)


def test_the_edges_of_an_object():
    assert ByteRange(0).resolve(5) == (0, 5)
    assert ByteRange(4, 100).resolve(5) == (4, 5)
    assert ByteRange(-9).resolve(5) == (0, 5)
    assert ByteRange(-2).resolve(5) == (3, 5)
    assert ByteRange(-2).resolve(0) == (0, 0)
    for start in (5, 6):
        says = f"starts at byte {start}, the object has 5"
        with pytest.raises(InvalidRangeError, match=says) as caught:
            ByteRange(start).resolve(5)
        assert caught.value.status == 416
    with pytest.raises(InvalidRangeError):
        ByteRange(0).resolve(0)


def test_capabilities_are_corrected_by_name():
    declared = Capabilities(tags=True, presign=frozenset(("GET",)))
    assert declared.overridden({}) is declared
    changed = declared.overridden({"tags": False, "presign": ["PUT"], "max_put_size": 7})
    assert (changed.tags, changed.presign, changed.max_put_size) == (False, frozenset(("PUT",)), 7)
    assert declared.tags
    conditions = declared.overridden({"conditions": {"put": ["if_absent"]}})
    assert conditions.allows("put", "if_absent")
    assert not conditions.allows("put", "if_match")
    assert not conditions.allows("get", "if_match")


def test_an_unknown_capability_is_named():
    with pytest.raises(ConfigError, match=r"capabilities\.teleport: there is no such"):
        Capabilities().overridden({"teleport": True})


def test_the_least_a_driver_declares_is_nothing_optional():
    declared = Capabilities()
    for one in fields(declared):
        value = getattr(declared, one.name)
        if one.name != "content_headers" and isinstance(value, bool | frozenset | dict):
            assert not value, one.name


def test_conditions_tell_their_names():
    moment = NOW
    everything = Conditions("e", "f", moment, moment)
    assert list(everything.names()) == [
        "if_match", "if_none_match", "if_modified_since", "if_unmodified_since",
    ]  # fmt: skip
    assert list(Conditions(if_none_match="*").names()) == ["if_absent"]
    assert Conditions(if_none_match="*").if_absent
    assert list(NO_CONDITIONS.names()) == []


@pytest.mark.parametrize("show", [repr, str, "{}".format])
def test_a_link_does_not_show_its_signature(show):
    link = Link(URL, "PUT", {"content-type": "text/csv"}, NOW)
    shown = show(link)
    assert "SECRET" not in shown
    assert "sig" not in shown
    assert "https://files.example.org/s/fruit/a" in shown
    assert "text/csv" in shown
    assert "2026-03-01T12:00:00+00:00" in shown
    assert link.url == URL
    assert "SECRET" not in repr([link])


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_are_pickled_copied_and_immutable(value):
    for twin in (
        pickle.loads(pickle.dumps(value)),
        copy.copy(value),
        copy.deepcopy(value),
    ):
        assert twin == value
        assert type(twin) is type(value)
    name = next(iter(getattr(value, "_fields", ()) or [one.name for one in fields(value)]))
    with pytest.raises((FrozenInstanceError, AttributeError)):
        setattr(value, name, None)


def test_the_constants_stay_the_same_when_pickled():
    assert pickle.loads(pickle.dumps(EMPTY)) is EMPTY
    assert copy.deepcopy(EMPTY) is EMPTY
    assert dict(EMPTY) == {}
    assert EMPTY == {}
    assert len(EMPTY) == 0
    assert {EMPTY: 1}[EMPTY] == 1
    with pytest.raises(KeyError):
        EMPTY["a"]
    assert pickle.loads(pickle.dumps(NO_ATTRIBUTES)).metadata is EMPTY


def test_a_result_carries_its_error_along():
    result = DeleteResult("a", error=UnavailableError("x", key="a"))
    twin = pickle.loads(pickle.dumps(result))
    assert isinstance(twin.error, UnavailableError)
    assert twin.error.key == "a"


def test_attributes_of_an_object_for_another_one():
    attributes = INFO.attributes({"t": "1"})
    assert attributes == Attributes("text/csv", metadata={"year": "2012"}, tags={"t": "1"})
    assert [one.name for one in fields(Attributes)][:5] == list(Attributes.HEADERS)


def test_items_of_a_listing_say_what_they_are():
    assert Prefix("a/").is_prefix
    assert not ObjectSummary("a", 1, None, NOW).is_prefix
