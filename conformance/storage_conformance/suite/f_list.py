"""F: what a listing holds."""

from __future__ import annotations

import pytest

from storage_conformance.cases import Need, case
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import in_order, keys_of, listed
from storage_conformance.needs import MULTIPART
from storage_conformance.watch import no_requests, requests
from storage_core import Bucket, InvalidKeyError, Storage
from storage_core.model import Capabilities

ORDERED = Need(
    "ordered listing", lambda c: c.ordered_listing, lambda b: list(b.list(start_after="a"))
)

# In the order of their UTF-8 bytes. UTF-16 would put the emoji before the full-width letter,
# and a folded order the capitals among the others.
ORDER = (
    "!", "-", "0", "10", "2", "A", "Z", "_", "a", "a!", "a-b", "a.b", "a/", "a//", "a/b", "a0",
    "aa", "b", "z", "~", "\u00e9", "\u6f22", "\uff21", "\U0001f34e",
)  # fmt: skip


def fill(bucket: Bucket, *keys: str) -> None:
    """Create empty objects."""
    for key in keys:
        bucket.put(key, b"")


def told(bucket: Bucket, capabilities: Capabilities, prefix: str, delimiter: str) -> list[str]:
    """Keys and groups of a listing, groups marked by ``>``."""
    found = [
        f">{item.key}" if item.is_prefix else item.key
        for item in bucket.list(prefix, delimiter=delimiter)
    ]
    if capabilities.ordered_listing:
        return found
    return sorted(found, key=lambda text: text.removeprefix(">").encode())


