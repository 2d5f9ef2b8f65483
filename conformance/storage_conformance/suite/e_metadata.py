"""E: user metadata and content headers."""

from __future__ import annotations

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import read
from storage_conformance.needs import MULTIPART, TAGS, UPDATE_METADATA, condition
from storage_conformance.suite.d_head import HEADERS
from storage_conformance.watch import no_requests
from storage_core import (
    Attributes,
    Bucket,
    InvalidMetadataError,
    ObjectNotFoundError,
    PreconditionFailedError,
    Storage,
)
from storage_core.model import Capabilities


def kept(bucket: Bucket, metadata: dict[str, str]) -> dict[str, str]:
    """Metadata as it comes back, the same from head and get."""
    bucket.put("key", b"bytes", metadata=metadata)
    found = dict(bucket.head("key").metadata)
    with bucket.get("key") as reader:
        assert dict(reader.info.metadata) == found, "get and head tell different metadata"
    return found


def refused(storage: Storage, bucket: Bucket, metadata: dict[str, str]) -> None:
    """The metadata is refused, and nothing is sent."""
    with no_requests(storage), pytest.raises(InvalidMetadataError):
        bucket.put("key", b"bytes", metadata=metadata)


class Metadata(Suite):
    """Metadata."""

    @case("E01", "metadata comes back as it was given", clause="Objects")
    def test_e01_round_trip(self, bucket: Bucket) -> None:
        metadata = {"year": "2012", "source": "fruit list", "n": "0"}
        assert kept(bucket, metadata) == metadata

    @case("E02", "metadata keys are stored in lower case", clause="Objects")
    def test_e02_case(self, bucket: Bucket) -> None:
        assert kept(bucket, {"Year": "A", "CAMEL-Case": "b"}) == {"year": "A", "camel-case": "b"}

    @case("E03", "metadata keys that differ only by case are refused", clause="Objects")
    def test_e03_case_twice(self, storage: Storage, bucket: Bucket) -> None:
        refused(storage, bucket, {"year": "1", "Year": "2"})

    @case("E04", "every allowed form of metadata key comes back", clause="Objects")
    def test_e04_keys(self, bucket: Bucket) -> None:
        metadata = {
            "a": "1", "0": "2", "9lives": "3", "a-b": "4", "a_b": "5", "a--b": "6", "a__b": "7",
            "a-": "8", "a_": "9", "a-_-b": "10", "if": "11", "class": "12", "x" * 100: "13",
        }  # fmt: skip
        assert kept(bucket, metadata) == metadata

    @case("E05", "metadata keys that look like headers are only metadata", clause="Objects")
    def test_e05_header_names(self, bucket: Bucket) -> None:
        metadata = {
            "content-type": "not/this", "content-length": "1", "etag": "none", "host": "x",
            "x-amz-meta-a": "1", "x-ms-meta-a": "2", "x-goog-meta-a": "3", "authorization": "no",
            "version": "7", "write-id": "8", "write_id": "9", "expires_at": "never", "key": "k",
        }  # fmt: skip
        assert kept(bucket, metadata) == metadata
        info = bucket.head("key")
        assert info.content_type != "not/this"
        assert (info.size, info.key, info.expires_at) == (5, "key", None)

    @case("E06", "other forms of metadata key are refused before I/O", clause="Objects")
    def test_e06_bad_keys(self, storage: Storage, bucket: Bucket) -> None:
        for key in ("", "-a", "_a", "a b", "a.b", "a:b", "ä", "a/b", "a\n", "a\0", "a=b", "é"):
            refused(storage, bucket, {key: "value"})

    @case("E07", "Unicode values come back", clause="Objects")
    def test_e07_unicode(self, bucket: Bucket) -> None:
        metadata = {
            "latin": "Käse für Überläufer", "greek": "Ελληνικά", "cjk": "漢字かな交じり文",
            "emoji": "🍎🥕👩‍🌾", "rtl": "שלום", "composed": "\u00e9", "decomposed": "e\u0301",
            "latin1": "\u00a0\u00ff", "bmp": "\uffff", "line": "\u2028",
        }  # fmt: skip
        assert kept(bucket, metadata) == metadata

    @case("E08", "white space in values comes back", clause="Objects")
    def test_e08_white_space(self, bucket: Bucket) -> None:
        metadata = {
            "empty": "", "one": " ", "edges": "  a  b  ", "tab": "\ta\t", "newline": "a\nb",
            "return": "a\r\nb", "end": "a\n", "nbsp": "\u00a0a\u00a0",
        }  # fmt: skip
        assert kept(bucket, metadata) == metadata

    @case("E09", "values that look encoded come back unchanged", clause="Objects")
    def test_e09_encoded(self, bucket: Bucket) -> None:
        metadata = {
            "percent": "%20%C3%A4%", "plus": "a+b c", "mime": "=?utf-8?b?w6Q=?=", "equals": "a=b",
            "mime-q": "=?UTF-8?Q?=C3=A4?=", "base64": "w6Q=", "json": '{"a": "\\u00e4"}',
            "quotes": "\"'`", "list": "a, b; c", "escape": "\\n\\x00", "entity": "&amp;<a>",
            "rfc8187": "UTF-8''%c3%a4", "control": "\x01\x7f",
        }  # fmt: skip
        assert kept(bucket, metadata) == metadata

    @case("E10", "values without a UTF-8 form or with NUL are refused before I/O", clause="Objects")
    def test_e10_bad_values(self, storage: Storage, bucket: Bucket) -> None:
        for value in ("\ud800", "a\udfffb", "\0", "a\0b"):
            refused(storage, bucket, {"key": value})

    @case("E11", "values that are not text are refused before I/O", clause="Objects")
    def test_e11_not_text(self, storage: Storage, bucket: Bucket) -> None:
        for value in (1, None, b"bytes", ["a"]):
            refused(storage, bucket, {"key": value})  # type: ignore[dict-item]
        refused(storage, bucket, {1: "value"})  # type: ignore[dict-item]

    @case("E12", "metadata of the greatest size comes back", clause="Objects")
    def test_e12_limit(self, bucket: Bucket, capabilities: Capabilities) -> None:
        limit = capabilities.max_metadata_bytes
        assert limit <= 2048
        assert kept(bucket, {"key": "x" * (limit - 3)}) == {"key": "x" * (limit - 3)}
        many = {f"k{number:02}": "v" * 17 for number in range(limit // 20)}
        assert kept(bucket, many) == many

    @case("E13", "metadata over the limit is refused before I/O", clause="Objects")
    def test_e13_over_limit(
        self, storage: Storage, bucket: Bucket, capabilities: Capabilities
    ) -> None:
        limit = capabilities.max_metadata_bytes
        refused(storage, bucket, {"key": "x" * (limit - 2)})
        refused(storage, bucket, {"key": "ä" * (limit // 2)})
        refused(storage, bucket, {f"k{number:02}": "v" * 17 for number in range(limit // 20 + 1)})

    @case("E14", "metadata of an overwritten object is gone", clause="Objects")
    def test_e14_overwritten(self, bucket: Bucket) -> None:
        bucket.put("key", b"old", metadata={"a": "1"})
        bucket.put("key", b"new")
        assert dict(bucket.head("key").metadata) == {}

    @case("E15", "a copy keeps headers and metadata", clause="Objects")
    def test_e15_copy_keeps(self, bucket: Bucket) -> None:
        metadata = {"a": "1", "unicode": "ä\n"}
        bucket.put("key", b"bytes", content_type="text/csv", metadata=metadata)
        bucket.copy("key", "copy")
        info = bucket.head("copy")
        assert (info.content_type, dict(info.metadata)) == ("text/csv", metadata)

    @case("E16", "a copy replaces headers and metadata if asked", clause="Objects")
    def test_e16_copy_replaces(self, bucket: Bucket) -> None:
        bucket.put("key", b"bytes", content_type="text/csv", metadata={"a": "1"})
        wanted = Attributes(content_type="text/plain", metadata={"B": "2"})
        bucket.copy("key", "copy", attributes=wanted)
        info = bucket.head("copy")
        assert (info.content_type, dict(info.metadata)) == ("text/plain", {"b": "2"})
        assert dict(bucket.head("key").metadata) == {"a": "1"}

    @case("E17", "update_metadata replaces metadata", clause="Objects", needs=UPDATE_METADATA)
    def test_e17_update(self, bucket: Bucket) -> None:
        bucket.put("key", b"bytes", content_type="text/csv", metadata={"a": "1", "b": "2"})
        result = bucket.update_metadata("key", metadata={"B": "3", "c": "ü"})
        info = bucket.head("key")
        assert dict(info.metadata) == {"b": "3", "c": "ü"}
        assert info.content_type == "text/csv"
        assert (result.etag, result.version, result.size) == (info.etag, info.version, 5)
        assert read(bucket, "key") == b"bytes"

    @case("E18", "update_metadata removes metadata", clause="Objects", needs=UPDATE_METADATA)
    def test_e18_update_removes(self, bucket: Bucket) -> None:
        bucket.put("key", b"bytes", content_type="text/csv", metadata={"a": "1"})
        bucket.update_metadata("key", metadata={})
        info = bucket.head("key")
        assert (dict(info.metadata), info.content_type) == ({}, "text/csv")
        bucket.update_metadata("key", content_type=None)
        assert bucket.head("key").content_type != "text/csv"

    @case(
        "E19",
        "update_metadata changes one header and keeps the others",
        clause="Objects",
        needs=(UPDATE_METADATA, HEADERS),
    )
    def test_e19_update_header(self, bucket: Bucket) -> None:
        bucket.put(
            "key", b"bytes", content_type="text/csv", cache_control="no-store",
            content_language="de", content_disposition="inline", metadata={"a": "1"},
        )  # fmt: skip
        bucket.update_metadata("key", cache_control="max-age=60", content_language=None)
        info = bucket.head("key")
        assert info.cache_control == "max-age=60"
        assert not info.content_language
        assert (info.content_type, info.content_disposition) == ("text/csv", "inline")
        assert dict(info.metadata) == {"a": "1"}

    @case("E20", "update_metadata keeps the tags", clause="Objects", needs=(UPDATE_METADATA, TAGS))
    def test_e20_update_tags(self, bucket: Bucket) -> None:
        bucket.put("key", b"bytes", tags={"team": "fruit"})
        bucket.update_metadata("key", metadata={"a": "1"})
        assert bucket.get_tags("key") == {"team": "fruit"}

    @case(
        "E21",
        "update_metadata of a missing object raises ObjectNotFoundError",
        clause="Objects",
        needs=UPDATE_METADATA,
    )
    def test_e21_update_missing(self, bucket: Bucket) -> None:
        with pytest.raises(ObjectNotFoundError):
            bucket.update_metadata("missing", content_type="text/plain")
        assert not bucket.exists("missing")

    @case(
        "E22",
        "update_metadata refuses what put refuses",
        clause="Objects",
        needs=UPDATE_METADATA,
    )
    def test_e22_update_bad(self, bucket: Bucket) -> None:
        bucket.put("key", b"bytes", metadata={"a": "1"})
        with pytest.raises(InvalidMetadataError):
            bucket.update_metadata("key", metadata={"b c": "2"})
        with pytest.raises(InvalidMetadataError):
            bucket.update_metadata("key", content_type="text/plain\r\nx: y")
        assert dict(bucket.head("key").metadata) == {"a": "1"}

    @case(
        "E23",
        "update_metadata with the etag of another object changes nothing",
        clause="Objects",
        needs=(UPDATE_METADATA, condition("copy", "if_match")),
    )
    def test_e23_update_if_match(self, bucket: Bucket) -> None:
        old = bucket.put("key", b"old")
        new = bucket.put("key", b"new")
        with pytest.raises(PreconditionFailedError):
            bucket.update_metadata("key", metadata={"a": "1"}, if_match=old.etag)
        assert dict(bucket.head("key").metadata) == {}
        bucket.update_metadata("key", metadata={"a": "2"}, if_match=new.etag)
        assert dict(bucket.head("key").metadata) == {"a": "2"}

    @case("E24", "metadata given to a session is the object's", clause="Multipart", needs=MULTIPART)
    def test_e24_upload(self, bucket: Bucket) -> None:
        metadata = {"Unicode": "ä\n ", "n": "1"}
        upload = bucket.create_upload("key", content_type="text/csv", metadata=metadata)
        upload.put_part(1, b"bytes")
        upload.complete()
        info = bucket.head("key")
        assert info.content_type == "text/csv"
        assert dict(info.metadata) == {"unicode": "ä\n ", "n": "1"}

    @case("E25", "metadata can change until a session is complete", clause="Objects",
          needs=MULTIPART)  # fmt: skip
    def test_e25_upload_late(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("key", content_type="text/csv", metadata={"a": "1"})
        upload.put_part(1, b"bytes")
        upload.complete(attributes=Attributes(content_type="text/plain", metadata={"B": "2"}))
        info = bucket.head("key")
        assert (info.content_type, dict(info.metadata)) == ("text/plain", {"b": "2"})

    @case("E26", "malformed content headers are refused before I/O", clause="Objects")
    def test_e26_bad_headers(self, storage: Storage, bucket: Bucket) -> None:
        for value in ("", " text/plain", "text/plain\n", "a\r\nb: c", "ä", "\0", "x" * 1025):
            with no_requests(storage), pytest.raises(InvalidMetadataError):
                bucket.put("key", b"bytes", content_type=value)
