"""Moves in one step and in two, and changes of metadata."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage_conformance.memory import MemoryDriver
from storage_core import KEEP, Attributes, Bucket, RetryPolicy
from storage_core.core.bodies import make_body
from storage_core.errors import (
    InvalidMetadataError,
    InvalidRequestError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UnavailableError,
)
from storage_core.requests import PutRequest
from storage_core.runtime import Inline, drive
from tests.core.conftest import Opener
from tests.core.drivers import Before, Scripted, Streamed

DATA = bytes(range(251)) * 20


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


# --- moves ---------------------------------------------------------------------------


@pytest.mark.parametrize("atomic", [True, False])
def test_a_move(opened: Opener, atomic: bool):
    driver = Streamed(atomic_move=atomic)
    bucket = made(opened, driver)
    result = bucket.move("a", "b")
    assert ("move" in driver.names()) is atomic
    assert (result.key, result.size) == ("b", len(DATA))
    assert not bucket.exists("a")
    assert content(bucket, "b") == DATA
    assert bucket.get_tags("b") == {"t": "1"}
    bucket.put("c", b"old")
    with pytest.raises(PreconditionFailedError) as caught:
        bucket.move("b", "c", if_absent=True)
    assert caught.value.operation == "move"
    assert bucket.exists("b")
    with pytest.raises(ObjectNotFoundError) as missing:
        bucket.move("a", "d")
    assert (missing.value.operation, missing.value.bucket, missing.value.key) == (
        "move", "fruit", "a",
    )  # fmt: skip


@pytest.mark.parametrize("atomic", [True, False])
def test_a_move_onto_itself_changes_nothing(opened: Opener, atomic: bool):
    bucket = made(opened, Streamed(atomic_move=atomic))
    etag = bucket.head("a").etag
    assert bucket.move("a", "a").etag == etag
    assert content(bucket, "a") == DATA
    with pytest.raises(PreconditionFailedError):
        bucket.move("a", "a", if_absent=True)
    assert content(bucket, "a") == DATA
    with pytest.raises(ObjectNotFoundError):
        bucket.move("missing", "missing")


@pytest.mark.parametrize("atomic", [True, False])
def test_a_move_between_buckets(opened: Opener, atomic: bool):
    bucket = made(opened, Streamed(atomic_move=atomic))
    other = bucket.storage.create_bucket("other")
    bucket.move("a", "a", target=getattr(other, "_target", other))
    assert not bucket.exists("a")
    assert content(other, "a") == DATA


def test_between_the_steps_both_exist(inline: Opener):
    driver = Scripted(atomic_move=False)
    bucket = made(inline, driver, retry=RetryPolicy(attempts=1))
    driver.script["delete"] = [UnavailableError("down")]
    with pytest.raises(UnavailableError, match="move fruit/a"):
        bucket.move("a", "b")
    assert content(bucket, "a") == content(bucket, "b") == DATA


def test_what_replaced_the_source_meanwhile_is_not_deleted(inline: Opener):
    driver = Scripted(atomic_move=False)
    bucket = made(inline, driver)
    driver.script["copy"] = [Before(overwrite(driver, b"new"))]
    with pytest.raises(PreconditionFailedError):
        bucket.move("a", "b")
    assert content(bucket, "a") == b"new"
    assert not bucket.exists("b")


# --- metadata ------------------------------------------------------------------------


def test_what_is_not_given_stays(opened: Opener):
    bucket = made(opened, Scripted())
    bucket.update_metadata("a", cache_control="no-store")
    info = bucket.head("a")
    assert (info.content_type, info.cache_control) == ("text/csv", "no-store")
    assert dict(info.metadata) == {"year": "2012"}
    bucket.update_metadata("a", content_type=None, metadata={"B": "2"}, cache_control=KEEP)
    info = bucket.head("a")
    assert (info.content_type, info.cache_control, dict(info.metadata)) == (
        None, "no-store", {"b": "2"},
    )  # fmt: skip
    bucket.update_metadata("a", metadata=None, cache_control=None)
    assert bucket.head("a").attributes() == Attributes()
    assert bucket.get_tags("a") == {"t": "1"}
    assert content(bucket, "a") == DATA
    assert repr(KEEP) == "KEEP"


def test_an_expiry_can_be_set_and_removed(opened: Opener):
    bucket = made(opened, Scripted())
    moment = datetime.now(UTC) + timedelta(days=1)
    bucket.update_metadata("a", expires_at=moment)
    assert bucket.head("a").expires_at == moment
    bucket.update_metadata("a", expires_at=None)
    assert bucket.head("a").expires_at is None
    with pytest.raises(InvalidRequestError, match="not in the future"):
        bucket.update_metadata("a", expires_at=datetime.now(UTC))


def test_a_write_in_between_is_seen_and_built_upon(inline: Opener):
    driver = Scripted()
    bucket = made(inline, driver)

    def other(_: Any) -> None:
        body = make_body(b"new", Inline())
        request = PutRequest("fruit", "a", body, Attributes("text/plain", metadata={"x": "1"}))
        drive(MemoryDriver.put(driver, request))

    driver.script["update_metadata"] = [Before(other), Before(other)]
    bucket.update_metadata("a", cache_control="no-store")
    assert driver.names() == ["head", "update_metadata"] * 3
    info = bucket.head("a")
    assert (info.content_type, info.cache_control) == ("text/plain", "no-store")
    assert dict(info.metadata) == {"x": "1"}
    assert content(bucket, "a") == b"new"


def test_a_condition_of_the_callers_is_his_to_hear_of(opened: Opener):
    driver = Scripted()
    bucket = made(opened, driver)
    etag = bucket.head("a").etag
    bucket.update_metadata("a", content_type="text/plain", if_match=etag)
    driver.calls.clear()
    with pytest.raises(PreconditionFailedError) as caught:
        bucket.update_metadata("a", content_type="text/csv", if_match="other")
    assert (caught.value.operation, caught.value.key) == ("update_metadata", "a")
    assert driver.names() == ["head"]
    driver.script["update_metadata"] = [Before(overwrite(driver))]
    with pytest.raises(PreconditionFailedError):
        bucket.update_metadata("a", content_type="text/csv", if_match=etag)
    assert bucket.head("a").content_type is None


def test_only_what_is_given_is_checked(inline: Opener):
    """An object made elsewhere may have what could not be given here."""
    driver = Scripted()
    bucket = made(inline, driver)
    stored = driver._state.bucket("fruit").find("a")
    odd = replace(stored, info=replace(stored.info, content_disposition="é", metadata={"ä": "x"}))
    driver._state.bucket("fruit").rewrite(stored, odd)
    bucket.update_metadata("a", content_type="text/plain")
    info = bucket.head("a")
    assert (info.content_type, info.content_disposition) == ("text/plain", "é")
    with pytest.raises(InvalidMetadataError):
        bucket.update_metadata("a", content_disposition="ü")


def test_a_missing_object(opened: Opener):
    bucket = made(opened, Scripted())
    with pytest.raises(ObjectNotFoundError, match="update_metadata fruit/none"):
        bucket.update_metadata("none", content_type="text/plain")


def test_callers_mappings_are_not_kept(opened: Opener):
    bucket = made(opened, Scripted())
    metadata, tags = {"a": "1"}, {"t": "1"}
    bucket.put("b", b"", metadata=metadata, tags=tags)
    metadata["a"] = tags["t"] = "2"
    assert dict(bucket.head("b").metadata) == {"a": "1"}
    assert bucket.get_tags("b") == {"t": "1"}
    bucket.put_tags("b", tags)
    tags["t"] = "3"
    assert bucket.get_tags("b") == {"t": "2"}
