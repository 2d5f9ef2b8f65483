"""F: a listing in pages."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage_conformance.cases import case, unsupported
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import in_order, keys_of
from storage_conformance.profiles import ProfileSpec
from storage_conformance.suite.f_list import ORDERED, fill
from storage_core import Bucket, InvalidRequestError, Storage
from storage_core.model import Capabilities

KEYS = ("a", "a/1", "a/2", "b", "c/1", "c/2", "d", "e", "f", "\u00e9", "\U0001f34e")


def paged(bucket: Bucket, page_size: int, delimiter: str = "") -> list[str]:
    """Keys of all pages, each asked for by the token of the one before."""
    keys: list[str] = []
    token: str | None = None
    while True:
        page = next(iter(bucket.list(delimiter=delimiter, page_size=page_size).pages(token)))
        assert len(page.items) <= page_size, f"{len(page.items)} items in a page of {page_size}"
        keys += [item.key for item in page.items]
        token = page.next_token
        if token is None:
            return keys


def rest(bucket: Bucket, token: str | None, page_size: int) -> list[str]:
    """Keys of the pages behind a token."""
    assert token is not None, "the listing ended too early"
    pages = bucket.list(page_size=page_size).pages(token)
    return [item.key for page in pages for item in page.items]


def many(bucket: Bucket, count: int) -> list[str]:
    """Create that many objects, several at a time; their keys in order."""
    keys = [f"{number % 7}/{number:05}" for number in range(count)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: bucket.put(key, b""), keys))
    return in_order(keys)


class Pages(Suite):
    """List by pages."""

    @case("F40", "pages of one item are the whole listing", clause="Listing")
    def test_f40_one(self, bucket: Bucket) -> None:
        fill(bucket, *KEYS)
        assert in_order(paged(bucket, 1)) == in_order(KEYS)

    @case("F41", "pages of two items are the whole listing", clause="Listing")
    def test_f41_two(self, bucket: Bucket) -> None:
        fill(bucket, *KEYS)
        assert in_order(paged(bucket, 2)) == in_order(KEYS)

    @case("F42", "pages of three items are the whole listing", clause="Listing")
    def test_f42_three(self, bucket: Bucket) -> None:
        fill(bucket, *KEYS)
        assert in_order(paged(bucket, 3)) == in_order(KEYS)

    @case("F43", "a page as large as the listing is the whole listing", clause="Listing")
    def test_f43_all(self, bucket: Bucket) -> None:
        fill(bucket, *KEYS)
        for page_size in (len(KEYS) - 1, len(KEYS), len(KEYS) + 1):
            assert in_order(paged(bucket, page_size)) == in_order(KEYS), page_size

    @case("F44", "groups and objects page together, each once", clause="Listing")
    def test_f44_groups(self, bucket: Bucket) -> None:
        fill(bucket, *KEYS)
        wanted = in_order({"a", "a/", "b", "c/", "d", "e", "f", "\u00e9", "\U0001f34e"})
        for page_size in (1, 2, 3, 50):
            assert in_order(paged(bucket, page_size, "/")) == wanted, page_size

    @case("F45", "keys ascend across pages", clause="Listing", needs=ORDERED)
    def test_f45_order(self, bucket: Bucket) -> None:
        fill(bucket, *reversed(KEYS))
        for page_size in (1, 2, 3, 4):
            assert paged(bucket, page_size) == in_order(KEYS)
        assert paged(bucket, 2, "/") == in_order(set(paged(bucket, 50, "/")))

    @case("F46", "an insert between pages moves no other key", clause="Listing")
    def test_f46_insert(self, bucket: Bucket) -> None:
        keys = [f"key-{number:02}" for number in range(10)]
        fill(bucket, *keys)
        page = next(iter(bucket.list(page_size=4).pages()))
        fill(bucket, "a-first", "key-00x", "key-03x", "key-07x", "z-last")
        found = [item.key for item in page.items] + rest(bucket, page.next_token, 4)
        assert len(found) == len(set(found)), f"listed twice: {found}"
        assert set(keys) <= set(found), f"skipped: {set(keys) - set(found)}"

    @case("F47", "a delete between pages moves no other key", clause="Listing")
    def test_f47_delete(self, bucket: Bucket) -> None:
        keys = [f"key-{number:02}" for number in range(10)]
        fill(bucket, *keys)
        page = next(iter(bucket.list(page_size=4).pages()))
        seen = [item.key for item in page.items]
        unseen = [key for key in keys if key not in seen]
        gone = {seen[0], seen[-1], unseen[0], unseen[3]}
        for key in gone:
            bucket.delete(key)
        found = rest(bucket, page.next_token, 4)
        assert sorted(found) == sorted(set(unseen) - gone)

    @case("F48", "a listing goes on when all it showed is deleted", clause="Listing")
    def test_f48_delete_as_listed(self, bucket: Bucket) -> None:
        keys = [f"key-{number:02}" for number in range(11)]
        fill(bucket, *keys)
        found = []
        for page in bucket.list(page_size=2).pages():
            for item in page.items:
                found.append(item.key)
                bucket.delete(item.key)
        assert sorted(found) == keys
        assert list(bucket.list()) == []

    @case("F49", "a page token is good in another opening of the profile", clause="Listing")
    def test_f49_token_elsewhere(self, bucket: Bucket, opener: Callable[..., Storage]) -> None:
        fill(bucket, *KEYS)
        page = next(iter(bucket.list(page_size=4).pages()))
        other = opener()
        if not other.bucket_exists(bucket.name):
            unsupported("the profile's objects are not shared between two openings")
        first = [item.key for item in page.items]
        found = first + rest(other.bucket(bucket.name), page.next_token, 3)
        assert in_order(found) == in_order(KEYS)

    @case("F50", "a page token is a text, good for the blocking face as well", clause="Listing")
    def test_f50_token_text(self, bucket: Bucket, profile_spec: ProfileSpec) -> None:
        fill(bucket, *KEYS)
        page = next(iter(bucket.list(page_size=4).pages()))
        assert isinstance(page.next_token, str)
        with profile_spec.open() as other:
            if not other.bucket_exists(bucket.name):
                unsupported("the profile's objects are not shared between two openings")
            found = rest(other.bucket(bucket.name), page.next_token, 3)
        assert len(found) == len(KEYS) - len(page.items)

    @case("F51", "more than a thousand keys are listed", clause="Listing")
    def test_f51_thousand(self, bucket: Bucket, capabilities: Capabilities) -> None:
        keys = many(bucket, 1001)
        found = keys_of(bucket.list())
        assert len(found) == 1001
        assert (found if capabilities.ordered_listing else in_order(found)) == keys
        groups = sorted(item.key for item in bucket.list(delimiter="/"))
        assert groups == [f"{number}/" for number in range(7)]

    @case("F52", "more than five thousand keys are listed", clause="Listing")
    def test_f52_thousands(self, bucket: Bucket, capabilities: Capabilities) -> None:
        keys = many(bucket, 5003)
        found = keys_of(bucket.list())
        assert (found if capabilities.ordered_listing else in_order(found)) == keys
        wanted = [key for key in keys if key.startswith("3/")]
        assert in_order(keys_of(bucket.list("3/", page_size=100))) == wanted

    @case("F53", "a page size over the service's limit is cut to it", clause="Listing")
    def test_f53_huge_page(self, bucket: Bucket, capabilities: Capabilities) -> None:
        fill(bucket, *KEYS)
        assert in_order(paged(bucket, capabilities.max_page_size * 10)) == in_order(KEYS)

    @case("F54", "a page size below one is refused", clause="Listing")
    def test_f54_no_page(self, bucket: Bucket) -> None:
        for page_size in (0, -1):
            with pytest.raises(InvalidRequestError):
                list(bucket.list(page_size=page_size))
