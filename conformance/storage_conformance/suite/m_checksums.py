"""Category M: digests that are declared, computed, kept and verified."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator

import pytest

from storage_conformance.cases import case, unsupported
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, part_bytes, read
from storage_conformance.needs import MULTIPART, kept
from storage_conformance.watch import no_requests
from storage_core import Bucket, IntegrityError, InvalidRequestError, UnsupportedError
from storage_core.model import Capabilities

BODY = b"123456789"

# Digests of "123456789" and of nothing. CRC-32C: the check value of RFC 3720's polynomial.
KNOWN = {
    "crc32c": ("e3069283", "00000000"),
    "md5": ("25f9e794323b453885f5181f1b624d0b", "d41d8cd98f00b204e9800998ecf8427e"),
    "sha1": (
        "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ),
    "sha256": (
        "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
}
WRONG = {name: digests[0][:-1] + "f" for name, digests in KNOWN.items()}


def sources() -> tuple[Callable[[], object], ...]:
    """The same bytes as bytes, view, file and iterator."""

    def pieces() -> Iterator[bytes]:
        yield from (BODY[:1], b"", BODY[1:4], BODY[4:])

    return (
        lambda: BODY,
        lambda: memoryview(bytearray(BODY)),
        lambda: io.BytesIO(BODY),
        pieces,
    )


class Checksums(Suite):
    """Cases M. Those of each algorithm are added below."""

    @case("M01", "several digests are declared and computed in one write", clause="Objects")
    def test_m01_several(self, bucket: Bucket) -> None:
        for source in sources():
            result = bucket.put(
                "a",
                source(),  # type: ignore[arg-type]
                checksums={"sha256": KNOWN["sha256"][0]},
                compute=("md5", "crc32c"),
            )
            for name in ("sha256", "md5", "crc32c"):
                assert result.checksums[name] == KNOWN[name][0], name
            assert read(bucket, "a") == BODY

    @case("M02", "one wrong digest among right ones refuses the write", clause="Objects")
    def test_m02_one_wrong(self, bucket: Bucket) -> None:
        for source in sources():
            with pytest.raises(IntegrityError):
                bucket.put(
                    "a",
                    source(),  # type: ignore[arg-type]
                    checksums={"sha256": KNOWN["sha256"][0], "md5": WRONG["md5"]},
                )
        assert keys_of(bucket.list()) == []

    @case("M03", "a refused digest leaves the object that was there", clause="Objects")
    def test_m03_old_stays(self, bucket: Bucket) -> None:
        bucket.put("a", b"old", metadata={"k": "old"})
        before = bucket.head("a")
        with pytest.raises(IntegrityError):
            bucket.put("a", iter([BODY]), checksums={"sha256": WRONG["sha256"]})
        assert bucket.head("a") == before
        assert read(bucket, "a") == b"old"

    @case("M04", "digests are compared as numbers: upper case is as good", clause="Objects")
    def test_m04_upper_case(self, bucket: Bucket) -> None:
        result = bucket.put("a", BODY, checksums={"sha256": KNOWN["sha256"][0].upper()})
        assert result.checksums["sha256"] == KNOWN["sha256"][0]

    @case("M05", "a malformed digest is refused before I/O", clause="Objects")
    def test_m05_malformed(self, bucket: Bucket) -> None:
        good = KNOWN["sha256"][0]
        for digest in ("", "00", good[:-1], good + "0", "z" * 64, "sha256:" + good):
            with no_requests(bucket.storage), pytest.raises(InvalidRequestError):
                bucket.put("a", BODY, checksums={"sha256": digest})
        assert not bucket.exists("a")

    @case("M06", "an unknown algorithm is refused, declared or asked for", clause="Objects")
    def test_m06_unknown(self, bucket: Bucket) -> None:
        for name in ("sha-256", "SHA256", "adler32", ""):
            with no_requests(bucket.storage), pytest.raises(UnsupportedError):
                bucket.put("a", BODY, checksums={name: KNOWN["sha256"][0]})
            with no_requests(bucket.storage), pytest.raises(UnsupportedError):
                bucket.put("a", BODY, compute=(name,))
        assert not bucket.exists("a")

    @case(
        "M07",
        "the profile's own checksum is kept with every object, whatever wrote it",
        clause="Objects",
    )
    def test_m07_default(self, bucket: Bucket, capabilities: Capabilities) -> None:
        name = capabilities.default_checksum
        if name is None:
            unsupported("the profile keeps no checksum by default")
        want = KNOWN[name][0]
        assert bucket.put("put", BODY).checksums[name] == want
        bucket.put("stream", iter([BODY[:4], BODY[4:]]))
        bucket.copy("put", "copy")
        with bucket.writer("writer") as writer:
            writer.write(BODY)
        for key in ("put", "stream", "copy", "writer"):
            assert bucket.head(key).checksums[name] == want, key

    @case("M08", "a listing's checksums are those of head", clause="Listing")
    def test_m08_listed(self, bucket: Bucket) -> None:
        for key, body in (("a", BODY), ("b", b"")):
            bucket.put(key, body)
        for item in bucket.list():
            assert not item.is_prefix
            head = bucket.head(item.key).checksums
            assert dict(item.checksums) == {n: head[n] for n in item.checksums}

    @case("M09", "a writer's declared digest is judged at commit", clause="Objects")
    def test_m09_writer(self, bucket: Bucket) -> None:
        writer = bucket.writer("a", checksums={"sha256": WRONG["sha256"]})
        writer.write(BODY[:5])
        writer.write(BODY[5:])
        with pytest.raises(IntegrityError):
            writer.commit()
        assert not bucket.exists("a")
        with bucket.writer(
            "a", checksums={"sha256": KNOWN["sha256"][0]}, compute=("md5",)
        ) as writer:
            writer.write(BODY)
        assert writer.result is not None
        assert writer.result.checksums["md5"] == KNOWN["md5"][0]

    @case(
        "M10",
        "a part's digest is told, and one that is declared is held",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_m10_parts(self, bucket: Bucket, capabilities: Capabilities) -> None:
        upload = bucket.create_upload("a")
        part = upload.put_part(1, BODY, checksums={"sha256": KNOWN["sha256"][0]})
        name = capabilities.default_checksum
        if name is not None:
            assert part.checksums[name] == KNOWN[name][0]
        with pytest.raises(IntegrityError):
            upload.put_part(1, BODY, checksums={"md5": WRONG["md5"]})
        upload.complete([part])
        assert read(bucket, "a") == BODY

    @case(
        "M11",
        "an object made of parts has the checksum of its bytes",
        clause="Multipart",
        needs=MULTIPART,
    )
    def test_m11_multipart(self, bucket: Bucket, capabilities: Capabilities) -> None:
        name = capabilities.default_checksum
        if name != "crc32c":
            unsupported(f"the profile keeps {name or 'no checksum'} by default, not crc32c")
        bodies = [part_bytes(capabilities, "abc"), part_bytes(capabilities, "z"), BODY]
        upload = bucket.create_upload("a")
        parts = [upload.put_part(number, body) for number, body in enumerate(bodies, 1)]
        result = upload.complete(parts)
        want = bucket.put("whole", b"".join(bodies)).checksums[name]
        assert bucket.head("a").checksums[name] == want
        assert result.checksums.get(name, want) == want
        assert (
            hashlib.sha256(read(bucket, "a")).digest() == hashlib.sha256(b"".join(bodies)).digest()
        )

    @case(
        "M12", "a read of a range is not held against the whole object's checksum", clause="Objects"
    )
    def test_m12_ranges(self, bucket: Bucket) -> None:
        body = bytes(range(256)) * 3000
        bucket.put("a", body, compute=("sha256",))
        for wanted in ((0, 1), (5, 70_000), (700_000, None), (-100, None), (0, len(body) - 1)):
            with bucket.get("a", range=wanted) as reader:
                found = reader.read()
            start, stop = wanted
            assert found == body[start:stop]

    @case("M13", "reading without verification gives the same bytes", clause="Objects")
    def test_m13_unverified(self, bucket: Bucket) -> None:
        body = bytes(range(256)) * 3000
        bucket.put("a", body)
        with bucket.get("a", verify=False) as reader:
            assert b"".join(reader) == body


def _algorithm(case_id: str, name: str) -> Callable[..., None]:
    right, empty = KNOWN[name]

    def check(self: Checksums, bucket: Bucket) -> None:  # noqa: ARG001
        for source in sources():
            data = source()
            assert bucket.put("a", data, compute=(name,)).checksums[name] == right  # type: ignore[arg-type]
            assert read(bucket, "a") == BODY
            bucket.delete("a")
            assert bucket.put("a", source(), checksums={name: right}).checksums[name] == right  # type: ignore[arg-type]
            bucket.delete("a")
            with pytest.raises(IntegrityError) as caught:
                bucket.put("a", source(), checksums={name: WRONG[name]})  # type: ignore[arg-type]
            assert name in str(caught.value)
            assert not bucket.exists("a"), "a body with a wrong digest was stored"
        assert bucket.put("e", b"", checksums={name: empty}).checksums[name] == empty

    check.__name__ = f"test_{case_id.lower()}_{name}"
    check.__qualname__ = f"Checksums.{check.__name__}"
    rule = f"{name} is computed when asked for, and held when declared"
    return case(case_id, rule, clause="Objects")(check)


def _kept(case_id: str, name: str) -> Callable[..., None]:
    def check(self: Checksums, bucket: Bucket) -> None:  # noqa: ARG001
        bucket.put("asked", BODY, compute=(name,))
        bucket.put("declared", BODY, checksums={name: KNOWN[name][0]})
        bucket.copy("asked", "copied")
        for key in ("asked", "declared", "copied"):
            assert bucket.head(key).checksums.get(name) == KNOWN[name][0], key
            with bucket.get(key) as reader:
                assert reader.info.checksums.get(name) == KNOWN[name][0]
        bucket.put("asked", b"other")
        assert bucket.head("asked").checksums.get(name) != KNOWN[name][0], "an old digest shows"

    check.__name__ = f"test_{case_id.lower()}_{name}_kept"
    check.__qualname__ = f"Checksums.{check.__name__}"
    rule = f"a {name} digest asked for or declared is kept with the object and its copies"
    return case(case_id, rule, clause="Objects", needs=kept(name))(check)


for _number, _name in enumerate(sorted(KNOWN)):
    for _check in (_algorithm(f"M{20 + _number}", _name), _kept(f"M{30 + _number}", _name)):
        setattr(Checksums, _check.__name__, _check)
