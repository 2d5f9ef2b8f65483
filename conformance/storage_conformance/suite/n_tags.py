"""Category N, continued: tags."""

from __future__ import annotations

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import read
from storage_conformance.needs import TAGS, VERSIONS
from storage_conformance.watch import no_requests
from storage_core import (
    Bucket,
    BucketNotFoundError,
    InvalidMetadataError,
    ObjectNotFoundError,
    Storage,
    VersionNotFoundError,
)
from storage_core.keys import MAX_TAG_KEY_CHARS, MAX_TAG_VALUE_CHARS
from storage_core.model import Capabilities


class Tags(Suite):
    """Cases N30 and on."""

    @case(
        "N30",
        "tags given to put are those of the object",
        clause="Objects",
        needs=TAGS,
        part="tags",
    )
    def test_n30_put(self, bucket: Bucket) -> None:
        bucket.put("a", b"1", tags={"team": "fruit", "Team": "other", "empty": ""})
        assert bucket.get_tags("a") == {"team": "fruit", "Team": "other", "empty": ""}
        bucket.put("b", b"1")
        assert bucket.get_tags("b") == {}

    @case(
        "N31",
        "put_tags replaces all tags; none removes them",
        clause="Objects",
        needs=TAGS,
        part="tags",
    )
    def test_n31_replace(self, bucket: Bucket) -> None:
        bucket.put("a", b"1", tags={"old": "1", "kept": "1"})
        bucket.put_tags("a", {"kept": "2"})
        assert bucket.get_tags("a") == {"kept": "2"}
        bucket.put_tags("a", {})
        assert bucket.get_tags("a") == {}

    @case(
        "N32",
        "tags change without bytes, etag, headers or metadata",
        clause="Objects",
        needs=TAGS,
        part="tags",
    )
    def test_n32_rest_stays(self, bucket: Bucket) -> None:
        bucket.put("a", b"1", content_type="text/plain", metadata={"k": "v"})
        before = bucket.head("a")
        bucket.put_tags("a", {"t": "1"})
        after = bucket.head("a")
        assert (after.etag, after.attributes()) == (before.etag, before.attributes())
        assert read(bucket, "a") == b"1"

    @case(
        "N33",
        "an object that replaces another starts without its tags",
        clause="Objects",
        needs=TAGS,
        part="tags",
    )
    def test_n33_not_inherited(self, bucket: Bucket) -> None:
        bucket.put("a", b"1", tags={"t": "1"})
        bucket.put("a", b"2")
        assert bucket.get_tags("a") == {}
        bucket.put_tags("a", {"t": "2"})
        bucket.delete("a")
        bucket.put("a", b"3")
        assert bucket.get_tags("a") == {}

    @case("N34", "tags of what is missing are not found", clause="Objects", needs=TAGS, part="tags")
    def test_n34_missing(self, storage: Storage, bucket: Bucket) -> None:
        with pytest.raises(ObjectNotFoundError):
            bucket.get_tags("a")
        with pytest.raises(ObjectNotFoundError):
            bucket.put_tags("a", {"t": "1"})
        assert not bucket.exists("a")
        missing = storage.bucket(f"{bucket.name[:50]}-none")
        with pytest.raises(BucketNotFoundError):
            missing.get_tags("a")

    @case(
        "N35",
        "as many tags, and as long, as the profile declares",
        clause="Objects",
        needs=TAGS,
        part="tags",
    )
    def test_n35_limits(self, bucket: Bucket, capabilities: Capabilities) -> None:
        most = capabilities.max_tags
        full = {
            f"{number:04}".ljust(MAX_TAG_KEY_CHARS, "k"): "v" * MAX_TAG_VALUE_CHARS
            for number in range(most)
        }
        bucket.put("a", b"1", tags=full)
        assert bucket.get_tags("a") == full
        bucket.put_tags("a", full)
        assert bucket.get_tags("a") == full

    @case(
        "N36",
        "one tag too many, too long, or of odd characters is refused before I/O",
        clause="Objects",
        needs=TAGS,
        part="tags",
    )
    def test_n36_refused(self, bucket: Bucket, capabilities: Capabilities) -> None:
        bucket.put("a", b"1", tags={"t": "1"})
        for tags in (
            {f"k{number}": "" for number in range(capabilities.max_tags + 1)},
            {"k" * (MAX_TAG_KEY_CHARS + 1): ""},
            {"k": "v" * (MAX_TAG_VALUE_CHARS + 1)},
            {"": "v"},
            {"k": "a\nb"},
            {"a&b": "v"},
            {"k": "ä"},
            {"k": 1},
        ):
            with no_requests(bucket.storage), pytest.raises(InvalidMetadataError):
                bucket.put_tags("a", tags)  # type: ignore[arg-type]
            with no_requests(bucket.storage), pytest.raises(InvalidMetadataError):
                bucket.put("b", b"1", tags=tags)  # type: ignore[arg-type]
        assert bucket.get_tags("a") == {"t": "1"}
        assert not bucket.exists("b")

    @case(
        "N37",
        "all characters that are portable in tags round-trip",
        clause="Objects",
        needs=TAGS,
        part="tags",
    )
    def test_n37_characters(self, bucket: Bucket) -> None:
        odd = {"a b": "c d", "+-=._:/": "/:_.=-+", "x=y": "a=b=c", "01": "+1"}
        bucket.put("a", b"1", tags=odd)
        assert bucket.get_tags("a") == odd

    @case(
        "N38",
        "each version has tags of its own",
        clause="Objects",
        needs=(TAGS, VERSIONS),
        part="tags",
    )
    def test_n38_versions(self, bucket: Bucket) -> None:
        old = bucket.put("a", b"1", tags={"t": "old"}).version
        new = bucket.put("a", b"2", tags={"t": "new"}).version
        assert bucket.get_tags("a", version=old) == {"t": "old"}
        bucket.put_tags("a", {"t": "changed"}, version=old)
        assert bucket.get_tags("a", version=old) == {"t": "changed"}
        assert bucket.get_tags("a") == bucket.get_tags("a", version=new) == {"t": "new"}
        assert len(list(bucket.list_versions("a"))) == 2
        bucket.delete("a", version=old)
        with pytest.raises(VersionNotFoundError):
            bucket.get_tags("a", version=old)
