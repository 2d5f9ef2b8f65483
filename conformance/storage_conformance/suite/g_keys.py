"""Category G: keys are matched byte for byte and round-trip exactly, or are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage_conformance.cases import case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import in_order, keys_of, listed, read
from storage_conformance.odd_keys import (
    CONTROL_KEYS,
    DOT_SEGMENT_KEYS,
    FAMILIES,
    Family,
    longest,
)
from storage_conformance.watch import no_requests
from storage_core import (
    Bucket,
    InvalidKeyError,
    KeyTooLongError,
    ObjectNotFoundError,
    ObjectSummary,
    Prefix,
)
from storage_core.model import Capabilities

LONE_SURROGATES = ("a\ud800", "\udfff", "\udcffa/b")


def round_trip(bucket: Bucket, capabilities: Capabilities, keys: tuple[str, ...]) -> None:
    """Store all keys side by side, find each by every operation, and delete one by one."""
    bodies = {key: b"%d:" % number + key.encode() for number, key in enumerate(keys)}
    for key, body in bodies.items():
        result = bucket.put(key, body, content_type="text/plain", metadata={"size": str(len(body))})
        assert result.key == key
    assert listed(bucket, capabilities) == in_order(keys), "the listing has other keys"
    for key, body in bodies.items():
        assert read(bucket, key) == body, f"{key!r} holds another key's bytes"
        info = bucket.head(key)
        assert (info.key, info.size) == (key, len(body))
        assert info.metadata == {"size": str(len(body))}
        assert bucket.exists(key)
        below = listed(bucket, capabilities, key)
        assert below == in_order(k for k in keys if k.startswith(key)), f"prefix {key!r}"
    for key, body in bodies.items():
        _as_source_and_target(bucket, key, body)
    _delete_one_by_one(bucket, capabilities, bodies)


def _as_source_and_target(bucket: Bucket, key: str, body: bytes) -> None:
    """The key as a copy's source, then, itself gone, as its target."""
    assert bucket.copy(key, "plain-copy").key == "plain-copy"
    assert read(bucket, "plain-copy") == body
    bucket.delete(key)
    assert not bucket.exists(key), f"{key!r} is still there after its delete"
    assert bucket.copy("plain-copy", key).key == key
    assert read(bucket, key) == body
    bucket.delete("plain-copy")


def _delete_one_by_one(
    bucket: Bucket, capabilities: Capabilities, bodies: dict[str, bytes]
) -> None:
    left = list(bodies)
    while left:
        gone = left.pop(0)
        bucket.delete(gone)
        with pytest.raises(ObjectNotFoundError):
            bucket.head(gone)
        assert listed(bucket, capabilities) == in_order(left), f"after the delete of {gone!r}"


