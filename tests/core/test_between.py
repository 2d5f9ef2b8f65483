"""Copies and moves between two storages, whatever carries the calls on each of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from storage_conformance.faces import Portal
from storage_core import Attributes, Bucket, Storage
from storage_core.core import writer as writer_module
from storage_core.errors import (
    BucketNotFoundError,
    ClosedError,
    IntegrityError,
    InvalidKeyError,
    ObjectChangedError,
    ObjectNotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    UnavailableError,
    UnsupportedError,
)
from tests.core.conftest import open_on, scripted
from tests.core.drivers import CARRIERS, Before, Scripted, Streamed

DATA = bytes(range(251)) * 20

# Both storages are of one face, each carried in either way.
PAIRS = [
    (one, other)
    for one, other in itertools.product(CARRIERS, repeat=2)
    if CARRIERS[one][0] == CARRIERS[other][0]
]

Ends = tuple[Bucket, Bucket]
Opening = Callable[..., Ends]


@pytest.fixture(params=PAIRS, ids="-".join)
def opening(request: pytest.FixtureRequest) -> Iterator[Opening]:
    """Opens a source and a target, each with a bucket; the target's has nothing in it."""
    face = CARRIERS[request.param[0]][0]
    portal: Portal | None = request.getfixturevalue("portal") if face == "async" else None
    made: list[Storage] = []

    def open_both(source: Scripted | None = None, target: Scripted | None = None) -> Ends:
        buckets = []
        for carrier, driver in zip(request.param, (source, target), strict=True):
            made.append(open_on(carrier, driver or Scripted(), portal))
            buckets.append(made[-1].create_bucket("fruit"))
        buckets[0].put(
            "a",
            DATA,
            content_type="text/csv",
            cache_control="no-store",
            metadata={"year": "2012"},
            tags={"t": "1"} if made[0].capabilities.tags else None,
            compute=("sha256",),
        )
        for bucket in buckets:
            scripted(bucket).calls.clear()
        return buckets[0], buckets[1]

    yield open_both
    for storage in made:
        storage.close()


def content(bucket: Bucket, key: str) -> bytes:
    with bucket.get(key) as reader:
        return reader.read()


def into(bucket: Bucket) -> Any:
    return getattr(bucket, "_target", bucket)


def test_bytes_attributes_tags_and_digests_come_along(opening: Opening):
    source, target = opening(Streamed())
    result = source.copy("a", "x/b", target=into(target))
    assert content(target, "x/b") == DATA
    old, new = source.head("a"), target.head("x/b")
    assert new.attributes() == old.attributes()
    assert new.checksums == old.checksums == result.checksums
    assert (result.key, result.size, result.etag) == ("x/b", len(DATA), new.etag)
    assert target.get_tags("x/b") == {"t": "1"}


def test_a_move_deletes_the_source(opening: Opening):
    source, target = opening()
    source.move("a", "b", target=into(target))
    assert content(target, "b") == DATA
    assert not source.exists("a")


def test_large_objects_go_by_parts(opening: Opening, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer_module, "PART", 1000)
    source, target = opening(Streamed())
    source.copy("a", "b", target=into(target))
    assert content(target, "b") == DATA
    assert scripted(target).names().count("put_part") > 4
    assert target.head("b").checksums == source.head("a").checksums


def test_attributes_can_be_replaced(opening: Opening):
    source, target = opening()
    source.copy("a", "b", target=into(target), attributes=Attributes(content_type="text/plain"))
    info = target.head("b")
    assert (info.content_type, info.cache_control, dict(info.metadata)) == ("text/plain", None, {})
    assert target.get_tags("b") == {}


def test_what_the_target_can_not_keep_is_refused_before_it_is_written(opening: Opening):
    source, target = opening(target=Scripted(tags=False))
    with pytest.raises(UnsupportedError, match=r"tags.*attributes="):
        source.copy("a", "b", target=into(target))
    assert scripted(target).calls == []
    source.copy("a", "b", target=into(target), attributes=source.head("a").attributes())
    assert target.head("b").metadata == {"year": "2012"}


