"""What goes into headers, queries and bodies."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from storage_core.errors import InvalidMetadataError, InvalidRequestError
from storage_core.http.xml import parse_xml
from storage_core.model import EMPTY, NO_ATTRIBUTES, Attributes, ByteRange, Conditions, Part
from storage_s3 import tokens
from storage_s3.requests import (
    MAX_METADATA,
    RESERVED_METADATA,
    attribute_headers,
    checksum_value,
    complete_body,
    condition_headers,
    copy_source,
    delete_body,
    delete_keys_body,
    fits_xml,
    list_query,
    location_body,
    part_query,
    range_header,
    reserved_fields,
    tagging,
    tagging_body,
    version_query,
)

ALGORITHMS = {"crc32c": 8, "md5": 32, "sha1": 40, "sha256": 64}


def test_attributes() -> None:
    attributes = Attributes(
        content_type="text/csv",
        content_encoding="br",
        content_disposition="inline",
        content_language="de",
        cache_control="no-store",
        metadata={"name": "Ünï", "plain": "a b"},
    )
    assert attribute_headers(attributes, EMPTY) == {
        "content-type": "text/csv",
        "content-encoding": "br",
        "content-disposition": "inline",
        "content-language": "de",
        "cache-control": "no-store",
        "x-amz-meta-name": "=?UTF-8?B?w5xuw68=?=",
        "x-amz-meta-plain": "a b",
    }
    assert attribute_headers(NO_ATTRIBUTES, EMPTY) == {}


def test_reserved_fields_fit_beside_the_most_metadata() -> None:
    fields = reserved_fields({name: "f" * size for name, size in ALGORITHMS.items()}, "0" * 16)
    assert sum(len(name) + len(value) for name, value in fields.items()) <= RESERVED_METADATA
    most = MAX_METADATA - RESERVED_METADATA
    attribute_headers(Attributes(metadata={"k": "v" * (most - 1)}), fields)
    with pytest.raises(InvalidMetadataError):
        attribute_headers(Attributes(metadata={"k": "v" * most}), fields)
    with pytest.raises(InvalidMetadataError):
        attribute_headers(Attributes(metadata={"storage-core-crc32c": "1"}), EMPTY)


def test_conditions() -> None:
    moment = datetime(1994, 11, 6, 9, 49, 37, tzinfo=timezone(timedelta(hours=1)))
    conditions = Conditions("a", "b", moment, moment)
    assert condition_headers(conditions, True) == {
        "if-match": '"a"',
        "if-none-match": '"b"',
        "if-modified-since": "Sun, 06 Nov 1994 08:49:37 GMT",
        "if-unmodified-since": "Sun, 06 Nov 1994 08:49:37 GMT",
    }
    assert condition_headers(Conditions(if_none_match="*"), True) == {"if-none-match": "*"}
    source = condition_headers(Conditions(if_match="a"), False, "x-amz-copy-source-")
    assert source == {"x-amz-copy-source-if-match": "a"}


@pytest.mark.parametrize(
    ("wanted", "header"),
    [
        (ByteRange(0, 1), "bytes=0-0"),
        (ByteRange(5, 10), "bytes=5-9"),
        (ByteRange(5), "bytes=5-"),
        (ByteRange(-7), "bytes=-7"),
    ],
)
def test_ranges(wanted: ByteRange, header: str) -> None:
    assert range_header(wanted) == header


def test_queries_are_encoded_and_in_signed_order() -> None:
    assert version_query(None) == ""
    assert version_query("a/b+") == "versionId=a%2Fb%2B"
    assert version_query(None, "tagging") == "tagging="
    assert version_query("v", "tagging") == "tagging=&versionId=v"
    assert part_query("a/b", 7) == "partNumber=7&uploadId=a%2Fb"
    names = (("list-type", "2"), ("start-after", ""), ("delimiter", "/"))
    query = list_query(limit=("max-keys", 10), prefix="ä b", names=names)
    assert query == "delimiter=%2F&encoding-type=url&list-type=2&max-keys=10&prefix=%C3%A4%20b"
    query = list_query(limit=("max-uploads", 1), prefix="", names=(), sub_resource="uploads")
    assert query == "encoding-type=url&max-uploads=1&uploads="


def test_the_source_of_a_copy_is_encoded() -> None:
    assert copy_source("b", "a/ä?versionId=3", None) == "/b/a/%C3%A4%3FversionId%3D3"
    assert copy_source("b", "k", "1+2") == "/b/k?versionId=1%2B2"


def test_tags() -> None:
    tags = {"a b": "c&d", "ü": ""}
    assert tagging(tags) == "a%20b=c%26d&%C3%BC="
    (found,) = parse_xml(tagging_body(tags)).children
    assert {tag.need("Key"): tag.need("Value") for tag in found.children} == tags
    assert list(parse_xml(tagging_body({})).need("TagSet")) == []


def test_bodies_carry_every_key_that_xml_can() -> None:
    keys = ["a", "<&>\"'", "a\r\nb", "\t ", "ä\U0001f9c0", "\ufffd"]
    pairs = [(key, None) for key in keys]
    assert delete_keys_body(keys, quiet=True) == delete_body(pairs, quiet=True)
    root = parse_xml(delete_body(pairs, quiet=True))
    assert root.need("Quiet") == "true"
    assert [found.need("Key") for found in root.all("Object")] == keys
    root = parse_xml(delete_body([("a", "<v>")], quiet=False))
    assert root.find("Quiet") is None
    assert [found.need("VersionId") for found in root.all("Object")] == ["<v>"]
    assert all(map(fits_xml, keys))
    assert not any(map(fits_xml, ("\x01", "a\x1f", "\ufffe", "\uffff", "\x00")))


def test_a_completion_names_parts_in_order() -> None:
    parts = [Part(1, "e1", 5, {"crc32c": "00000000"}), Part(7, "e&7", 1)]
    root = parse_xml(complete_body(parts, told=True))
    assert [
        (part.need("PartNumber"), part.need("ETag"), part.get("ChecksumCRC32C"))
        for part in root.children
    ] == [("1", '"e1"', "AAAAAA=="), ("7", '"e&7"', None)]
    assert b"Checksum" not in complete_body(parts, told=False)
    assert checksum_value("e3069283") == "4waSgw=="


def test_the_region_of_a_new_bucket() -> None:
    assert parse_xml(location_body("eu-central-1")).need("LocationConstraint") == "eu-central-1"


def test_tokens_carry_two_marks() -> None:
    assert tokens.split(None) == ("", "")
    assert tokens.split(tokens.join("kä/", "id")) == ("kä/", "id")
    for bad in ("x", "", tokens.join("one"), "bnVsbA==", "MTI="):
        with pytest.raises(InvalidRequestError):
            tokens.split(bad)