class Keys(Suite):
    """Cases G. Those of `FAMILIES` are added below."""

    @case("G31", "keys of the greatest length the profile declares round-trip", clause="Keys")
    def test_g31_longest(self, bucket: Bucket, capabilities: Capabilities) -> None:
        assert capabilities.max_key_bytes > 0
        round_trip(bucket, capabilities, longest(capabilities))

    @case("G32", "all odd keys live side by side in one bucket, paged and in order", clause="Keys")
    def test_g32_all_together(self, bucket: Bucket, capabilities: Capabilities) -> None:
        keys = {key for family in FAMILIES for key in family.keys}
        for key in keys:
            bucket.put(key, key.encode())
        found = keys_of(bucket.list(page_size=7))
        assert len(found) == len(set(found)), "a page repeats a key"
        assert set(found) == keys
        if capabilities.ordered_listing:
            assert found == in_order(keys), "the order is not that of UTF-8 bytes"
        for key in keys:
            assert read(bucket, key) == key.encode()
        results = bucket.delete_many(sorted(keys))
        assert all(result.error is None for result in results)
        assert keys_of(bucket.list()) == []

    @case("G33", "groups under an odd delimiter end with it exactly", clause="Listing")
    def test_g33_odd_delimiters(self, bucket: Bucket) -> None:
        for delimiter in ("%2F", "//", "\\", " ", "é", "😀", "?", "[", "%"):
            prefix = f"in {delimiter}"
            for name in ("a", f"b{delimiter}c", f"b{delimiter}d", f"e{delimiter}"):
                bucket.put(prefix + name, b"")
            found = list(bucket.list(prefix, delimiter=delimiter))
            objects = {item.key for item in found if isinstance(item, ObjectSummary)}
            groups = {item.key for item in found if isinstance(item, Prefix)}
            assert objects == {f"{prefix}a"}, f"delimiter {delimiter!r}"
            assert groups == {f"{prefix}b{delimiter}", f"{prefix}e{delimiter}"}
            bucket.delete_many(keys_of(bucket.list(prefix)))

    @case("G34", "a key beside a key below it: each has its own life", clause="Keys")
    def test_g34_no_directories(self, bucket: Bucket) -> None:
        bucket.put("a", b"object")
        bucket.put("a/b", b"below")
        bucket.delete("a")
        assert read(bucket, "a/b") == b"below"
        bucket.put("a", b"again")
        bucket.delete("a/b")
        assert read(bucket, "a") == b"again"
        assert keys_of(bucket.list()) == ["a"]
        bucket.delete("a")
        assert keys_of(bucket.list()) == [], "an empty group is left over"

    @case("G35", "a prefix is not an object: only keys that were put exist", clause="Keys")
    def test_g35_prefix_is_no_object(self, bucket: Bucket) -> None:
        bucket.put("a/b/c", b"")
        for key in ("a", "a/", "a/b", "a/b/", "a/b/c/", "/a/b/c", "a//b/c", "A/b/c"):
            assert not bucket.exists(key), f"{key!r} seems to exist"
            with pytest.raises(ObjectNotFoundError):
                bucket.get(key)

    @case("G36", "keys that differ in one byte do not overwrite one another", clause="Keys")
    def test_g36_near_twins(self, bucket: Bucket, capabilities: Capabilities) -> None:
        limit = capabilities.max_key_bytes
        twins = ["k" * (limit - 1) + last for last in "abAB"]
        twins += [first + "k" * (limit - 1) for first in "abAB"]
        for twin in twins:
            bucket.put(twin, twin.encode(), if_absent=capabilities.allows("put", "if_absent"))
        assert [read(bucket, twin) for twin in twins] == [twin.encode() for twin in twins]
        assert listed(bucket, capabilities) == in_order(twins)

    @case("G37", "an empty key is refused by every operation", clause="Keys")
    def test_g37_empty(self, bucket: Bucket) -> None:
        for call in (*_creating(bucket, ""), *_reading(bucket, "")):
            with pytest.raises(InvalidKeyError):
                call()

    @case("G38", "a key over the limit is refused before I/O, counted in bytes", clause="Keys")
    def test_g38_too_long(self, bucket: Bucket, capabilities: Capabilities) -> None:
        limit = capabilities.max_key_bytes
        for key in ("a" * (limit + 1), "é" * (limit // 2 + 1), "😀" * (limit // 4 + 1)):
            with no_requests(bucket.storage):
                for call in (*_creating(bucket, key), *_reading(bucket, key)):
                    with pytest.raises(KeyTooLongError):
                        call()
        assert keys_of(bucket.list()) == []

    @case("G39", "lone surrogates, which have no UTF-8 form, are refused", clause="Keys")
    def test_g39_lone_surrogates(self, bucket: Bucket) -> None:
        for key in LONE_SURROGATES:
            for call in (*_creating(bucket, key), *_reading(bucket, key)):
                with pytest.raises(InvalidKeyError):
                    call()
            with pytest.raises(InvalidKeyError):
                list(bucket.list(key))
        assert keys_of(bucket.list()) == []

    @case("G40", "keys with control characters can not be created", clause="Keys")
    def test_g40_control_characters(self, bucket: Bucket) -> None:
        for key in CONTROL_KEYS:
            for call in _creating(bucket, key):
                with pytest.raises(InvalidKeyError):
                    call()
        assert keys_of(bucket.list()) == []

    @case("G41", "keys with a dot segment can not be created", clause="Keys")
    def test_g41_dot_segments(self, bucket: Bucket) -> None:
        for key in DOT_SEGMENT_KEYS:
            for call in _creating(bucket, key):
                with pytest.raises(InvalidKeyError):
                    call()
        assert keys_of(bucket.list()) == []

    @case("G42", "a key that is not text is refused by name of its type", clause="Keys")
    def test_g42_not_text(self, bucket: Bucket) -> None:
        for key in (b"bytes", 7, None, ["a"]):
            for call in (*_creating(bucket, key), *_reading(bucket, key)):
                with pytest.raises(InvalidKeyError, match=type(key).__name__):
                    call()

    @case("G43", "a refused target leaves the source of a copy or move alone", clause="Keys")
    def test_g43_refused_target(self, bucket: Bucket) -> None:
        bucket.put("source", b"kept")
        for target in ("", "a/../b", "a\x00b", *LONE_SURROGATES):
            with pytest.raises(InvalidKeyError):
                bucket.copy("source", target)
            with pytest.raises(InvalidKeyError):
                bucket.move("source", target)
        assert keys_of(bucket.list()) == ["source"]
        assert read(bucket, "source") == b"kept"

    @case("G44", "listings start after, and go on from, any odd key", clause="Listing")
    def test_g44_odd_positions(self, bucket: Bucket, capabilities: Capabilities) -> None:
        keys = in_order({key for family in FAMILIES[:9] for key in family.keys})
        for key in keys:
            bucket.put(key, b"")
        token, found = None, []
        while True:
            page = next(iter(bucket.list(page_size=1).pages(token)))
            found += keys_of(page.items)
            token = page.next_token
            if token is None:
                break
        assert sorted(found) == sorted(keys), "paging by one skips or repeats"
        if capabilities.ordered_listing:
            for position in range(0, len(keys), 5):
                after = keys_of(bucket.list(start_after=keys[position]))
                assert after == keys[position + 1 :], f"after {keys[position]!r}"


def _creating(bucket: Bucket, key: object) -> list[Callable[[], object]]:
    """Calls that would create the key."""
    name: str = key  # type: ignore[assignment]  # what is wrong with it is the point
    calls: list[Callable[[], object]] = [
        lambda: bucket.put(name, b""),
        lambda: bucket.writer(name),
        lambda: bucket.copy("source", name),
        lambda: bucket.presign(name, method="PUT"),
    ]
    if bucket.storage.capabilities.multipart:
        calls.append(lambda: bucket.create_upload(name))
    return calls


def _reading(bucket: Bucket, key: object) -> list[Callable[[], object]]:
    """Calls that name the key without creating it."""
    name: str = key  # type: ignore[assignment]
    return [
        lambda: bucket.get(name),
        lambda: bucket.head(name),
        lambda: bucket.exists(name),
        lambda: bucket.delete(name),
        lambda: bucket.copy(name, "target"),
        lambda: bucket.presign(name),
    ]


def _stored(family: Family) -> Callable[..., None]:
    def check(self: Keys, bucket: Bucket, capabilities: Capabilities) -> None:  # noqa: ARG001
        round_trip(bucket, capabilities, family.keys)

    check.__name__ = f"test_{family.id.lower()}_{family.name}"
    check.__qualname__ = f"Keys.{check.__name__}"
    return case(family.id, f"keys with {family.rule} round-trip exactly", clause="Keys")(check)


for _family in FAMILIES:
    _check = _stored(_family)
    setattr(Keys, _check.__name__, _check)
