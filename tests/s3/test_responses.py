"""What answers tell of objects, buckets, sessions, versions and tags."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType

import pytest

from storage_core.errors import UnavailableError
from storage_core.http.xml import parse_xml
from storage_core.model import EMPTY, BucketInfo, Part, UploadInfo, VersionSummary
from storage_s3.responses import (
    Deleted,
    content_range,
    digest_of,
    object_info,
    parse_buckets,
    parse_copied,
    parse_deleted,
    parse_parts,
    parse_tags,
    parse_uploads,
    parse_versions,
    verified,
    without_chunks,
)

MODIFIED = "Sat, 31 Jan 2026 12:00:00 GMT"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LEAST = MappingProxyType({"etag": '"e-1"', "last-modified": MODIFIED})


def test_the_least_an_answer_tells() -> None:
    info = object_info("k", LEAST, 5, versions=False)
    assert (info.key, info.size, info.etag, info.modified) == ("k", 5, "e-1", NOON)
    assert info.attributes().metadata == EMPTY
    assert (info.content_type, info.version, info.write_id) == (None, None, None)
    assert verified(info) is None


def test_all_an_answer_tells() -> None:
    headers = {
        **LEAST,
        "content-type": "text/csv",
        "content-encoding": "aws-chunked,gzip",
        "content-disposition": "inline",
        "content-language": "de",
        "cache-control": "no-store",
        "x-amz-meta-name": "=?UTF-8?B?w5xuw68=?=",
        "x-amz-meta-storage-core-write-id": "0123",
        "x-amz-meta-storage-core-md5": "d41d8cd98f00b204e9800998ecf8427e",
        "x-amz-version-id": "v1",
        "x-amz-checksum-crc32c": "4waSgw==",
        "x-amz-checksum-sha256": "2ApSa4Jh-3",
    }
    info = object_info("k", headers, 5, versions=True)
    assert info.metadata == {"name": "Ünï"}
    assert (info.content_type, info.content_encoding) == ("text/csv", "gzip")
    assert (info.content_disposition, info.content_language) == ("inline", "de")
    assert (info.cache_control, info.version, info.write_id) == ("no-store", "v1", "0123")
    assert info.checksums == {"crc32c": "e3069283", "md5": "d41d8cd98f00b204e9800998ecf8427e"}
    assert verified(info) == ("crc32c", bytes.fromhex("e3069283"))
    assert object_info("k", headers, 5, versions=False).version is None


def test_the_default_type_of_the_service_is_none_of_the_writers() -> None:
    headers = {**LEAST, "content-type": "binary/octet-stream"}
    assert object_info("k", headers, 0, versions=False).content_type is None


@pytest.mark.parametrize("digest", ["", "zz", "00", "0" * 9, "ABCDEF01"])
def test_a_malformed_reserved_digest_is_not_believed(digest: str) -> None:
    headers = {**LEAST, "x-amz-meta-storage-core-crc32c": digest}
    assert object_info("k", headers, 0, versions=False).checksums == {}


def test_digests_of_parts_are_not_those_of_the_object() -> None:
    assert digest_of("4waSgw==") == "e3069283"
    assert digest_of("4waSgw==-2") is None
    assert digest_of("*") is None


def test_encodings() -> None:
    assert without_chunks("gzip, br") == "gzip, br"
    assert without_chunks("aws-chunked") is None
    assert without_chunks("gzip,aws-chunked") == "gzip"


def test_content_ranges() -> None:
    assert content_range("bytes 5-9/10") == (5, 10, 10)
    for text in (None, "", "bytes */10", "bytes 5-9/*", "5-9/10", "bytes 5-x/10"):
        with pytest.raises(UnavailableError):
            content_range(text)


def test_buckets() -> None:
    found, token = parse_buckets(
        b"<ListAllMyBucketsResult><Buckets><Bucket><Name>b</Name>"
        b"<CreationDate>2026-01-31T12:00:00.000Z</CreationDate></Bucket><Bucket><Name>a</Name>"
        b"</Bucket></Buckets><ContinuationToken>t</ContinuationToken></ListAllMyBucketsResult>"
    )
    assert found == [BucketInfo("b", NOON), BucketInfo("a")]
    assert token == "t"
    assert parse_buckets(b"<ListAllMyBucketsResult/>") == ([], None)


def test_copies() -> None:
    root = parse_xml(
        b"<CopyObjectResult><ETag>&quot;e&quot;</ETag>"
        b"<ChecksumCRC32C>4waSgw==</ChecksumCRC32C></CopyObjectResult>"
    )
    assert parse_copied(root) == ("e", {"crc32c": "e3069283"})
    with pytest.raises(UnavailableError):
        parse_copied(parse_xml(b"<CopyObjectResult/>"))


def test_parts() -> None:
    part = b"<Part><PartNumber>3</PartNumber><ETag>&quot;e&quot;</ETag><Size>7</Size></Part>"
    page = parse_parts(b"<R><IsTruncated>false</IsTruncated>%s</R>" % part)
    assert page.items == [Part(3, "e", 7)]
    assert page.next_token is None
    # Some services tell no marker, some a zero beside a page that ends.
    assert parse_parts(b"<R><IsTruncated>true</IsTruncated>%s</R>" % part).next_token == "3"
    marked = b"<R><IsTruncated>true</IsTruncated><NextPartNumberMarker>4</NextPartNumberMarker></R>"
    assert parse_parts(marked).next_token == "4"


def test_uploads() -> None:
    upload = (
        b"<Upload><Key>a+b%2B</Key><UploadId>u</UploadId>"
        b"<Initiated>2026-01-31T12:00:00Z</Initiated></Upload>"
    )
    encoded = b"<EncodingType>url</EncodingType>"
    more = b"<IsTruncated>true</IsTruncated>"
    found, following = parse_uploads(b"<R>%s%s%s</R>" % (encoded, more, upload))
    assert found == [UploadInfo("u", "a b+", NOON)]
    assert following == ("a b+", "u")
    marked = b"<NextKeyMarker>c%2F</NextKeyMarker><NextUploadIdMarker>w</NextUploadIdMarker>"
    assert parse_uploads(b"<R>%s%s%s</R>" % (encoded, more, marked))[1] == ("c/", "w")
    assert parse_uploads(b"<R>%s</R>" % upload) == ([UploadInfo("u", "a+b%2B", NOON)], None)


def _version(key: str, version: str, latest: bool, second: int, marker: bool = False) -> str:
    name = "DeleteMarker" if marker else "Version"
    size = "" if marker else "<ETag>&quot;e&quot;</ETag><Size>1</Size>"
    return (
        f"<{name}><Key>{key}</Key><VersionId>{version}</VersionId>"
        f"<IsLatest>{str(latest).lower()}</IsLatest>"
        f"<LastModified>2026-01-31T12:00:{second:02}Z</LastModified>{size}</{name}>"
    )


def test_versions_and_markers_keep_the_services_order() -> None:
    text = "".join(
        (
            _version("a", "2", True, 2, marker=True),
            _version("a", "1", False, 1),
            _version("b", "3", True, 0),
        )
    )
    found, following = parse_versions(f"<R>{text}</R>".encode())
    assert following is None
    assert [(item.key, item.version, item.is_delete_marker) for item in found] == [
        ("a", "2", True),
        ("a", "1", False),
        ("b", "3", False),
    ]
    second = datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC)
    assert found[1] == VersionSummary("a", "1", False, False, second, 1, "e")


def test_a_marker_behind_the_versions_of_its_key_comes_first() -> None:
    text = _version("a", "1", False, 1) + _version("a", "2", True, 1, marker=True)
    found, _ = parse_versions(f"<R>{text}</R>".encode())
    assert [(item.version, item.is_latest) for item in found] == [("2", True), ("1", False)]


def test_markers_behind_all_versions_are_put_in_their_places() -> None:
    text = "".join(
        (
            _version("a", "1", False, 1),
            _version("b", "3", True, 0),
            _version("a", "2", True, 2, marker=True),
        )
    )
    found, _ = parse_versions(f"<R>{text}</R>".encode())
    assert [(item.key, item.version) for item in found] == [("a", "2"), ("a", "1"), ("b", "3")]


def test_tags() -> None:
    tags = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    assert parse_tags(tags) == {"a": "b"}
    assert parse_tags(b"<Tagging/>") == {}


def test_bulk_deletes() -> None:
    found = parse_deleted(
        b"<DeleteResult><Deleted><Key>a</Key><DeleteMarker>true</DeleteMarker>"
        b"<DeleteMarkerVersionId>m</DeleteMarkerVersionId></Deleted><Deleted><Key>b</Key>"
        b"<VersionId>v</VersionId></Deleted><Error><Key>c</Key><Code>AccessDenied</Code>"
        b"<Message>no</Message></Error></DeleteResult>"
    )
    assert found == [
        Deleted("a", None, marker="m"),
        Deleted("b", "v"),
        Deleted("c", None, "AccessDenied", "no"),
    ]
