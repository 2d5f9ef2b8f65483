"""From answers to the contract's values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_azure.responses import (
    _parsed,
    _scanned,
    object_info,
    parse_blocks,
    parse_buckets,
    parse_delegation_key,
    parse_listing,
    parse_sessions,
    parse_tags,
    parse_versions,
    whole_checksum,
)
from storage_core.errors import UnavailableError
from storage_core.http.xml import escape

MODIFIED = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
HEADERS = {
    "content-length": "9",
    "content-type": "text/csv",
    "content-md5": "JfnnlDI7RTiF9RgfG2JNCw==",
    "etag": '"0x8D1"',
    "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT",
    "x-ms-meta-My_Key": "=?UTF-8?B?w7w=?=",
    "x-ms-meta-storage_core_crc32c": "e3069283",
    "x-ms-meta-storage_core_write_id": "id",
    "x-ms-version-id": "2024",
}


def blob(name: str, md5: str = "", more: str = "", attribute: str = "") -> str:
    """A blob of a listing as the service writes it."""
    return (
        f"<Blob><Name{attribute}>{name}</Name>{more}<Properties>"
        "<Creation-Time>Sun, 06 Nov 1994 08:49:37 GMT</Creation-Time>"
        "<Last-Modified>Sun, 06 Nov 1994 08:49:37 GMT</Last-Modified><Etag>0x8D1</Etag>"
        "<Content-Length>9</Content-Length><Content-Type>text/plain</Content-Type>"
        f"<Content-Encoding /><Content-MD5>{md5}</Content-MD5><BlobType>BlockBlob</BlobType>"
        "</Properties><OrMetadata /></Blob>"
    )


def listing(*items: str, marker: str = "") -> bytes:
    """A page as the service writes it."""
    end = f"<NextMarker>{marker}</NextMarker>" if marker else "<NextMarker />"
    return (
        '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults'
        ' ServiceEndpoint="https://x/" ContainerName="c"><MaxResults>5</MaxResults>'
        f"<Blobs>{''.join(items)}</Blobs>{end}</EnumerationResults>"
    ).encode()


def test_an_object() -> None:
    info = object_info("k", HEADERS)
    assert (info.key, info.size, info.etag, info.modified) == ("k", 9, "0x8D1", MODIFIED)
    assert (info.content_type, info.metadata, info.write_id) == ("text/csv", {"my_key": "ü"}, "id")
    md5 = "25f9e794323b453885f5181f1b624d0b"
    assert info.checksums == {"crc32c": "e3069283", "md5": md5}
    assert info.version is None
    assert object_info("k", HEADERS, versions=True).version == "2024"
    assert whole_checksum(info) == ("crc32c", bytes.fromhex("e3069283"))


def test_a_range_tells_of_the_whole_object() -> None:
    ranged = HEADERS | {
        "content-length": "2",
        "content-range": "bytes 3-4/9",
        "content-md5": "AAAAAAAAAAAAAAAAAAAAAA==",
        "x-ms-blob-content-md5": "JfnnlDI7RTiF9RgfG2JNCw==",
    }
    assert object_info("k", ranged) == object_info("k", HEADERS)


def test_the_type_nobody_gave_is_none() -> None:
    given = HEADERS | {"content-type": "application/octet-stream"}
    assert object_info("k", given).content_type is None
    marked = given | {"x-ms-meta-storage_core_type": "1"}
    assert object_info("k", marked).content_type == "application/octet-stream"
    assert object_info("k", marked).metadata == {"my_key": "ü"}


@pytest.mark.parametrize("name", ["content-length", "etag", "last-modified"])
def test_an_answer_that_lacks_something_is_no_object(name: str) -> None:
    with pytest.raises(UnavailableError):
        object_info("k", {n: v for n, v in HEADERS.items() if n != name})
    with pytest.raises(UnavailableError):
        object_info("k", HEADERS | {"content-length": "x", "last-modified": "x"})


def test_a_listing() -> None:
    md5 = "JfnnlDI7RTiF9RgfG2JNCw=="
    page = parse_listing(listing(blob("a &amp; b", md5), blob("c"), marker="m&amp;1"))
    assert [(b.name, b.size, b.etag, b.md5) for b in page.blobs] == [
        ("a & b", 9, "0x8D1", md5),
        ("c", 9, "0x8D1", ""),
    ]
    assert (page.blobs[0].modified, page.prefixes, page.marker) == (MODIFIED, [], "m&1")
    assert parse_listing(listing()).blobs == []


def test_prefixes_and_encoded_names() -> None:
    group = "<BlobPrefix><Name>d/</Name></BlobPrefix>"
    odd = blob("a%EF%BF%BF%25", attribute=' Encoded="true"')
    page = parse_listing(listing(blob("a%25"), odd, group))
    assert [b.name for b in page.blobs] == ["a%25", "a\uffff%"]
    assert page.prefixes == ["d/"]


@given(
    st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")),
                     min_size=1)),
    st.sampled_from(("", "marker", "a &amp; b")),
)  # fmt: skip
def test_the_quick_way_reads_what_the_parser_reads(names: list[str], marker: str) -> None:
    data = listing(*(blob(escape(name)) for name in names), marker=marker)
    assert _scanned(data) == _parsed(data)


def test_what_the_quick_way_does_not_know_goes_to_the_parser() -> None:
    odd = blob("a").replace("<Content-MD5></Content-MD5>", "")
    assert _scanned(listing(blob("b"), odd)) is None
    assert [b.name for b in parse_listing(listing(blob("b"), odd)).blobs] == ["b", "a"]


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"{}", b"<!DOCTYPE x><EnumerationResults/>", b"\xff"]
)
def test_what_is_no_listing_is_refused(data: bytes) -> None:
    with pytest.raises(UnavailableError):
        parse_listing(data)


def test_versions() -> None:
    new = "<VersionId>2</VersionId><IsCurrentVersion>true</IsCurrentVersion>"
    found, marker = parse_versions(
        listing(blob("a", more="<VersionId>1</VersionId>"), blob("a", more=new))
    )
    assert [(v.blob.name, v.version, v.current) for v in found] == [
        ("a", "1", False),
        ("a", "2", True),
    ]
    assert marker == ""


def test_sessions_have_our_fields() -> None:
    metadata = "<Metadata><storage_core_time>5</storage_core_time><k>v</k></Metadata>"
    text = blob("s").replace("<OrMetadata />", metadata)
    ((session,), _) = parse_sessions(listing(text))
    assert session.fields == {"time": "5"}


def test_buckets_blocks_tags_and_keys() -> None:
    containers = b"<E><Containers><Container><Name>a</Name></Container></Containers></E>"
    assert [b.name for b in parse_buckets(containers)[0]] == ["a"]
    blocks = (
        b"<BlockList><CommittedBlocks><Block><Name>a</Name><Size>1</Size></Block>"
        b"</CommittedBlocks><UncommittedBlocks><Block><Name>b</Name><Size>2</Size></Block>"
        b"</UncommittedBlocks></BlockList>"
    )
    assert parse_blocks(blocks) == {"a": 1, "b": 2}
    tags = b"<Tags><TagSet><Tag><Key>k</Key><Value /></Tag></TagSet></Tags>"
    assert parse_tags(tags) == {"k": ""}
    names = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService",
             "SignedVersion", "Value")  # fmt: skip
    fields = "".join(f"<{name}>{number}</{name}>" for number, name in enumerate(names))
    key = parse_delegation_key(f"<UserDelegationKey>{fields}</UserDelegationKey>".encode())
    assert (key.object_id, key.value) == ("0", "6")
    assert "6" not in repr(key)
