"""Copies inside the service, streamed, and by parts."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from storage_conformance.memory import MemoryDriver
from storage_core import Attributes, Bucket, RetryPolicy
from storage_core.core import copying
from storage_core.core import writer as writer_module
from storage_core.core.bodies import make_body
from storage_core.errors import (
    BucketNotFoundError,
    InvalidKeyError,
    InvalidMetadataError,
    ObjectChangedError,
    ObjectNotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    UnavailableError,
    UnsupportedError,
)
from storage_core.model import CopyProgress
from storage_core.requests import PutRequest
from storage_core.runtime import Inline, drive
from tests.core.conftest import Opener
from tests.core.drivers import Before, Scripted, Streamed

DATA = bytes(range(251)) * 20

# Ways a copy can go: what the driver declares, and what is asked of it.
WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "inside": ({}, "copy"),
    "streamed": ({"server_side_copy": False}, "put"),
    "by parts": ({"max_put_size": 700}, "complete_upload"),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "COPY_PART", 600)


def made(opened: Opener, driver: Scripted, **options: Any) -> Bucket:
    bucket = opened(driver, **options).create_bucket("fruit")
    attributes: dict[str, Any] = {
        "content_type": "text/csv",
        "metadata": {"year": "2012"},
        "tags": {"t": "1"},
    }
    bucket.put("a", DATA, compute=("sha256",), **attributes)
    driver.calls.clear()
    return bucket


def content(bucket: Bucket, key: str) -> bytes:
    with bucket.get(key) as reader:
        return reader.read()


def overwrite(driver: Scripted, data: bytes = DATA) -> Any:
    def write(_: Any) -> None:
        drive(MemoryDriver.put(driver, PutRequest("fruit", "a", make_body(data, Inline()))))

    return write


def test_a_copy_is_the_same_however_it_is_made(opened: Opener, way: str):
    named, asked = WAYS[way]
    driver = Streamed(**named)
    bucket = made(opened, driver)
    result = bucket.copy("a", "b")
    assert asked in driver.names()
    assert content(bucket, "b") == DATA
    a, b = bucket.head("a"), bucket.head("b")
    assert b.attributes() == a.attributes()
    assert bucket.get_tags("b") == {"t": "1"}
    assert (result.key, result.size, result.etag) == ("b", len(DATA), b.etag)
    if way != "by parts":
        assert b.checksums["sha256"] == a.checksums["sha256"]


def test_attributes_can_be_replaced_by_a_copy(opened: Opener, way: str):
    bucket = made(opened, Streamed(**WAYS[way][0]))
    bucket.copy("a", "b", attributes=Attributes(content_type="text/plain", metadata={"X": "1"}))
    info = bucket.head("b")
    assert (info.content_type, dict(info.metadata)) == ("text/plain", {"x": "1"})
    assert bucket.get_tags("b") == {}
    with pytest.raises(InvalidMetadataError):
        bucket.copy("a", "c", attributes=Attributes(metadata={"ä": "1"}))


def test_a_copy_into_another_bucket(opened: Opener, way: str):
    bucket = made(opened, Streamed(**WAYS[way][0]))
    other = bucket.storage.create_bucket("other")
    target = getattr(other, "_target", other)
    bucket.copy("a", "a", target=target)
    assert content(other, "a") == DATA


def test_onto_itself(opened: Opener, way: str):
    bucket = made(opened, Streamed(**WAYS[way][0]))
    bucket.copy("a", "a", attributes=Attributes(content_type="text/plain"))
    assert content(bucket, "a") == DATA
    assert bucket.head("a").content_type == "text/plain"


def test_conditions_on_the_target(opened: Opener, way: str):
    bucket = made(opened, Streamed(**WAYS[way][0]))
    bucket.put("b", b"old")
    with pytest.raises(PreconditionFailedError):
        bucket.copy("a", "b", if_absent=True)
    with pytest.raises(PreconditionFailedError):
        bucket.copy("a", "b", if_match="other")
    assert content(bucket, "b") == b"old"
    assert list(bucket.list_uploads()) == []
    bucket.copy("a", "b", if_match=bucket.head("b").etag)
    bucket.copy("a", "c", if_absent=True)
    assert content(bucket, "b") == content(bucket, "c") == DATA


def test_conditions_on_the_source(opened: Opener, way: str):
    bucket = made(opened, Streamed(**WAYS[way][0]))
    info = bucket.head("a")
    before, after = info.modified - timedelta(1), info.modified + timedelta(1)
    for unmet in (
        {"source_if_match": "other"},
        {"source_if_none_match": info.etag},
        {"source_if_unmodified_since": before},
        {"source_if_modified_since": after},
    ):
        with pytest.raises(PreconditionFailedError) as caught:
            bucket.copy("a", "b", **unmet)
        assert caught.value.operation == "copy"
        assert not bucket.exists("b")
    for met in (
        {"source_if_match": info.etag},
        {"source_if_none_match": "other"},
        {"source_if_unmodified_since": after},
        {"source_if_modified_since": before},
    ):
        bucket.copy("a", "b", **met)
        bucket.delete("b")


def test_a_missing_source_is_the_key_that_is_named(opened: Opener, way: str):
    bucket = made(opened, Streamed(**WAYS[way][0]))
    with pytest.raises(ObjectNotFoundError) as caught:
        bucket.copy("missing", "b")
    assert (caught.value.operation, caught.value.bucket, caught.value.key) == (
        "copy", "fruit", "missing",
    )  # fmt: skip


def test_a_missing_bucket_is_named(opened: Opener):
    bucket = made(opened, Scripted())
    none = bucket.storage.bucket("none")
    with pytest.raises(BucketNotFoundError) as caught:
        bucket.copy("a", "b", target=getattr(none, "_target", none))
    assert caught.value.bucket == "none"


@pytest.mark.parametrize(("key", "target"), [("", "b"), ("a", ""), ("a", "x/../y"), ("a", "\n")])
def test_bad_keys(inline: Opener, key: str, target: str):
    for atomic in (True, False):
        driver = Scripted(atomic_move=atomic)
        bucket = made(inline, driver)
        for call in (bucket.copy, bucket.move):
            with pytest.raises(InvalidKeyError):
                call(key, target)
        assert driver.calls == []


# --- tokens --------------------------------------------------------------------------


class InSteps(Scripted):
    """The service copies in the background and has to be asked again."""

    steps = 3

    async def copy(self, request: Any) -> CopyProgress:
        step = int(request.token or "0")
        if step < self.steps:
            self.calls.append(("copy", request))
            return CopyProgress(token=str(step + 1))
        return await super().copy(request)


@pytest.mark.parametrize("conditions", [{}, {"if_absent": True}])
def test_a_long_copy_is_asked_for_until_it_is_done(opened: Opener, conditions: dict[str, Any]):
    driver = InSteps()
    bucket = made(opened, driver)
    assert bucket.copy("a", "b", **conditions).size == len(DATA)
    tokens = [request.token for request in driver.requests("copy")]
    assert tokens == [None, "1", "2", "3"]
    assert len({request._replace(token=None) for request in driver.requests("copy")}) == 1


# --- streams -------------------------------------------------------------------------


def test_a_streamed_copy_does_not_hold_the_object(inline: Opener, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer_module, "PART", 700)
    driver = Streamed(server_side_copy=False)
    bucket = made(inline, driver)
    bucket.copy("a", "b")
    assert max(len(request.body.data) for request in driver.requests("put_part")) == 700
    assert content(bucket, "b") == DATA


def test_a_source_that_breaks_in_a_streamed_copy(inline: Opener, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer_module, "PART", 700)
    driver = Streamed(server_side_copy=False)
    bucket = made(inline, driver)
    driver.breaks = [(1500, PermissionDeniedError("revoked"))]
    with pytest.raises(PermissionDeniedError):
        bucket.copy("a", "b")
    assert not bucket.exists("b")
    assert list(bucket.list_uploads()) == []
    assert driver.streams[-1].closed
    driver.breaks = [(1500, UnavailableError("reset"))]
    bucket.copy("a", "b")  # a passing one is no matter
    assert content(bucket, "b") == DATA


def test_copies_honour_what_put_and_get_do_where_core_makes_them(inline: Opener):
    conditions = {"put": frozenset(("if_absent",)), "get": frozenset(("if_match",))}
    bucket = made(inline, Scripted(server_side_copy=False, conditions=conditions))
    allows = bucket.storage.capabilities.allows
    assert allows("copy", "if_absent")
    assert allows("copy_source", "if_match")
    assert not allows("copy", "if_match")
    bucket.copy("a", "b", if_absent=True, source_if_match=bucket.head("a").etag)
    refused: list[dict[str, Any]] = [{"if_match": "e"}, {"source_if_none_match": "e"}]
    for unsupported in refused:
        with pytest.raises(UnsupportedError):
            bucket.copy("a", "b", **unsupported)


# --- by parts ------------------------------------------------------------------------


def test_parts_cover_the_object(inline: Opener):
    driver = Scripted(max_put_size=700)
    bucket = made(inline, driver)
    bucket.copy("a", "b")
    ranges = [request.range for request in driver.requests("copy_part")]
    assert ranges[0] == (0, 600)
    assert ranges[-1][1] == len(DATA)
    assert all(left[1] == right[0] for left, right in itertools.pairwise(ranges))


def test_parts_are_as_few_and_as_large_as_the_service_wants(inline: Opener):
    driver = Scripted(max_put_size=700, max_parts=3, max_part_size=5000)
    bucket = made(inline, driver)
    bucket.copy("a", "b")
    assert len(driver.requests("copy_part")) == 3
    driver = Scripted(max_put_size=700, max_part_size=100)
    bucket = made(inline, driver)
    bucket.copy("a", "b")
    assert len(driver.requests("copy_part")) == -(-len(DATA) // 100)
    assert content(bucket, "b") == DATA


@pytest.mark.parametrize("versions", [True, False])
def test_parts_of_two_objects_never_become_one(inline: Opener, versions: bool):
    driver = Scripted(max_put_size=700, versions=versions)
    bucket = made(inline, driver)
    driver.script["copy_part"] = [None, Before(overwrite(driver, bytes(len(DATA))))]
    if versions:
        bucket.copy("a", "b")  # all of the version that was there first
        assert content(bucket, "b") == DATA
        return
    with pytest.raises(ObjectChangedError, match="while it was being copied"):
        bucket.copy("a", "b")
    assert not bucket.exists("b")
    assert list(bucket.list_uploads()) == []


def test_a_failure_in_the_middle_leaves_no_session(inline: Opener):
    driver = Scripted(max_put_size=700)
    bucket = made(inline, driver, retry=RetryPolicy(attempts=1))
    driver.script["copy_part"] = [None, UnavailableError("down")]
    with pytest.raises(UnavailableError):
        bucket.copy("a", "b")
    assert list(bucket.list_uploads()) == []
    driver.script["copy_part"] = [None, UnavailableError("down")]
    driver.script["abort_upload"] = [PermissionDeniedError("no")]
    with pytest.raises(UnavailableError) as caught:
        bucket.copy("a", "b")
    assert "could not be aborted either" in caught.value.__notes__[0]


def test_a_small_object_needs_no_parts(inline: Opener):
    driver = Scripted(max_put_size=700)
    bucket = made(inline, driver)
    bucket.put("small", b"x")
    driver.calls.clear()
    bucket.copy("small", "b")
    assert driver.names() == ["head", "copy"]
