"""Multipart sessions: ids, numbers, order, sizes."""

from __future__ import annotations

import base64
import hashlib
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_conformance.memory_settings import MemorySettings
from storage_core import Attributes, Bucket
from storage_core.core.upload import public_upload_id, split_upload_id
from storage_core.errors import (
    IntegrityError,
    InvalidKeyError,
    InvalidPartError,
    InvalidRequestError,
    PartTooSmallError,
    PreconditionFailedError,
    UnavailableError,
    UploadNotFoundError,
)
from storage_core.model import Part
from tests.core.conftest import Opener
from tests.core.drivers import Scripted


def made(opened: Opener, driver: Scripted | None = None, **options: Any) -> tuple[Scripted, Bucket]:
    driver = driver or Scripted()
    bucket = opened(driver, **options).create_bucket("fruit")
    driver.calls.clear()
    return driver, bucket


def content(bucket: Bucket, key: str = "a") -> bytes:
    with bucket.get(key) as reader:
        return reader.read()


# --- ids ----------------------------------------------------------------------------------


@given(
    st.text(min_size=1, max_size=40),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
)
def test_an_id_carries_key_and_session(key: str, driver_id: str):
    text = public_upload_id(key, driver_id)
    assert text.isascii()
    assert "/" not in text.partition(".")[0]
    assert split_upload_id(text) == (key, driver_id)


@pytest.mark.parametrize(
    "text",
    ["", "x", ".", "YQ", "YQ.", ".id", "?.id", "Y.id", "gICA.id", "YQ==.id", "é.id", None, 5,
     "YQ.i\nd", "YQ.é", "YQ.\ud800", "YQ.\0"],
)  # fmt: skip
def test_what_is_no_id(inline: Opener, text):
    driver, bucket = made(inline)
    with pytest.raises(InvalidRequestError, match="not an upload id"):
        bucket.resume_upload(text)
    assert driver.calls == []


@given(st.text(max_size=30))
def test_any_text_is_an_id_or_refused(text: str):
    try:
        key, driver_id = split_upload_id(text)
    except InvalidRequestError:
        return
    assert key
    assert driver_id


def test_an_id_with_an_impossible_key_is_refused(inline: Opener):
    _, bucket = made(inline)
    for key in ("x" * 1025, "a\0b"):
        with pytest.raises(InvalidKeyError):
            bucket.resume_upload(public_upload_id(key, "id"))


def test_resuming_asks_nothing(inline: Opener):
    driver, bucket = made(inline)
    upload = bucket.create_upload("a/é")
    driver.calls.clear()
    twin = bucket.resume_upload(upload.id)
    assert (twin.id, twin.key) == (upload.id, "a/é")
    assert driver.calls == []
    assert base64.urlsafe_b64encode("a/é".encode()).decode().rstrip("=") in upload.id


def test_listed_ids_are_good_for_resuming(opened: Opener):
    _, bucket = made(opened)
    ids = {bucket.create_upload(key).id for key in ("b", "a", "ab")}
    listed = list(bucket.list_uploads(page_size=1))
    assert [one.key for one in listed] == ["a", "ab", "b"]
    assert {one.id for one in listed} == ids
    part = bucket.resume_upload(listed[0].id).put_part(1, b"x")
    bucket.resume_upload(listed[0].id).complete([part])
    assert content(bucket) == b"x"
    assert [one.key for one in bucket.list_uploads("ab")] == ["ab"]


def test_an_id_of_another_session_or_bucket(opened: Opener):
    _, bucket = made(opened)
    upload = bucket.create_upload("a")
    elsewhere = bucket.storage.create_bucket("other").resume_upload(upload.id)
    wrong_key = bucket.resume_upload(public_upload_id("b", split_upload_id(upload.id)[1]))
    for one in (elsewhere, wrong_key):
        for call in (
            lambda one=one: one.put_part(1, b"x"),
            lambda one=one: list(one.list_parts()),
            lambda one=one: one.complete([Part(1, "e", 1)]),
            lambda one=one: one.abort(),
        ):
            with pytest.raises(UploadNotFoundError):
                call()


# --- parts --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, -1, 10_001, "1", 1.0, None])
def test_part_numbers(inline: Opener, number):
    driver, bucket = made(inline)
    bucket.put("source", b"x")
    upload = bucket.create_upload("a")
    driver.calls.clear()
    for call in (
        lambda: upload.put_part(number, b"x"),
        lambda: upload.copy_part(number, "source"),
        lambda: upload.presign_part(number),
        lambda: upload.complete([Part(number, "e", 1)]),
    ):
        with pytest.raises(InvalidPartError, match="not within 1 to 10000"):
            call()
    assert driver.calls == []


def test_parts_in_any_order_and_again(opened: Opener):
    _, bucket = made(opened)
    upload = bucket.create_upload("a", content_type="text/csv")
    third = upload.put_part(3, b"ccc")
    upload.put_part(1, b"old")
    first = upload.put_part(1, iter([b"a", b"a"]))
    assert [part.number for part in upload.list_parts()] == [1, 3]
    assert (first.size, third.size) == (2, 3)
    assert not bucket.exists("a")
    result = upload.complete()
    assert result.size == 5
    assert content(bucket) == b"aaccc"
    assert bucket.head("a").content_type == "text/csv"
    with pytest.raises(UploadNotFoundError):
        upload.complete([first])


def test_a_part_replaced_since_is_refused(opened: Opener):
    _, bucket = made(opened)
    upload = bucket.create_upload("a")
    old = upload.put_part(1, b"old")
    upload.put_part(1, b"new")
    with pytest.raises(InvalidPartError):
        upload.complete([old])
    upload.complete()
    assert content(bucket) == b"new"


