"""The rules for names: a table, and Hypothesis against a plain restatement of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core import keys
from storage_core.errors import (
    InvalidBucketNameError,
    InvalidKeyError,
    InvalidMetadataError,
    KeyTooLongError,
    StorageError,
)

GOOD = [
    "a", "a/b", "a//b", "/a", "a/", "//", " ", "a b", "what?", "#", "%2F", "a+b", "a&b", "a\\b",
    "a:b", 'a"b', "a*b", "dots...", "...", "a/...", "..a", "a..", ".a", "a/.b", "a.", "CON", "~",
    "é", "e\u0301", "🍏", "\u2028", "\u00a0", "\uffff", "\U0010ffff", "x" * 1024, "é" * 512,
]  # fmt: skip
BAD = [
    "", ".", "..", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b", "/.", "/..", "\0", "a\0b",
    "a\nb", "a\tb", "\x1b[2J", "\x7f", "\x80", "\x9f", "\ud800", "a\udfff",
]  # fmt: skip
EXISTING = [".", "..", "a/../b", "a\nb", "\x1b", "\x7f", "\x85"]


@pytest.mark.parametrize("key", GOOD)
def test_a_good_key_passes(key: str):
    keys.check_key(key)
    keys.check_existing_key(key)


@pytest.mark.parametrize("key", BAD)
def test_a_bad_key_is_refused(key: str):
    with pytest.raises(InvalidKeyError):
        keys.check_key(key)


@pytest.mark.parametrize("key", EXISTING)
def test_an_existing_key_may_be_what_none_can_be_created_as(key: str):
    keys.check_existing_key(key)
    with pytest.raises(InvalidKeyError):
        keys.check_key(key)


@pytest.mark.parametrize("check", [keys.check_key, keys.check_existing_key])
@pytest.mark.parametrize("key", [None, b"a", 1, ["a"]])
def test_a_key_is_text(check, key):
    with pytest.raises(InvalidKeyError, match=f"not {type(key).__name__}"):
        check(key)


@pytest.mark.parametrize("check", [keys.check_key, keys.check_existing_key])
@pytest.mark.parametrize("key", ["x" * 1025, "é" * 513, "🍏" * 257])
def test_the_limit_counts_bytes(check, key: str):
    with pytest.raises(
        KeyTooLongError, match=rf"{len(key.encode())} bytes; the limit here is 1024"
    ):
        check(key)


def test_a_profile_can_lower_the_limit():
    keys.check_key("x" * 10, 10)
    keys.check_key("é" * 5, 10)
    for key in ("x" * 11, "é" * 6):
        with pytest.raises(KeyTooLongError):
            keys.check_key(key, 10)


def test_a_subclass_of_str_is_text_too():
    class Key(str):
        __slots__ = ()

    keys.check_key(Key("a/b"))
    with pytest.raises(InvalidKeyError):
        keys.check_key(Key("a/../b"))


def creatable(key: str) -> bool:
    """The contract's words, written down plainly."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return False
    if not 1 <= size <= 1024 or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in key):
        return False
    return not any(segment in {".", ".."} for segment in key.split("/"))


@given(
    st.one_of(
        st.text(max_size=30),
        st.text(st.sampled_from("./a\\é\0\x7f"), max_size=12),
        st.text(st.characters(exclude_categories=()), max_size=6),
        st.text(st.sampled_from("aé🍏"), min_size=250, max_size=1100),
    )
)
def test_check_key_says_what_the_contract_says(key: str):
    if creatable(key):
        keys.check_key(key)
        keys.check_existing_key(key)
        return
    with pytest.raises(InvalidKeyError) as caught:
        keys.check_key(key)
    assert str(caught.value).isprintable()


def test_prefixes_may_be_empty_and_are_text():
    for prefix in ("", "/", "\n", "é"):
        keys.check_prefix(prefix)
    with pytest.raises(InvalidKeyError, match="delimiter is a str, not bytes"):
        keys.check_prefix(b"/", "delimiter")  # type: ignore[arg-type]
    with pytest.raises(InvalidKeyError, match=r"start_after .* lone surrogate"):
        keys.check_prefix("\ud800", "start_after")


@pytest.mark.parametrize("name", ["abc", "a-b", "0a9", "a" * 63, "1-2-3"])
def test_a_portable_bucket_name(name: str):
    keys.check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "ab", "a" * 64, "a--b", "-ab", "ab-", "a.b", "a_b", "Abc", "äbc", "abc\n", "a/b", "../a",
     "a b", "xn٣", None, 3, b"abc"],
)  # fmt: skip
def test_any_other_bucket_name_can_not_be_created(name):
    with pytest.raises(InvalidBucketNameError, match="not portable"):
        keys.check_bucket_name(name)