def test_conditions_hold_on_both_sides(opening: Opening):
    source, target = opening()
    etag = source.head("a").etag
    target.put("b", b"other")
    for unmet in (
        {"if_absent": True},
        {"if_match": "other"},
        {"source_if_match": "other"},
        {"source_if_none_match": etag},
    ):
        with pytest.raises(PreconditionFailedError):
            source.copy("a", "b", target=into(target), **unmet)
        assert content(target, "b") == b"other"
    met = target.head("b").etag
    source.copy("a", "b", target=into(target), if_match=met, source_if_match=etag)
    source.move("a", "c", target=into(target), if_absent=True)
    assert content(target, "b") == content(target, "c") == DATA


def test_errors_name_the_end_they_come_from(opening: Opening):
    source, target = opening()
    with pytest.raises(ObjectNotFoundError) as missing:
        source.copy("none", "b", target=into(target))
    assert missing.value.key == "none"
    absent = target.storage.bucket("absent")
    with pytest.raises(BucketNotFoundError) as bucket:
        source.move("a", "b", target=into(absent))
    assert bucket.value.bucket == "absent"
    assert source.exists("a")
    for key, target_key in (("", "b"), ("a", ""), ("a", "x/../y")):
        with pytest.raises(InvalidKeyError):
            source.copy(key, target_key, target=into(target))


def test_a_source_that_is_replaced_during_a_move_stays(opening: Opening):
    source, target = opening()
    scripted(source).script["delete"] = [Before(lambda _: _overwrite(source))]
    with pytest.raises(ObjectChangedError):
        source.move("a", "b", target=into(target))
    assert content(source, "a") == b"newer"
    assert content(target, "b") == DATA


def _overwrite(bucket: Bucket) -> None:
    from storage_conformance.memory import MemoryDriver
    from storage_core.core.bodies import make_body
    from storage_core.requests import PutRequest
    from storage_core.runtime import Inline, drive

    driver = scripted(bucket)
    drive(MemoryDriver.put(driver, PutRequest("fruit", "a", make_body(b"newer", Inline()))))


@pytest.mark.parametrize("part", [1000, 8 * 1024**2], ids=["parts", "put"])
def test_a_broken_source_leaves_nothing(
    opening: Opening, monkeypatch: pytest.MonkeyPatch, part: int
):
    monkeypatch.setattr(writer_module, "PART", part)
    driver = Streamed()
    source, target = opening(driver)
    driver.breaks = [(3000, PermissionDeniedError("no more"))]
    with pytest.raises(PermissionDeniedError):
        source.copy("a", "b", target=into(target))
    assert not target.exists("b")
    assert list(target.list_uploads()) == []
    assert all(stream.closed for stream in driver.streams)


def test_a_source_that_breaks_off_is_taken_up_again(opening: Opening):
    driver = Streamed()
    source, target = opening(driver)
    driver.breaks = [(3000, UnavailableError("reset"))]
    source.copy("a", "b", target=into(target))
    assert content(target, "b") == DATA


class Corrupting(Streamed):
    """Gives other bytes than those whose digests it tells."""

    async def get(self, request: Any) -> Any:
        stream = await super().get(request)
        read = stream.read

        async def flipped(size: int) -> bytes:
            data = await read(size)
            return bytes([data[0] ^ 1]) + data[1:] if data else data

        return _Flipped(stream, flipped)


class _Flipped:
    def __init__(self, stream: Any, read: Any) -> None:
        self._stream = stream
        self.read = read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def test_a_corrupt_source_is_not_published(opening: Opening):
    source, target = opening(Corrupting())
    with pytest.raises(IntegrityError):
        source.copy("a", "b", target=into(target))
    assert not target.exists("b")


def test_a_target_that_says_it_stored_something_else_is_told_of(opening: Opening):
    class Wrong(Scripted):
        async def put(self, request: Any) -> Any:
            from dataclasses import replace

            return replace(await super().put(request), size=1)

    source, target = opening(target=Wrong())
    with pytest.raises(IntegrityError, match="size of the copy"):
        source.move("a", "b", target=into(target))
    assert source.exists("a")


def test_closed_storages_refuse(opening: Opening):
    source, target = opening()
    target.storage.close()
    with pytest.raises(ClosedError):
        source.copy("a", "b", target=into(target))
    assert scripted(source).calls == []
