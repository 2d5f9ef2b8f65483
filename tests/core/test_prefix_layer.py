"""The prefix layer: what goes in gets the prefixes, what comes out has lost them."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import storage_core
from storage_conformance.memory import MemoryDriver
from storage_conformance.memory_settings import MemorySettings
from storage_core import Bucket, LinkSettings
from storage_core.errors import (
    BucketNotEmptyError,
    BucketNotFoundError,
    InvalidBucketNameError,
    KeyTooLongError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageError,
    UploadNotFoundError,
)
from storage_core.layers.prefix import PrefixLayer
from tests.core.conftest import Opener, open_on
from tests.core.drivers import Scripted, Streamed

PREFIX, BUCKET_PREFIX = "tenant/é/", "acme-"


def layered(**named: Any) -> tuple[Scripted, PrefixLayer]:
    inner = named.pop("inner", None) or Streamed(**named)
    return inner, PrefixLayer(inner, PREFIX, BUCKET_PREFIX)


@pytest.fixture
def pair(opened: Opener) -> tuple[Bucket, Bucket]:
    """The same bucket through the layer, and as it is."""
    inner, layer = layered()
    bucket = opened(layer).create_bucket("fruit")
    bare = Streamed()
    bare._state = inner._state
    return bucket, opened(bare).bucket("acme-fruit")


def content(bucket: Bucket, key: str) -> bytes:
    with bucket.get(key) as reader:
        assert reader.info.key == key
        return reader.read()


def test_objects(pair: tuple[Bucket, Bucket]):
    bucket, inside = pair
    assert bucket.put("a/b", b"x" * 3000, metadata={"a": "1"}, tags={"t": "1"}).key == "a/b"
    assert content(bucket, "a/b") == b"x" * 3000
    assert content(inside, PREFIX + "a/b") == b"x" * 3000
    assert bucket.head("a/b").key == "a/b"
    assert bucket.get_tags("a/b") == {"t": "1"}
    bucket.put_tags("a/b", {"t": "2"})
    assert inside.get_tags(PREFIX + "a/b") == {"t": "2"}
    assert bucket.copy("a/b", "c").key == "c"
    assert bucket.move("c", "d").key == "d"
    assert bucket.update_metadata("d", content_type="text/csv").key == "d"
    assert inside.head(PREFIX + "d").content_type == "text/csv"
    assert bucket.delete("a/b").key == "a/b"
    assert [one.key for one in bucket.delete_many(["d", "e"])] == ["d", "e"]
    assert list(inside.list()) == []


def test_what_lies_beside_the_prefix_is_not_seen(pair: tuple[Bucket, Bucket]):
    bucket, inside = pair
    for key in ("a", "tenant/", "tenant/z", PREFIX[:-1], PREFIX + "mine", "z"):
        inside.put(key, b"x")
    assert [item.key for item in bucket.list()] == ["mine"]
    assert not bucket.exists("a")
    with pytest.raises(BucketNotEmptyError):
        bucket.storage.delete_bucket("fruit")


def test_listings(pair: tuple[Bucket, Bucket]):
    bucket, inside = pair
    for key in ("a", "b/1", "b/2", "c", "é"):
        bucket.put(key, b"x")
    inside.put("0", b"beside")
    inside.put("z", b"beside")
    found = [(item.key, item.is_prefix) for item in bucket.list(delimiter="/", page_size=1)]
    assert found == [("a", False), ("b/", True), ("c", False), ("é", False)]
    assert [item.key for item in bucket.list("b/", delimiter="/")] == ["b/1", "b/2"]
    assert [item.key for item in bucket.list(start_after="b/1", page_size=2)] == ["b/2", "c", "é"]
    assert [item.key for item in bucket.list(start_after="b/", delimiter="/")] == ["c", "é"]
    assert list(bucket.list(start_after="é")) == []
    (first, *_) = bucket.list(page_size=2).pages()
    rest = [item.key for page in bucket.list().pages(first.next_token) for item in page.items]
    assert rest == ["b/2", "c", "é"]


@given(
    st.sets(st.text(st.sampled_from("ab/"), min_size=1, max_size=4), max_size=12),
    st.text(st.sampled_from("ab/"), max_size=2),
    st.sampled_from(["", "/", "ab", "b"]),
    st.text(st.sampled_from("ab/"), max_size=3),
    st.integers(1, 4),
)
def test_listings_are_those_of_a_bucket_of_its_own(
    keys: set[str], prefix: str, delimiter: str, start_after: str, size: int
):
    listed = []
    for driver in (
        MemoryDriver(MemorySettings()),
        layered(inner=MemoryDriver(MemorySettings()))[1],
    ):
        with storage_core.open_driver(driver) as storage:
            bucket = storage.create_bucket("fruit")
            for key in keys:
                bucket.put(key, b"")
            found = bucket.list(
                prefix, delimiter=delimiter, start_after=start_after, page_size=size
            )
            listed.append([(item.key, item.is_prefix) for item in found])
    assert listed[0] == listed[1]


def test_versions(opened: Opener):
    _, layer = layered(versions=True)
    bucket = opened(layer).create_bucket("fruit")
    first = bucket.put("a", b"1").version
    bucket.put("a", b"2")
    assert {one.key for one in bucket.list_versions()} == {"a"}
    assert bucket.head("a", version=first).key == "a"
    bucket.copy("a", "a", version=first)
    assert content(bucket, "a") == b"1"
    assert bucket.delete_many([("a", first)])[0].key == "a"


def test_sessions(pair: tuple[Bucket, Bucket]):
    bucket, inside = pair
    bucket.put("source", b"0123")
    upload = bucket.create_upload("a")
    assert bucket.resume_upload(upload.id).key == "a"
    assert [(one.key, one.id) for one in bucket.list_uploads()] == [("a", upload.id)]
    upload.put_part(1, b"x")
    upload.copy_part(2, "source", range=(1, 3))
    assert [part.number for part in upload.list_parts()] == [1, 2]
    assert upload.complete().key == "a"
    assert content(inside, PREFIX + "a") == b"x12"
    upload = bucket.create_upload("b")
    upload.abort()
    with pytest.raises(UploadNotFoundError):
        upload.abort()


def test_buckets(pair: tuple[Bucket, Bucket]):
    bucket, inside = pair
    storage = bucket.storage
    inside.storage.create_bucket("other")
    storage.create_bucket("pear")
    assert [info.name for info in storage.list_buckets()] == ["fruit", "pear"]
    assert [info.name for info in storage.list_buckets(prefix="p")] == ["pear"]
    assert bucket.info().name == "fruit"
    assert not storage.bucket_exists("other")
    storage.delete_bucket("pear")
    assert [info.name for info in inside.storage.list_buckets()] == ["acme-fruit", "other"]


def test_a_copy_into_another_bucket(pair: tuple[Bucket, Bucket]):
    bucket, _ = pair
    other = bucket.storage.create_bucket("other")
    bucket.put("a", b"x")
    bucket.copy("a", "b", target=getattr(other, "_target", other))
    assert content(other, "b") == b"x"


# --- errors and limits --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "bucket", "key"),
    [
        (lambda s: s.bucket("fruit").head("a"), "fruit", "a"),
        (lambda s: s.bucket("fruit").copy("a", "b"), "fruit", "a"),
        (lambda s: s.bucket("none").head("a"), "none", "a"),
        (lambda s: s.bucket("none").info(), "none", None),
        (lambda s: s.bucket("none").put("a", b""), "none", "a"),
        (lambda s: s.create_bucket("fruit"), "fruit", None),
    ],
)
def test_errors_tell_the_outer_names(opened: Opener, call: Any, bucket: str, key: str | None):
    _, layer = layered()
    storage = opened(layer)
    storage.create_bucket("fruit")
    with pytest.raises(StorageError) as caught:
        call(storage)
    assert (caught.value.bucket, caught.value.key) == (bucket, key)


class Placing(MemoryDriver):
    """Says itself where it failed, by the names it knows."""

    async def head(self, request: Any) -> Any:
        raise PermissionDeniedError("no", bucket=request.bucket, key=request.key)


def test_names_that_the_driver_put_into_an_error_are_taken_back(inline: Opener):
    _, layer = layered(inner=Placing(MemorySettings()))
    with pytest.raises(PermissionDeniedError, match="head fruit/tenant: no"):
        storage_core.open_driver(layer).bucket("fruit").head("tenant")


def test_limits_hold_for_the_whole_name(opened: Opener):
    _, layer = layered()
    storage = opened(layer)
    most = 1024 - len(PREFIX.encode())
    assert storage.capabilities.max_key_bytes == most
    bucket = storage.create_bucket("fruit")
    bucket.put("x" * most, b"")
    for call in (
        lambda key: bucket.put(key, b""),
        bucket.head,
        bucket.delete,
        lambda key: bucket.delete_many([key]),
    ):
        with pytest.raises(KeyTooLongError, match=f"the limit here is {most}"):
            call("x" * (most + 1))
    storage.create_bucket("b" * 58)
    with pytest.raises(InvalidBucketNameError, match="3 to 58"):
        storage.create_bucket("b" * 59)


def test_errors_of_the_backend_are_classified_below():
    class Classifying(Scripted):
        def classify(self, error: Exception) -> StorageError | None:
            return ObjectNotFoundError("x") if isinstance(error, KeyError) else None

    _, layer = layered(inner=Classifying())
    assert isinstance(layer.classify(KeyError()), ObjectNotFoundError)
    assert layer.classify(ValueError()) is None


# --- life ---------------------------------------------------------------------------------


def test_it_is_pickled_with_what_is_inside(inline: Opener):
    _, layer = layered()
    twin = pickle.loads(pickle.dumps(layer))
    assert type(twin) is PrefixLayer
    assert (twin.prefix, twin.bucket_prefix) == (PREFIX, BUCKET_PREFIX)
    assert type(twin.inner) is Streamed
    storage = inline(layer)
    with pickle.loads(pickle.dumps(storage)) as again:
        again.create_bucket("fruit").put("a", b"x")
        bare = Scripted()
        bare._state = again.driver.inner._state
        with open_on("inline", bare, None) as inner:
            assert inner.bucket("acme-fruit").exists(PREFIX + "a")


def test_layers_can_be_stacked(inline: Opener):
    inner = Streamed()
    bucket = inline(PrefixLayer(PrefixLayer(inner, "a/"), "b/", "x-")).create_bucket("fruit")
    bucket.put("c", b"x")
    assert content(bucket, "c") == b"x"
    assert inner._state.bucket("x-fruit").find("a/b/c").data == b"x"
    with pytest.raises(BucketNotFoundError) as caught:
        bucket.storage.bucket("none").info()
    assert caught.value.bucket == "none"


def test_opening_and_closing_go_through(opened: Opener):
    inner, layer = layered()
    storage = opened(layer)
    assert inner.opened == 1
    storage.close()
    assert inner.opened == 0
    assert layer.name == "memory"
    assert layer.describe().startswith(inner.describe())
    other = PrefixLayer(inner, "other/", BUCKET_PREFIX)
    assert layer.describe() != other.describe(), "two profiles of one place are told apart by it"


def test_streams_are_those_of_the_driver(inline: Opener):
    inner, layer = layered()
    bucket = inline(layer).create_bucket("fruit")
    bucket.put("a", bytes(3000))
    assert isinstance(inner, Streamed)
    inner.breaks = [(1500, storage_core.UnavailableError("reset"))]
    assert content(bucket, "a") == bytes(3000)
    assert [stream.closed for stream in inner.streams] == [1, 1]


def test_links_carry_outer_names_and_keys_of_their_own(inline: Opener):
    inner, layer = layered(presign=frozenset(("GET",)))
    links = LinkSettings("https://files.example.org")
    now = datetime(2026, 3, 1, tzinfo=UTC)
    storage = inline(layer, links=links, now=lambda: now)
    link = storage.bucket("fruit").presign("a")
    assert "tenant" not in link.url
    assert "/fruit/a" in link.url
    assert storage.capabilities.presign == frozenset()
    # The same outer name means another object in another tenant's profile.
    other = PrefixLayer(inner, "other/", BUCKET_PREFIX)
    assert layer.link_keys() != other.link_keys() != inner.link_keys()
    assert layer.link_keys() == PrefixLayer(inner, PREFIX, BUCKET_PREFIX).link_keys()