def test_a_bucket_prefix_takes_its_part_of_the_name():
    keys.check_bucket_name("a" * 58, 58)
    with pytest.raises(InvalidBucketNameError, match="3 to 58"):
        keys.check_bucket_name("a" * 59, 58)


@given(st.text(st.sampled_from("ab09-.A"), max_size=8))
def test_bucket_names_follow_the_rule(name: str):
    good = bool(re.fullmatch(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name))
    try:
        keys.check_bucket_name(name)
    except InvalidBucketNameError:
        assert not good
    else:
        assert good


def test_existing_buckets_may_have_other_names():
    for name in ("my.company.data", "$web", "A_B", "x" * 255, "a"):
        keys.check_existing_bucket_name(name)
    for bad in ("", ".", "..", "a/b", "a\\b", "a\0", "a\n", "ä", "x" * 256, None, b"abc"):
        with pytest.raises(InvalidBucketNameError):
            keys.check_existing_bucket_name(bad)  # type: ignore[arg-type]


def test_metadata_keys_are_lowered_and_values_kept():
    given_ = {"Year": "2012", "a_b-C": " é\n🍏 "}
    assert keys.normalize_metadata(given_) == {"year": "2012", "a_b-c": " é\n🍏 "}
    assert given_["Year"] == "2012"


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"": "x"}, "metadata key ''"),
        ({"-a": "x"}, "metadata key '-a'"),
        ({"a b": "x"}, "metadata key 'a b'"),
        ({"é": "x"}, "metadata key 'é'"),
        ({"a\n": "x"}, "metadata key"),
        ({1: "x"}, "metadata key 1"),
        ({"a": 1}, "not plain text"),
        ({"a": b"x"}, "not plain text"),
        ({"a": "\0"}, "not plain text"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"a": "1", "A": "2"}, "given twice"),
        ({"a": "x" * 2048}, "takes 2049 bytes"),
        ({"a": "é" * 1024}, "takes 2049 bytes"),
        ([("a", "b")], "a mapping, not list"),
        ("ab", "a mapping, not str"),
    ],
)
def test_bad_metadata_is_refused_by_name(metadata, says: str):
    with pytest.raises(InvalidMetadataError, match=re.escape(says)):
        keys.normalize_metadata(metadata)


def test_metadata_up_to_the_limit_passes():
    assert len(keys.normalize_metadata({"a": "x" * 2047})["a"]) == 2047
    with pytest.raises(InvalidMetadataError, match="the limit is 10"):
        keys.normalize_metadata({"a": "x" * 10}, 10)


@pytest.mark.parametrize("value", ["text/csv", 'attachment; filename="a b"', "x" * 1024])
def test_header_values(value: str):
    keys.check_header("content_type", value)


@pytest.mark.parametrize(
    "value", ["", " x", "x ", "é", "a\r\nSet-Cookie: b", "a\n", "\0", "x" * 1025, None, b"x", 1]
)
def test_header_values_that_could_break_a_message(value):
    with pytest.raises(InvalidMetadataError, match="content_type"):
        keys.check_header("content_type", value)


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({str(n): "" for n in range(11)}, "11 tags; the limit is 10"),
        ({"": "x"}, "tag key ''"),
        ({"x" * 129: ""}, "1 to 128"),
        ({"a": "x" * 257}, "over 256"),
        ({"a": "é"}, "portable"),
        ({"ä": "x"}, "portable"),
        ({"a?": "x"}, "portable"),
        ({"a": 1}, "tag 'a'"),
        ([], "a mapping, not list"),
    ],
)
def test_bad_tags_are_refused_by_name(tags, says: str):
    with pytest.raises(InvalidMetadataError, match=re.escape(says)):
        keys.check_tags(tags)


def test_good_tags_pass():
    keys.check_tags({"a +-=._:/Z9": "b +-=._:/"})
    keys.check_tags({"x" * 128: "y" * 256})
    keys.check_tags({})


@given(st.text(max_size=10), st.text(max_size=10))
def test_nothing_but_documented_errors(name: str, value: str):
    for check in (
        lambda: keys.normalize_metadata({name: value}),
        lambda: keys.check_tags({name: value}),
        lambda: keys.check_header(name, value),
        lambda: keys.check_prefix(name),
        lambda: keys.check_existing_bucket_name(name),
    ):
        try:
            check()
        except StorageError:
            continue


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (["a", "b/c"], True),
        (["a" * 1024], True),
        ([], False),
        (["a", ""], False),
        (["a", "a" * 1025], False),
        (["a", "\u00e9"], False),
        (["a", "b\0"], False),
        (["a", ("b", None)], False),
    ],
)
def test_many_keys_are_plain_together_if_each_is(given, plain):
    assert keys.all_plain(given) is plain
