"""Keys as names of blobs: nothing the service mangles, and back byte for byte."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_azure.keys import (
    HIDDEN,
    MAX_SLASHES,
    decode_name,
    encode_key,
    encode_prefix,
    quote_name,
)
from storage_core.errors import KeyTooLongError

# Texts that matter: what is encoded, what it is encoded as, and parts of both.
PIECES = st.sampled_from(
    (
        "a", "/", ".", "\\", "%", "25", "2", "5", "C", "5C", "2E", "E", "%5C", "%2E", "%255C",
        "EF%BF%BE", "%EE%80%80", "\ue000", "\ufffe", "\uffff", "\u2044", "%E2%81%84", "é", "😀",
        "storagecore/", "%storagecore/", "%25storagecore/", " ", "?", "#",
    )
)  # fmt: skip
KEYS = st.lists(PIECES, min_size=1, max_size=12).map("".join)
DEEP = st.builds(lambda n, text: "s/" * n + text, st.integers(250, 256), KEYS)
FORBIDDEN = re.compile("[\\\\\ue000\ufffe\uffff]|\\.(?:/|\\Z)")


@given(st.one_of(KEYS, DEEP, st.text(min_size=1, max_size=60)))
def test_every_key_comes_back(key: str) -> None:
    name = encode_key(key)
    assert decode_name(name) == key
    assert not FORBIDDEN.search(name)
    assert not name.startswith(HIDDEN)
    assert name.count("/") <= MAX_SLASHES


@given(st.one_of(KEYS, DEEP))
def test_every_name_the_service_can_hold_is_one_key(name: str) -> None:
    if FORBIDDEN.search(name) or name.startswith(HIDDEN) or name.count("/") > MAX_SLASHES:
        return
    assert encode_key(decode_name(name)) == name


@given(st.one_of(KEYS, DEEP), st.data())
def test_a_prefix_finds_every_key_it_begins(key: str, data: st.DataObject) -> None:
    prefix = key[: data.draw(st.integers(0, len(key)))]
    assert encode_key(key).startswith(encode_prefix(prefix)[0])


@given(KEYS, KEYS)
def test_an_exact_prefix_finds_no_other(prefix: str, key: str) -> None:
    begins, exact = encode_prefix(prefix)
    if exact and encode_key(key).startswith(begins):
        assert key.startswith(prefix)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a/b c.txt", "a/b c.txt"),
        ("a\\b", "a%5Cb"),
        ("a%5Cb", "a%255Cb"),
        ("a.", "a%2E"),
        ("../a", ".%2E/a"),
        ("%2E", "%252E"),
        ("%2Ex", "%2Ex"),
        ("100%", "100%"),
        ("%storagecore/x", "%25storagecore/x"),
        ("\uffff", "%EF%BF%BF"),
        ("s/" * 254 + "x", "s/" * 253 + "s\u2044x"),
    ],
)
def test_names(key: str, name: str) -> None:
    assert encode_key(key) == name


def test_a_name_over_the_limit_is_refused() -> None:
    assert len(encode_key("k" * 1024)) == 1024
    with pytest.raises(KeyTooLongError, match="1024 are allowed"):
        encode_key("\\" * 1024)


def test_a_prefix_of_what_no_answer_could_repeat() -> None:
    assert encode_prefix("mine\0x") == ("mine", False)


def test_paths_are_encoded_once() -> None:
    assert quote_name("a/b-c_d.e~f") == "a/b-c_d.e~f"
    assert quote_name("a b+%2é") == "a%20b%2B%252%C3%A9"
