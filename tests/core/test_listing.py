"""Listings: lazy, in pages, with tokens that are good elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from storage_core import Bucket
from storage_core.errors import (
    BucketNotFoundError,
    InvalidKeyError,
    InvalidRequestError,
    UnavailableError,
)
from storage_core.model import Page
from tests.core.conftest import Opener
from tests.core.drivers import Scripted

KEYS = ["a", "a/b", "a/c", "b", "é"]


def made(opened: Opener, driver: Scripted | None = None, **options: Any) -> tuple[Scripted, Bucket]:
    driver = driver or Scripted()
    bucket = opened(driver, **options).create_bucket("fruit")
    for key in KEYS:
        bucket.put(key, b"x")
    driver.calls.clear()
    return driver, bucket


def test_nothing_is_asked_before_the_first_item(opened: Opener):
    driver, bucket = made(opened)
    listing = bucket.list(page_size=2)
    pages = bucket.list(page_size=2).pages()
    iterator = iter(listing)
    assert driver.calls == []
    assert next(iterator).key == "a"
    assert len(driver.calls) == 1
    assert next(iterator).key == "a/b"
    assert len(driver.calls) == 1
    assert next(iterator).key == "a/c"
    assert len(driver.calls) == 2
    assert [item.key for item in next(pages).items] == ["a", "a/b"]
    assert len(driver.calls) == 3


def test_a_listing_can_be_iterated_again(opened: Opener):
    _, bucket = made(opened)
    listing = bucket.list()
    assert [item.key for item in listing] == KEYS
    bucket.delete("a")
    assert [item.key for item in listing] == KEYS[1:]


def test_the_arguments_are_checked_at_once(inline: Opener):
    driver, bucket = made(inline)
    for call, error in (
        (lambda: bucket.list(page_size=0), InvalidRequestError),
        (lambda: bucket.list(page_size=-5), InvalidRequestError),
        (lambda: bucket.list(b"a"), InvalidKeyError),  # type: ignore[arg-type]
        (lambda: bucket.list(delimiter="\ud800"), InvalidKeyError),
        (lambda: bucket.list(start_after=None), InvalidKeyError),  # type: ignore[arg-type]
        (lambda: bucket.list_uploads(page_size=0), InvalidRequestError),
        (lambda: bucket.list_uploads(5), InvalidKeyError),  # type: ignore[arg-type]
        (lambda: bucket.storage.list_buckets(prefix=None), InvalidKeyError),  # type: ignore[arg-type]
    ):
        with pytest.raises(error):
            call()
    assert driver.calls == []


def test_page_sizes_are_within_what_the_service_does(inline: Opener):
    driver, bucket = made(inline, Scripted(max_page_size=3))
    list(bucket.list())
    list(bucket.list(page_size=100))
    list(bucket.list(page_size=2))
    assert [request.limit for request in driver.requests("list_page")] == [3, 3, 3, 3, 2, 2, 2]


def test_a_token_is_good_in_another_storage(opened: Opener):
    driver, bucket = made(opened)
    (first, *_), (second, *_) = (bucket.list("a", page_size=size).pages() for size in (2, 1))
    assert [item.key for item in first.items] == ["a", "a/b"]
    assert first.next_token
    assert isinstance(first.next_token, str)
    twin = Scripted()
    twin._state = driver._state
    there = opened(twin).bucket("fruit")
    rest = list(there.list("a").pages(first.next_token))
    assert [item.key for page in rest for item in page.items] == ["a/c"]
    assert rest[-1].next_token is None
    # A token holds the place, whatever became of the key it was made at.
    bucket.delete("a")
    rest = list(there.list("a").pages(second.next_token))
    assert [item.key for page in rest for item in page.items] == ["a/b", "a/c"]


def test_a_token_of_nobody(opened: Opener):
    _, bucket = made(opened)
    with pytest.raises(InvalidRequestError, match="page token"):
        next(iter(bucket.list().pages("x")))


class Sparse(Scripted):
    """Pages with fewer items than asked for, and with none."""

    async def list_page(self, request: Any) -> Any:
        self.calls.append(("list_page", request))
        number = int(request.token or "0")
        items = [] if number % 2 else [await self._item(number // 2)]
        return Page(items, str(number + 1) if number < 6 else None)

    async def _item(self, number: int) -> Any:
        return self._state.bucket("fruit").find(KEYS[number]).info


def test_empty_pages_do_not_end_a_listing(opened: Opener):
    _driver, bucket = made(opened, Sparse())
    assert [item.key for item in bucket.list()] == KEYS[:4]
    assert [len(page.items) for page in bucket.list().pages()] == [1, 0, 1, 0, 1, 0, 1]


def test_a_page_that_failed_is_asked_for_again(opened: Opener):
    driver, bucket = made(opened)
    driver.script["list_page"] = [None, UnavailableError("down")]
    assert [item.key for item in bucket.list(page_size=2)] == KEYS
    tokens = [request.token for request in driver.requests("list_page")]
    assert len(tokens) == 4
    assert tokens[1] == tokens[2]


def test_a_missing_bucket_shows_at_the_first_item(opened: Opener):
    storage = opened()
    listing = storage.bucket("none").list()
    with pytest.raises(BucketNotFoundError, match="list none"):
        next(iter(listing))


def test_prefixes_and_start(opened: Opener):
    _, bucket = made(opened)
    found = [(item.key, item.is_prefix) for item in bucket.list(delimiter="/")]
    assert found == [("a", False), ("a/", True), ("b", False), ("é", False)]
    assert [item.key for item in bucket.list("a/", delimiter="/")] == ["a/b", "a/c"]
    assert [item.key for item in bucket.list(start_after="a/b")] == ["a/c", "b", "é"]
    assert list(bucket.list("nothing")) == []


def test_buckets(opened: Opener):
    storage = opened()
    for name in ("pear", "apple", "peach"):
        storage.create_bucket(name)
    assert [info.name for info in storage.list_buckets()] == ["apple", "peach", "pear"]
    assert [info.name for info in storage.list_buckets(prefix="pea")] == ["peach", "pear"]
    assert all(info.created is not None for info in storage.list_buckets())


def test_versions(opened: Opener):
    bucket = opened(Scripted(versions=True)).create_bucket("fruit")
    first = bucket.put("a", b"1").version
    second = bucket.put("a", b"22").version
    marker = bucket.delete("a")
    assert marker.delete_marker
    found = [(one.version, one.size, one.is_latest, one.is_delete_marker)
             for one in bucket.list_versions(page_size=1)]  # fmt: skip
    assert found == [
        (marker.version, 0, True, True),
        (second, 2, False, False),
        (first, 1, False, False),
    ]


def test_a_bucket_is_emptied_to_its_last_version_and_session(opened: Opener):
    driver = Scripted(versions=True, max_page_size=2)
    storage = opened(driver)
    bucket = storage.create_bucket("fruit")
    for key in "abc":
        bucket.put(key, b"1")
        bucket.put(key, b"2")
    bucket.delete("a")
    uploads = [bucket.create_upload("a") for _ in range(3)]
    driver.script["abort_upload"] = [UnavailableError("down")]
    storage.delete_bucket("fruit", force=True)
    assert not storage.bucket_exists("fruit")
    with pytest.raises(BucketNotFoundError):
        storage.delete_bucket("fruit", force=True)
    with pytest.raises(BucketNotFoundError):
        uploads[0].put_part(1, b"x")
