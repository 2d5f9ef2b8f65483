"""Header fields of an answer: asked for one by one, or all at once, they are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.http.fields import Fields, Pick, parse_fields, plain

NAMES = ["ETag", "etag", "X-A", "x-a-b", "Content-Length", "content-type", "A"]
SPACES = ["", " ", "  ", "\t", " \t "]
text = st.text(st.sampled_from("aZ:, \t\xe4\xc4=\"'"), max_size=6)
lines = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(SPACES), text, st.sampled_from(SPACES)),
    max_size=8,
)


def head_of(found: list[tuple[str, str, str, str]]) -> str:
    return "\r\n".join(["HTTP/1.1 200 OK", *(f"{a}:{b}{c}{d}" for a, b, c, d in found)])


def by_hand(found: list[tuple[str, str, str, str]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, before, value, after in found:
        shown = f"{before}{value}{after}".strip(" \t")
        name = name.lower()
        fields[name] = f"{fields[name]}, {shown}" if name in fields else shown
    return fields


@given(lines)
def test_one_by_one_and_all_at_once(found):
    expected = by_hand(found)
    for _ in range(2):  # the second time the row of names is known
        assert parse_fields(head_of(found)) == expected
    for name in [*expected, "missing", "x"]:
        assert Fields(head_of(found)).get(name) == expected.get(name)
    fields = Fields(head_of(found))
    assert dict(fields) == expected == fields
    assert len(fields) == len(expected)
    assert all(fields[name] == fields.get(name) == value for name, value in expected.items())


def test_a_name_is_not_found_inside_of_a_value_or_another_name():
    fields = Fields("HTTP/1.1 200 OK\r\nX-ETag: a\r\nB: etag: c\r\nETags: d")
    assert fields.get("etag") is None
    assert fields.get("etag", "") == ""
    assert "etag" not in fields


def test_the_status_line_is_no_field():
    assert Fields("HTTP/1.1 200 etag: a").get("etag") is None
    assert dict(Fields("HTTP/1.1 200 etag: a")) == {}


def test_missing_fields_and_reprs():
    fields = Fields("HTTP/1.1 200 OK\r\nSecret: value")
    with pytest.raises(KeyError):
        fields["other"]
    assert "value" not in repr(fields)
    assert plain(fields) == {"secret": "value"}
    assert plain({"a": "b"}) == {"a": "b"}


ALL = Pick("etag", "x-a", "x-a-b", "content-length", "content-type", "a", "missing", "content-*")
TWO = Pick("x-a-b", "etag")


@given(st.lists(lines, min_size=1, max_size=4))
def test_picked_they_are_the_same_whatever_came_before(heads):
    for found in [*heads, *heads, *heads]:  # a row of names is known when it comes again
        expected = by_hand(found)
        names = ["etag", "x-a", "x-a-b", "content-length", "content-type", "a", "missing"]
        first = next((name for name in expected if name.startswith("content-")), None)
        values = (*map(expected.get, names), expected.get(first) if first else None)
        two = expected.get("x-a-b"), expected.get("etag")
        fields = Fields(head_of(found))
        assert ALL(fields) == values
        assert TWO(fields) == two
        assert TWO(Fields(head_of(found))) == two
        assert ALL(expected) == values
        assert fields == expected


def test_values_that_need_stripping_do_not_fit_a_known_row():
    head = "HTTP/1.1 200 OK\r\nETag: {}\r\nX-A-B: 1"
    for value in ("x", "y", "z"):
        assert TWO(Fields(head.format(value))) == ("1", value)
    for value in (" x", "x ", "\tx", "x\t", " ", "\t"):
        assert TWO(Fields(head.format(value))) == ("1", value.strip())
    assert TWO(Fields(head.format(""))) == ("1", "")
    assert TWO(Fields(head.format("a\rb"))) == ("1", "a\rb")
    assert TWO(Fields(head.format("a\nX-A-B: 2"))) == ("1", "a\nX-A-B: 2")
    assert TWO(Fields(head.format("x").replace("ETag", "EXag"))) == ("1", None)
    assert TWO(Fields(head.format("x") + "\r\nx-a-b: 2")) == ("1, 2", "x")
    assert TWO(Fields("HTTP/1.1 200 OK")) == (None, None)
