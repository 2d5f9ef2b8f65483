"""`copy_tree`, inside a storage and between two."""

from __future__ import annotations

from typing import Any

import pytest

from storage_core import (
    InvalidRequestError,
    Outcome,
    TransferIncompleteError,
    TransferOptions,
    UnsupportedError,
)
from tests.core.conftest import scripted
from tests.core.drivers import Before, Scripted
from tests.transfer.downloads import PART, content
from tests.transfer.trees import (
    fill,
    force,
    objects_in,
)

FILES = {"a": b"", "a-b": b"1", "b/a": b"2", "ü/ñ 𝄞": b"odd"}
SMALL_PARTS = TransferOptions(part_size=PART)


@pytest.fixture
def bucket(opened: Any) -> Any:
    return opened().create_bucket("fruit")


def test_copies_inside_a_storage_are_made_by_the_service(bucket: Any):
    fill(bucket, FILES, "x/")
    bucket.put("x/tagged", b"1", content_type="text/plain", metadata={"a": "b"}, tags={"c": "d"})
    report = bucket.copy_tree("x", bucket, "y")
    assert report.transferred == len(FILES) + 1
    assert objects_in(bucket, "y/") == objects_in(bucket, "x/")
    assert bucket.head("y/tagged").metadata == {"a": "b"}
    assert bucket.get_tags("y/tagged") == {"c": "d"}
    assert scripted(bucket).requests("get_tags") == [] or len(FILES) > 0
    assert len(scripted(bucket).requests("copy")) == len(FILES) + 1


@pytest.mark.parametrize("large", [False, True])
def test_copies_between_storages_keep_everything(opened: Any, large: bool):
    bucket, other = opened().create_bucket("fruit"), opened().create_bucket("other")
    data = content(4 * PART) if large else b"1"
    fill(bucket, FILES, "x/")
    bucket.put("x/all", data, content_type="text/plain", metadata={"a": "b"}, tags={"c": "d"})
    told: list[Outcome] = []
    bucket.copy_tree("x", other, "y", options=SMALL_PARTS, on_outcome=told.append)
    assert objects_in(other, "y/") == objects_in(bucket, "x/")
    info = other.head("y/all")
    assert (info.content_type, info.metadata) == ("text/plain", {"a": "b"})
    assert other.get_tags("y/all") == {"c": "d"}
    etags = {item.key[2:]: item.etag for item in bucket.list("x/")}
    assert {found.key: found.etag for found in told} == etags
    assert bool(scripted(other).requests("put_part")) == large
    bucket.copy_tree("x", other, "z", leave_out=("headers", "metadata", "tags"))
    info = other.head("z/all")
    assert (info.content_type, info.metadata) == ("text/plain", {})
    assert other.get_tags("z/all") == {}


def test_a_copy_that_can_not_keep_an_attribute_says_how(opened: Any):
    bucket = opened().create_bucket("fruit")
    other = opened(Scripted(tags=False)).create_bucket("other")
    bucket.put("a", b"1", tags={"c": "d"})
    with pytest.raises(TransferIncompleteError) as failed:
        bucket.copy_tree("", other)
    (failure,) = failed.value.report.failures
    assert isinstance(failure.error, UnsupportedError)
    assert "leave_out" in str(failure.error)
    bucket.copy_tree("", other, leave_out=["tags"])
    assert objects_in(other) == {"a": b"1"}


def test_a_large_object_that_is_replaced_meanwhile_is_not_mixed(opened: Any):
    bucket, other = opened().create_bucket("fruit"), opened().create_bucket("other")
    bucket.put("big", content(4 * PART))

    def replace(_: object) -> None:
        force(bucket, "big", content(4 * PART, 2))

    scripted(bucket).script["get"] = [None, Before(replace)]
    options = TransferOptions(part_size=PART, concurrency=1)
    with pytest.raises(TransferIncompleteError, match="replaced while it was being copied"):
        bucket.copy_tree("", other, options=options)
    assert objects_in(other) == {}
    assert list(other.list_uploads()) == []


def test_overlapping_prefixes_of_one_bucket_are_refused(bucket: Any):
    for one, other in [("", "x"), ("x", ""), ("x", "x"), ("x", "x/y")]:
        with pytest.raises(InvalidRequestError, match="overlap"):
            bucket.copy_tree(one, bucket, other)
    bucket.copy_tree("x", bucket, "xy")