@pytest.mark.parametrize(
    ("parts", "error", "says"),
    [
        ([], InvalidPartError, "no parts to complete"),
        ([Part(2, "e", 9), Part(1, "e", 9)], InvalidPartError, "part 1 follows part 2"),
        ([Part(1, "e", 9), Part(1, "e", 9)], InvalidPartError, "part 1 follows part 1"),
        ([Part(1, "e", 9)] * 4, InvalidPartError, "more than one session takes"),
        ([Part(1, "e", 4), Part(2, "e", 9)], PartTooSmallError, "at least 5"),
    ],
)
def test_what_can_not_be_completed_is_refused_before_any_request(
    inline: Opener, parts, error, says: str
):
    driver, bucket = made(inline, Scripted(min_part_size=5, max_parts=3))
    upload = bucket.create_upload("a")
    driver.calls.clear()
    with pytest.raises(error, match=says):
        upload.complete(iter(parts))
    assert driver.calls == []


def test_the_last_part_may_be_small_or_empty(opened: Opener):
    _, bucket = made(opened, Scripted(min_part_size=5))
    upload = bucket.create_upload("a")
    parts = [upload.put_part(1, b"12345"), upload.put_part(7, b"6")]
    upload.complete(parts)
    assert content(bucket) == b"123456"
    upload = bucket.create_upload("a")
    upload.complete([upload.put_part(1, b"")])
    assert content(bucket) == b""


def test_sizes_of_parts(inline: Opener):
    driver, bucket = made(inline, Scripted(max_part_size=10))
    upload = bucket.create_upload("a")
    driver.calls.clear()
    with pytest.raises(InvalidPartError, match="part 1 has 11 bytes; the most is 10"):
        upload.put_part(1, bytes(11))
    assert driver.calls == []
    for size in (7, 9):
        with pytest.raises(IntegrityError, match=f"declared as {size} bytes"):
            upload.put_part(1, iter([bytes(8)]), size=size)
    with pytest.raises(IntegrityError):
        upload.put_part(1, b"x", checksums={"md5": "00" * 16})
    part = upload.put_part(1, b"x", checksums={"md5": hashlib.md5(b"x").hexdigest()})
    assert part.size == 1
    assert [one.number for one in upload.list_parts()] == [1]


def test_parts_of_other_objects(opened: Opener):
    _driver, bucket = made(opened)
    other = bucket.storage.create_bucket("other")
    bucket.put("here", b"0123456789")
    other.put("there", b"abc")
    upload = bucket.create_upload("a")
    source = getattr(other, "_target", other)
    upload.copy_part(1, "here", range=(2, 5))
    upload.copy_part(2, "here", range=(-1, None))
    upload.copy_part(3, "there", source=source)
    upload.complete()
    assert content(bucket) == b"2349abc"


def test_a_part_is_sent_again_when_it_failed(opened: Opener):
    driver, bucket = made(opened)
    upload = bucket.create_upload("a")
    driver.script["put_part"] = [UnavailableError("down")]
    upload.put_part(1, b"x")
    assert driver.names().count("put_part") == 2


# --- ends ---------------------------------------------------------------------------------


def test_conditions_leave_the_session_open(opened: Opener):
    _, bucket = made(opened)
    bucket.put("a", b"old")
    upload = bucket.create_upload("a")
    part = upload.put_part(1, b"new")
    for conditions in ({"if_absent": True}, {"if_match": "other"}):
        with pytest.raises(PreconditionFailedError):
            upload.complete([part], **conditions)
    with pytest.raises(InvalidRequestError, match="exclude each other"):
        upload.complete([part], if_absent=True, if_match="e")
    upload.complete([part], if_match=bucket.head("a").etag)
    assert content(bucket) == b"new"


def test_attributes_given_at_the_end_replace_the_first_ones(opened: Opener):
    _, bucket = made(opened)
    upload = bucket.create_upload("a", content_type="text/plain", metadata={"a": "1"})
    upload.put_part(1, b"x")
    upload.complete(attributes=Attributes(content_type="text/csv", metadata={"B": "2"}))
    info = bucket.head("a")
    assert (info.content_type, dict(info.metadata)) == ("text/csv", {"b": "2"})


def test_abort(opened: Opener):
    _, bucket = made(opened)
    upload = bucket.create_upload("a")
    part = upload.put_part(1, b"x")
    upload.abort()
    for call in (
        upload.abort,
        lambda: upload.put_part(1, b"x"),
        lambda: upload.complete([part]),
        lambda: list(upload.list_parts()),
    ):
        with pytest.raises(UploadNotFoundError):
            call()
    assert not bucket.exists("a")


def test_listing_parts_in_pages(inline: Opener):
    driver, bucket = made(inline, Scripted(max_page_size=2))
    upload = bucket.create_upload("a")
    for number in range(1, 6):
        upload.put_part(number, b"x")
    driver.calls.clear()
    assert [part.number for part in upload.list_parts()] == [1, 2, 3, 4, 5]
    assert driver.names() == ["list_parts_page"] * 3


def test_a_session_can_be_handed_to_another_process_as_it_is(inline: Opener):
    storage = inline(Scripted(settings=MemorySettings(name="handed", min_part_size=0)))
    upload = storage.create_bucket("fruit").create_upload("a")
    upload.put_part(1, b"x")
    twin = pickle.loads(pickle.dumps(upload))
    assert (twin.id, twin.key, twin.bucket.name) == (upload.id, "a", "fruit")
    assert twin.bucket.storage is not storage
    twin.bucket.storage.close()
