"""Metadata: names are identifiers, values ASCII, and all of it comes back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_azure.metadata import (
    META,
    attribute_headers,
    base64_of,
    decode_name,
    encode_name,
    hex_of,
    metadata_headers,
    own_fields,
    read_metadata,
)
from storage_core.errors import InvalidMetadataError
from storage_core.http.metadata import WRITE_ID
from storage_core.model import NO_ATTRIBUTES, Attributes

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True) | st.lists(
    st.sampled_from(
        ("_", "-", "x2d", "x5f", "x3", "x30", "storage", "_core_", "core", "5f_", "a", "9")
    ),
    min_size=1,
    max_size=8,
).map("".join).filter(lambda name: re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) is not None)
USERS = NAMES.filter(lambda name: not name.startswith("storage-core-"))


@given(NAMES)
def test_names_are_identifiers_and_come_back(name: str) -> None:
    identifier = encode_name(name)
    assert re.fullmatch(r"[a-z_][a-z0-9_]*", identifier)
    assert decode_name(identifier) == name
    assert decode_name(identifier.upper()) == name, "header names have no case"


@given(NAMES, NAMES)
def test_no_two_names_share_an_identifier(one: str, other: str) -> None:
    assert (encode_name(one) == encode_name(other)) == (one == other)


@given(st.dictionaries(USERS, st.text(max_size=30), max_size=5))
def test_metadata_comes_back(metadata: dict[str, str]) -> None:
    attributes = Attributes(metadata=metadata)
    headers = metadata_headers(attributes, {WRITE_ID: "id"})
    for text in headers.values():
        assert text == text.strip() != ""
        assert text.isascii()
        assert text.isprintable()
    fields = {name.removeprefix(META): text for name, text in headers.items()}
    assert read_metadata(fields) == (metadata, {"write-id": "id"})


def test_names_that_others_write_are_read_as_they_are() -> None:
    assert read_metadata({"MyKey": "1", "my_key": "2"}) == ({"mykey": "1", "my_key": "2"}, {})


def test_reserved_names_are_refused() -> None:
    with pytest.raises(InvalidMetadataError, match="storage-core-"):
        metadata_headers(Attributes(metadata={"storage-core-crc32c": "x"}), {})


def test_a_name_like_our_own_is_not_our_own() -> None:
    headers = metadata_headers(Attributes(metadata={"storage_core_crc32c": "user's"}), {})
    assert list(headers) == ["x-ms-meta-storage_x5f_core_crc32c"]


def test_headers_of_an_object() -> None:
    attributes = Attributes("text/csv", "gzip", "inline", "de", "no-store", {"a-b": "1"})
    assert attribute_headers(attributes, own_fields({"crc32c": "00", "md5": "11"}, None)) == {
        "x-ms-blob-content-type": "text/csv",
        "x-ms-blob-content-encoding": "gzip",
        "x-ms-blob-content-disposition": "inline",
        "x-ms-blob-content-language": "de",
        "x-ms-blob-cache-control": "no-store",
        "x-ms-meta-a_x2d_b": "1",
        "x-ms-meta-storage_core_crc32c": "00",
    }
    assert attribute_headers(NO_ATTRIBUTES, {}) == {}


def test_the_default_type_is_told_from_none() -> None:
    explicit = attribute_headers(Attributes("application/octet-stream"), {})
    assert explicit["x-ms-meta-storage_core_type"] == "1"


def test_digests() -> None:
    assert hex_of(base64_of("00ff")) == "00ff"
    assert hex_of("not base64") is None
    assert hex_of("") is None
