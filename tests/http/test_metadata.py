"""User metadata survives header fields, which carry printable ASCII alone."""

import base64
import email.header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.errors import InvalidMetadataError
from storage_core.http.metadata import (
    RESERVED,
    WRITE_ID,
    decode_value,
    encode_metadata,
    encode_value,
    split_reserved,
)

values = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
tricky = st.lists(st.sampled_from(["=?", "?=", "?", " ", "UTF-8", "B", "q", "ü", "=20", "\t"]))
names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True).filter(
    lambda name: not name.startswith(RESERVED)
)


@given(st.one_of(values, tricky.map("".join)))
def test_every_value_comes_back(value: str):
    text = encode_value(value)
    assert text.isascii()
    assert text == text.strip()
    assert text.isprintable()
    assert decode_value(text) == value


@pytest.mark.parametrize("value", ["", "plain", "with spaces inside", "a=b?c", "~!#"])
def test_plain_values_stay_as_they_are(value: str):
    assert encode_value(value) == value


@pytest.mark.parametrize("value", ["=?UTF-8?B?eA==?=", " x", "x ", "\t", "ü", "a\nb", "=?"])
def test_what_headers_would_change_is_encoded(value: str):
    assert encode_value(value).startswith("=?UTF-8?B?")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200))
def test_words_of_other_writers(value: str):
    """Python's own writer splits into several words and picks the encoding by the text."""
    text = email.header.Header(value, "utf-8").encode(linesep="").replace("\t", " ")
    assert decode_value(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("=?iso-8859-1?Q?a=FCb_c?=", "aüb c"),
        ("=?utf-8?q?a?= =?utf-8?q?b?= c", "ab c"),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        ("x?= =?y", "x?= =?y"),  # no words: nothing is joined
        ("=?nonsense?B?eA==?=", "=?nonsense?B?eA==?="),
        ("=?hex?B?eA==?=", "=?hex?B?eA==?="),
        ("=?utf-8?B?e?=", "=?utf-8?B?e?="),
        ("=?utf-8?B?/w==?=", "=?utf-8?B?/w==?="),
        ("=?utf-8?X?x?=", "=?utf-8?X?x?="),
        (
            f"=?raw_unicode_escape?B?{base64.b64encode(b'&ud800'.replace(b'&', bytes([92]))).decode()}?=",
            "=?raw_unicode_escape?B?XHVkODAw?=",
        ),
    ],
)
def test_words_that_are_or_are_not(text: str, value: str):
    assert decode_value(text) == value


@given(st.one_of(st.text(), tricky.map("".join), st.from_regex(r"=\?[a-z0-9_-]+\?[bq]\?.*\?=")))
def test_decoding_never_fails(text: str):
    decode_value(text)


@given(st.dictionaries(names, values, max_size=5))
def test_metadata_comes_back_beside_the_librarys_own(metadata: dict[str, str]):
    fields = encode_metadata(metadata, 1 << 20) | {WRITE_ID: "abc", RESERVED + "crc32c": "="}
    assert split_reserved(fields) == (metadata, {"write-id": "abc", "crc32c": "="})


def test_reserved_names_are_refused():
    with pytest.raises(InvalidMetadataError, match=WRITE_ID):
        encode_metadata({WRITE_ID: "x"}, 100)


def test_the_limit_counts_what_is_sent():
    assert encode_metadata({"ab": "cd"}, 4) == {"ab": "cd"}
    with pytest.raises(InvalidMetadataError, match="5 bytes"):
        encode_metadata({"ab": "cde"}, 4)
    with pytest.raises(InvalidMetadataError, match="once encoded"):
        encode_metadata({"ab": "ü"}, 4)
