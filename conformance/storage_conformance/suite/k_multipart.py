"""Category K: the parts of a multipart session and what they become."""

from __future__ import annotations

import hashlib
import io

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import in_order, keys_of, part_bytes, read, together
from storage_conformance.needs import COPY_PARTS, MULTIPART, TAGS
from storage_conformance.watch import no_requests
from storage_core import (
    Attributes,
    Bucket,
    IntegrityError,
    InvalidPartError,
    InvalidRangeError,
    ObjectNotFoundError,
    Part,
    PartTooSmallError,
    StorageError,
)
from storage_core.model import Capabilities


class Multipart(Suite):
    """Cases K01 to K29."""

    @case(
        "K01",
        "parts become one object, in the order of their numbers",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k01_two_parts(self, bucket: Bucket, capabilities: Capabilities) -> None:
        first, last = part_bytes(capabilities, "1"), b"the end"
        upload = bucket.create_upload("a/b")
        parts = [upload.put_part(1, first), upload.put_part(2, last)]
        assert [(part.number, part.size) for part in parts] == [(1, len(first)), (2, 7)]
        result = upload.complete(parts)
        info = bucket.head("a/b")
        assert (result.key, result.size, result.etag) == ("a/b", len(first) + 7, info.etag)
        assert read(bucket, "a/b") == first + last

    @case("K02", "parts come in any order", clause="Multipart", needs=MULTIPART)
    def test_k02_out_of_order(self, bucket: Bucket, capabilities: Capabilities) -> None:
        bodies = {n: part_bytes(capabilities, str(n)) for n in (3, 1, 2)}
        upload = bucket.create_upload("a")
        parts = [upload.put_part(number, body) for number, body in bodies.items()]
        upload.complete(sorted(parts, key=lambda part: part.number))
        assert read(bucket, "a") == bodies[1] + bodies[2] + bodies[3]

    @case(
        "K03", "numbers may have gaps, from 1 to the greatest", clause="Multipart", needs=MULTIPART
    )
    def test_k03_gaps(self, bucket: Bucket, capabilities: Capabilities) -> None:
        first, last = part_bytes(capabilities, "x"), b"last"
        upload = bucket.create_upload("a")
        upload.put_part(capabilities.max_parts, last)
        upload.put_part(7, first)
        upload.complete()
        assert read(bucket, "a") == first + last

    @case("K04", "a part sent again replaces the one before", clause="Multipart", needs=MULTIPART)
    def test_k04_sent_again(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a")
        for body in (b"first try", b"second", b"the third and last"):
            part = upload.put_part(1, body)
        assert [(p.number, p.size, p.etag) for p in upload.list_parts()] == [(1, 18, part.etag)]
        upload.complete([part])
        assert read(bucket, "a") == b"the third and last"

    @case("K05", "parts are sent by several threads at once", clause="Multipart", needs=MULTIPART)
    def test_k05_parallel(self, bucket: Bucket, capabilities: Capabilities) -> None:
        bodies = [part_bytes(capabilities, mark) for mark in "abcd"]
        upload = bucket.create_upload("a")
        outcomes = together(
            *(
                lambda number=number, body=body: upload.put_part(number, body)
                for number, body in enumerate(bodies, 1)
            )
        )
        assert not [outcome for outcome in outcomes if isinstance(outcome, StorageError)]
        upload.complete(outcomes)  # type: ignore[arg-type]
        assert read(bucket, "a") == b"".join(bodies)

    @case("K06", "a single part may be of any size", clause="Multipart", needs=MULTIPART)
    def test_k06_single(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a")
        upload.complete([upload.put_part(1, b"x")])
        assert read(bucket, "a") == b"x"

    @case("K07", "a single empty part makes an empty object", clause="Multipart", needs=MULTIPART)
    def test_k07_empty(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a", content_type="text/plain")
        assert upload.complete([upload.put_part(1, b"")]).size == 0
        assert read(bucket, "a") == b""
        assert bucket.head("a").content_type == "text/plain"

    @case(
        "K08",
        "a session without parts is not completed, and stays",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k08_no_parts(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a")
        nothing: tuple[list[Part] | None, ...] = (None, [])
        for parts in nothing:
            with pytest.raises(InvalidPartError):
                upload.complete(parts)
        assert not bucket.exists("a")
        upload.complete([upload.put_part(1, b"x")])
        assert read(bucket, "a") == b"x"

    @case(
        "K09",
        "a part below the minimum that is not the last is refused; the session stays",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k09_too_small(self, bucket: Bucket, capabilities: Capabilities) -> None:
        body = part_bytes(capabilities, "x")
        upload = bucket.create_upload("a")
        small = upload.put_part(1, body[:-1])
        last = upload.put_part(2, b"last")
        if capabilities.min_part_size > 0:
            with pytest.raises(PartTooSmallError):
                upload.complete([small, last])
            assert not bucket.exists("a")
        upload.complete([upload.put_part(1, body), last])
        assert read(bucket, "a") == body + b"last"

    @case(
        "K10",
        "numbers outside 1 to the greatest are refused before I/O",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k10_numbers(self, bucket: Bucket, capabilities: Capabilities) -> None:
        upload = bucket.create_upload("a")
        for number in (0, -1, capabilities.max_parts + 1, "1", None):
            with no_requests(bucket.storage), pytest.raises(InvalidPartError):
                upload.put_part(number, b"x")  # type: ignore[arg-type]
        assert list(upload.list_parts()) == []

    @case(
        "K11",
        "nothing is visible before complete, and then all at once",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k11_invisible(self, bucket: Bucket) -> None:
        bucket.put("old", b"old")
        for key in ("old", "new"):
            upload = bucket.create_upload(key)
            part = upload.put_part(1, b"from a session")
            assert keys_of(bucket.list()) == in_order({"old", key} - {"new"})
            if key == "new":
                with pytest.raises(ObjectNotFoundError):
                    bucket.head(key)
            else:
                assert read(bucket, key) == b"old"
            upload.complete([part])
            assert read(bucket, key) == b"from a session"
        assert keys_of(bucket.list()) == ["new", "old"]

    @case(
        "K12",
        "parts are listed ascending with size and etag, page by page",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k12_list_parts(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a")
        assert list(upload.list_parts()) == []
        sent = [upload.put_part(number, b"x" * number) for number in (9, 2, 30, 1)]
        listed = list(upload.list_parts())
        wanted = sorted(sent, key=lambda part: part.number)
        assert [(p.number, p.size, p.etag) for p in listed] == [
            (p.number, p.size, p.etag) for p in wanted
        ]
        assert [p.number for page in upload.list_parts().pages() for p in page.items] == [
            p.number for p in wanted
        ]

    @case("K13", "a completion takes just the parts it names", clause="Multipart", needs=MULTIPART)
    def test_k13_subset(self, bucket: Bucket, capabilities: Capabilities) -> None:
        body = part_bytes(capabilities, "k")
        upload = bucket.create_upload("a")
        kept = [upload.put_part(1, body)]
        upload.put_part(2, part_bytes(capabilities, "d"))
        kept.append(upload.put_part(3, b"end"))
        upload.complete(kept)
        assert read(bucket, "a") == body + b"end"

    @case(
        "K14",
        "a part that was sent again since, or never, is refused; the session stays",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k14_wrong_etag(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a")
        stale = upload.put_part(1, b"first")
        fresh = upload.put_part(1, b"second, longer")
        never = Part(2, fresh.etag, 5)
        for parts in ([stale], [fresh, never], [never], [Part(1, "made up", 5)]):
            with pytest.raises(InvalidPartError):
                upload.complete(parts)
        assert not bucket.exists("a")
        upload.complete([fresh])
        assert read(bucket, "a") == b"second, longer"

    @case(
        "K15",
        "parts out of order or named twice are refused; the session stays",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k15_not_ascending(self, bucket: Bucket, capabilities: Capabilities) -> None:
        upload = bucket.create_upload("a")
        one, two = (upload.put_part(n, part_bytes(capabilities, str(n))) for n in (1, 2))
        for parts in ([two, one], [one, one], [one, two, two]):
            with pytest.raises(InvalidPartError):
                upload.complete(parts)
        upload.complete([one, two])
        assert bucket.head("a").size == one.size + two.size

    @case(
        "K16",
        "attributes given at create are those of the object",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k16_attributes(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a", content_type="text/csv", metadata={"Jahr": "ä 2012"})
        upload.complete([upload.put_part(1, b"x")])
        info = bucket.head("a")
        assert (info.content_type, info.metadata) == ("text/csv", {"jahr": "ä 2012"})

    @case(
        "K17",
        "attributes given at complete replace those given at create",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k17_attributes_at_complete(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a", content_type="text/csv", metadata={"old": "1"})
        wanted = Attributes(content_type="text/plain", metadata={"new": "2"})
        upload.complete([upload.put_part(1, b"x")], attributes=wanted)
        assert bucket.head("a").attributes() == wanted

    @case("K18", "a session's object has its tags", clause="Multipart", needs=(MULTIPART, TAGS))
    def test_k18_tags(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a", tags={"team": "fruit"})
        upload.complete([upload.put_part(1, b"x")])
        assert bucket.get_tags("a") == {"team": "fruit"}

    @case(
        "K19",
        "a part may be a file or an iterator, of known or unknown size",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k19_bodies(self, bucket: Bucket, capabilities: Capabilities) -> None:
        body = part_bytes(capabilities, "file")
        pieces = [b"", b"a", b"", b"bc", b""]
        upload = bucket.create_upload("a")
        upload.put_part(1, io.BytesIO(body))
        upload.put_part(2, iter([body[:10], body[10:]]), size=len(body))
        upload.put_part(3, iter(pieces))
        upload.complete()
        assert read(bucket, "a") == body + body + b"abc"

    @case(
        "K20",
        "a part with a wrong checksum is refused and leaves the one before",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k20_wrong_checksum(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("a")
        good = hashlib.sha256(b"good").hexdigest()
        part = upload.put_part(1, b"good", checksums={"sha256": good})
        for data in (b"evil", iter([b"ev", b"il"])):
            with pytest.raises(IntegrityError):
                upload.put_part(1, data, checksums={"sha256": good})
        assert [p.etag for p in upload.list_parts()] == [part.etag]
        upload.complete([part])
        assert read(bucket, "a") == b"good"

    @case(
        "K21",
        "a part that ends short, runs over or raises leaves nothing",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k21_broken_part(self, bucket: Bucket) -> None:
        def breaks() -> object:
            yield b"some"
            raise ZeroDivisionError

        upload = bucket.create_upload("a")
        for data, size in ((iter([b"abc"]), 4), (iter([b"abc", b"de"]), 4)):
            with pytest.raises(IntegrityError):
                upload.put_part(1, data, size=size)
        with pytest.raises(ZeroDivisionError):
            upload.put_part(2, breaks())  # type: ignore[arg-type]
        assert list(upload.list_parts()) == []

    @case(
        "K22",
        "a part is copied from an object, whole or a range of it",
        clause="Multipart",
        needs=(MULTIPART, COPY_PARTS),
    )
    def test_k22_copy_part(self, bucket: Bucket, capabilities: Capabilities) -> None:
        body = part_bytes(capabilities, "0123456789")
        bucket.put("source", body + b"tail of the source")
        upload = bucket.create_upload("a")
        upload.copy_part(1, "source")
        upload.copy_part(2, "source", range=(0, len(body)))
        part = upload.copy_part(3, "source", range=(-6, None))
        assert (part.number, part.size) == (3, 6)
        upload.complete()
        assert read(bucket, "a") == body + b"tail of the source" + body + b"source"

    @case(
        "K23",
        "a part copied from nothing, or past the end, is refused",
        clause="Multipart",
        needs=(MULTIPART, COPY_PARTS),
    )
    def test_k23_copy_part_refused(self, bucket: Bucket) -> None:
        bucket.put("source", b"0123456789")
        upload = bucket.create_upload("a")
        with pytest.raises(ObjectNotFoundError):
            upload.copy_part(1, "missing")
        with pytest.raises(InvalidRangeError):
            upload.copy_part(1, "source", range=(10, 20))
        with pytest.raises(InvalidPartError):
            upload.copy_part(0, "source")
        assert list(upload.list_parts()) == []

    @case(
        "K24",
        "the object read by range crosses the borders of its parts",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_k24_ranges(self, bucket: Bucket, capabilities: Capabilities) -> None:
        bodies = [part_bytes(capabilities, "abcdefg"), part_bytes(capabilities, "123"), b"end"]
        whole = b"".join(bodies)
        upload = bucket.create_upload("a")
        upload.complete([upload.put_part(n, body) for n, body in enumerate(bodies, 1)])
        border = len(bodies[0])
        for start, stop in (
            (border - 3, border + 3),
            (border, border + 1),
            (border - 1, border),
            (2 * border - 5, 2 * border + 3),
            (1, 2 * border + 2),
        ):
            with bucket.get("a", range=(start, stop)) as reader:
                assert reader.read() == whole[start:stop]