class Listing(Suite):
    """List."""

    @case("F01", "an empty bucket lists nothing", clause="Listing")
    def test_f01_empty(self, bucket: Bucket) -> None:
        assert list(bucket.list()) == []
        assert list(bucket.list("prefix", delimiter="/")) == []
        (page,) = bucket.list().pages()
        assert (list(page.items), page.next_token) == ([], None)

    @case("F02", "every object is listed once", clause="Listing")
    def test_f02_all(self, bucket: Bucket, capabilities: Capabilities) -> None:
        fill(bucket, *reversed(ORDER))
        assert listed(bucket, capabilities) == list(ORDER)

    @case("F03", "keys ascend by their UTF-8 bytes", clause="Listing", needs=ORDERED)
    def test_f03_order(self, bucket: Bucket) -> None:
        fill(bucket, *ORDER[::2], *reversed(ORDER[1::2]))
        assert keys_of(bucket.list()) == list(ORDER) == in_order(ORDER)

    @case("F04", "a listing sees every write before it", clause="Listing")
    def test_f04_after_write(self, bucket: Bucket, capabilities: Capabilities) -> None:
        present: set[str] = set()
        for key in ("b", "a", "a/b", "c"):
            bucket.put(key, b"")
            present.add(key)
            assert listed(bucket, capabilities) == in_order(present)
        for key in ("a", "c"):
            bucket.delete(key)
            present.remove(key)
            assert listed(bucket, capabilities) == in_order(present)

    @case("F05", "a listed object tells size, etag and time, and nothing faked", clause="Listing")
    def test_f05_summary(self, bucket: Bucket) -> None:
        result = bucket.put("key", b"bytes", content_type="text/plain", metadata={"a": "1"})
        (item,) = bucket.list()
        assert not item.is_prefix
        assert (item.key, item.size) == ("key", 5)
        assert item.etag in {result.etag, None}
        assert item.modified.tzinfo is not None
        assert not hasattr(item, "metadata")
        assert not hasattr(item, "content_type")

    @case("F06", "a prefix is a plain string", clause="Listing")
    def test_f06_prefix(self, bucket: Bucket, capabilities: Capabilities) -> None:
        fill(bucket, "a", "a/b", "ab", "abc", "b", "ba", "A")
        for prefix, keys in (
            ("a", ["a", "a/b", "ab", "abc"]),
            ("ab", ["ab", "abc"]),
            ("a/", ["a/b"]),
            ("abc", ["abc"]),
            ("b", ["b", "ba"]),
        ):
            assert listed(bucket, capabilities, prefix) == keys, prefix

    @case("F07", "a prefix that no key has lists nothing", clause="Listing")
    def test_f07_unknown_prefix(self, bucket: Bucket) -> None:
        fill(bucket, "a", "a/b")
        for prefix in ("c", "a/b/", "a/bc", "/", "B", "a/b\u0301"):
            assert list(bucket.list(prefix)) == [], prefix
            assert list(bucket.list(prefix, delimiter="/")) == [], prefix

    @case("F08", "no character of a prefix is a pattern or an escape", clause="Listing")
    def test_f08_plain_prefix(self, bucket: Bucket, capabilities: Capabilities) -> None:
        keys = [
            "%20", "*", "+", "?", "[a]", "\\", "a b", "a%2Fb", "a+b", "a/b", "a\u00e9", "ae\u0301",
            "&x", "=x", "#x", '"x"', "<x>", ".x", "..x", "_x", "%x",
        ]  # fmt: skip
        fill(bucket, *keys)
        for prefix in keys:
            assert listed(bucket, capabilities, prefix) == [prefix], prefix
        assert listed(bucket, capabilities, "a%") == ["a%2Fb"]

    @case("F09", "a delimiter groups what lies behind it", clause="Listing")
    def test_f09_delimiter(self, bucket: Bucket, capabilities: Capabilities) -> None:
        fill(bucket, "a", "a/1", "a/2/3", "b/1", "c", "c0")
        assert told(bucket, capabilities, "", "/") == ["a", ">a/", ">b/", "c", "c0"]
        assert told(bucket, capabilities, "a", "/") == ["a", ">a/"]
        assert told(bucket, capabilities, "a/", "/") == ["a/1", ">a/2/"]
        assert told(bucket, capabilities, "a/2", "/") == [">a/2/"]
        assert told(bucket, capabilities, "a/2/", "/") == ["a/2/3"]

    @case("F10", "a backslash is a delimiter like any other", clause="Listing")
    def test_f10_backslash(self, bucket: Bucket, capabilities: Capabilities) -> None:
        fill(bucket, "a/1", "a\\1", "a\\2", "b")
        assert told(bucket, capabilities, "", "\\") == ["a/1", ">a\\", "b"]
        assert told(bucket, capabilities, "a\\", "\\") == ["a\\1", "a\\2"]
        assert told(bucket, capabilities, "", "/") == [">a/", "a\\1", "a\\2", "b"]

    @case("F11", "a delimiter can have several characters", clause="Listing")
    def test_f11_long_delimiter(self, bucket: Bucket, capabilities: Capabilities) -> None:
        fill(bucket, "1abc2", "1abc3", "1ab", "abc", "xabcabcx", "yab", "yabd")
        assert told(bucket, capabilities, "", "abc") == [
            "1ab", ">1abc", ">abc", ">xabc", "yab", "yabd",
        ]  # fmt: skip
        assert told(bucket, capabilities, "xabc", "abc") == [">xabcabc"]

    @case("F12", "a delimiter can be outside ASCII", clause="Listing")
    def test_f12_unicode_delimiter(self, bucket: Bucket, capabilities: Capabilities) -> None:
        fill(bucket, "a→b", "a→c", "a➔d")
        assert told(bucket, capabilities, "", "→") == [">a→", "a➔d"]

    @case("F13", "characters that sort before the delimiter do not split a group", clause="Listing")
    def test_f13_before_delimiter(self, bucket: Bucket, capabilities: Capabilities) -> None:
        fill(bucket, "a", "a b", "a!b", "a-b", "a.b/c", "a/1", "a/2", "a0", "a/3")
        assert told(bucket, capabilities, "", "/") == [
            "a", "a b", "a!b", "a-b", ">a.b/", ">a/", "a0",
        ]  # fmt: skip

    @case("F14", "the key that equals the prefix is an object", clause="Listing")
    def test_f14_prefix_itself(self, bucket: Bucket, capabilities: Capabilities) -> None:
        fill(bucket, "a/", "a/1", "a//", "b/")
        assert told(bucket, capabilities, "a/", "/") == ["a/", ">a//", "a/1"]
        assert told(bucket, capabilities, "", "/") == [">a/", ">b/"]

    @case("F15", "empty segments are grouped like others", clause="Listing")
    def test_f15_empty_segments(self, bucket: Bucket, capabilities: Capabilities) -> None:
        fill(bucket, "/", "//", "/a", "a//b", "a/b")
        assert told(bucket, capabilities, "", "/") == [">/", ">a/"]
        assert told(bucket, capabilities, "/", "/") == ["/", ">//", "/a"]
        assert told(bucket, capabilities, "a/", "/") == [">a//", "a/b"]

    @case("F16", "a group appears once however many keys it has", clause="Listing")
    def test_f16_large_group(self, bucket: Bucket, capabilities: Capabilities) -> None:
        fill(bucket, *(f"a/{number}" for number in range(60)), "b")
        found = list(bucket.list(delimiter="/", page_size=5))
        assert sorted(item.key for item in found) == ["a/", "b"]
        assert told(bucket, capabilities, "", "/") == [">a/", "b"]

    @case("F17", "groups tell that they are prefixes", clause="Listing")
    def test_f17_is_prefix(self, bucket: Bucket) -> None:
        fill(bucket, "a/1", "b")
        found = {item.key: item.is_prefix for item in bucket.list(delimiter="/")}
        assert found == {"a/": True, "b": False}

    @case("F18", "start_after is exclusive", clause="Listing", needs=ORDERED)
    def test_f18_start_after(self, bucket: Bucket) -> None:
        fill(bucket, *ORDER)
        for index, key in enumerate(ORDER):
            assert keys_of(bucket.list(start_after=key)) == list(ORDER[index + 1 :]), key

    @case("F19", "start_after need not be a key", clause="Listing", needs=ORDERED)
    def test_f19_start_between(self, bucket: Bucket) -> None:
        fill(bucket, "b", "d", "d/x")
        for start, keys in (
            ("a", ["b", "d", "d/x"]),
            ("bb", ["d", "d/x"]),
            ("c", ["d", "d/x"]),
            ("d!", ["d/x"]),
            ("d/x", []),
            ("e", []),
            ("\U0010ffff", []),
        ):
            assert keys_of(bucket.list(start_after=start)) == keys, start

    @case("F20", "start_after and prefix hold together", clause="Listing", needs=ORDERED)
    def test_f20_start_in_prefix(self, bucket: Bucket) -> None:
        fill(bucket, "a/1", "a/2", "a/3", "b/1", "c/1")
        for start, keys in (
            ("a/1", ["b/1"]),
            ("a", ["b/1"]),
            ("b/", ["b/1"]),
            ("b/1", []),
            ("c", []),
        ):
            assert keys_of(bucket.list("b/", start_after=start)) == keys, start
        assert keys_of(bucket.list("a/", start_after="a/1")) == ["a/2", "a/3"]

    @case("F21", "start_after and delimiter hold together", clause="Listing", needs=ORDERED)
    def test_f21_start_groups(self, bucket: Bucket) -> None:
        fill(bucket, "a/1", "b", "c/1", "c/2", "d")
        for start, keys in (("b", ["c/", "d"]), ("a0", ["b", "c/", "d"]), ("c0", ["d"])):
            assert keys_of(bucket.list(delimiter="/", start_after=start)) == keys, start

    @case("F22", "a listing sends nothing before it is read", clause="Listing")
    def test_f22_lazy(self, storage: Storage, bucket: Bucket) -> None:
        with no_requests(storage):
            bucket.list("a", delimiter="/", page_size=1)
            bucket.list().pages()

    @case("F23", "a listing asks for a page only when it is wanted", clause="Listing")
    def test_f23_page_by_page(self, storage: Storage, bucket: Bucket) -> None:
        fill(bucket, *(f"key-{number}" for number in range(9)))
        with requests(storage) as sent:
            items = iter(bucket.list(page_size=3))
            for _ in range(3):
                next(items)
            first = len(sent)
            rest = [item.key for item in items]
        assert first >= 1
        assert len(sent) > first, "the first page brought all"
        assert len(rest) == 6

    @case("F24", "a listing can be read again", clause="Listing")
    def test_f24_again(self, bucket: Bucket) -> None:
        fill(bucket, "a", "b")
        listing = bucket.list()
        assert sorted(keys_of(listing)) == ["a", "b"]
        fill(bucket, "c")
        assert sorted(keys_of(listing)) == ["a", "b", "c"]

    @case("F25", "open sessions are not listed as objects", clause="Multipart", needs=MULTIPART)
    def test_f25_sessions(self, bucket: Bucket) -> None:
        upload = bucket.create_upload("key")
        upload.put_part(1, b"bytes")
        fill(bucket, "other")
        assert keys_of(bucket.list()) == ["other"]
        assert keys_of(bucket.list("key")) == []
        assert keys_of(bucket.list(delimiter="/")) == ["other"]

    @case("F26", "texts without a UTF-8 form are refused before I/O", clause="Listing")
    def test_f26_surrogates(self, storage: Storage, bucket: Bucket) -> None:
        with no_requests(storage):
            with pytest.raises(InvalidKeyError):
                list(bucket.list("a\ud800"))
            with pytest.raises(InvalidKeyError):
                list(bucket.list(delimiter="\udfff"))
            with pytest.raises(InvalidKeyError):
                list(bucket.list(7))  # type: ignore[arg-type]
