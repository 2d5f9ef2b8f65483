from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_local.names import (
    LONG_NAME,
    MAX_NAME,
    after,
    escape,
    file_name,
    is_long,
    key_of,
    prefix_range,
    sort_key,
    unescape,
)

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
# Characters around the escape's seams, where the order could break.
SEAMS = st.text(st.sampled_from("./-09:=@AZ_`az~%+,*!\x00\x7f\u00e9\uffff\U0001f34e"), min_size=1)


@given(KEYS | SEAMS)
def test_round_trip_in_safe_characters(key):
    assert unescape(escape(key)) == key
    assert key_of(sort_key(key, "0123")) == key
    assert re.fullmatch(r"[a-z0-9_.+,`%=~-]*", escape(key))


@given(KEYS | SEAMS, KEYS | SEAMS)
def test_order_is_that_of_the_bytes(one, other):
    assert (sort_key(one) < sort_key(other)) == (one.encode() < other.encode())
    if one != other:
        assert (after(sort_key(one, "7")) < sort_key(other)) == (one.encode() < other.encode())


@given(KEYS | SEAMS, KEYS | SEAMS)
def test_prefix_range_holds_exactly_the_keys_with_the_prefix(key, prefix):
    low, high = prefix_range(prefix)
    assert (low <= sort_key(key) < high) == key.startswith(prefix)
    low, high = prefix_range(key[: len(key) // 2])
    assert low <= sort_key(key) < high


def test_a_dot_is_no_prefix_of_a_slash():
    low, high = prefix_range("a.")
    assert low <= sort_key("a.b") < high
    assert not low <= sort_key("a/b") < high


@pytest.mark.parametrize("key", [".", "..", "a.", "con", "NUL", "a" * 1024, "\U0001f34e" * 256])
def test_file_names_are_no_special_entries(key):
    name = file_name(sort_key(key))
    assert name not in {".", ".."}
    assert len(name) <= MAX_NAME < 255
    assert name == name.lower()
    assert not name.endswith(".")


@given(KEYS | SEAMS | st.text("ab", min_size=200, max_size=400))
def test_long_names_are_told_apart(key):
    name = file_name(sort_key(key))
    assert is_long(name) == ("$" in name)
    assert not is_long(name) or len(name) == LONG_NAME


def test_case_is_escaped():
    assert escape("README") != escape("readme")
    assert escape("README").lower() != escape("readme")
