"""Deletes in batches: one result for each key, whatever becomes of the others."""

from __future__ import annotations

from typing import Any

import pytest

from storage_core import Bucket, RetryPolicy
from storage_core.errors import (
    BucketNotFoundError,
    InvalidRequestError,
    UnavailableError,
)
from tests.core.conftest import Opener
from tests.core.drivers import Scripted


def down() -> UnavailableError:
    return UnavailableError("the service is down", status=503)


def made(inline: Opener, driver: Scripted | None = None, **options: Any) -> tuple[Scripted, Bucket]:
    driver = driver or Scripted()
    bucket = inline(driver, **options).create_bucket("fruit")
    driver.calls.clear()
    return driver, bucket


def stored(driver: Scripted, key: str) -> bytes:
    return driver._state.bucket("fruit").find(key).data


@pytest.mark.parametrize("limit", [1, 2])
def test_a_batch_that_fails_hides_no_other(inline: Opener, limit: int):
    method = "delete" if limit == 1 else "delete_many"
    driver, bucket = made(inline, Scripted(delete_many_limit=limit), retry=RetryPolicy(attempts=1))
    for key in "abcdef":
        bucket.put(key, b"")
    driver.script[method] = [None, down()]
    results = bucket.delete_many("abcdef"[n] for n in range(6))
    assert [result.key for result in results] == list("abcdef")
    failed = [result.key for result in results if result.error]
    assert failed == list("abcdef")[limit : 2 * limit]
    assert [item.key for item in bucket.list()] == failed
    for result in results:
        if result.error:
            assert isinstance(result.error, UnavailableError)
            assert (result.error.bucket, result.error.key) == ("fruit", result.key)
            assert result.error.operation == "delete_many"


@pytest.mark.parametrize("limit", [1, 1000])
def test_a_missing_bucket_is_no_partial_failure(inline: Opener, limit: int):
    storage = inline(Scripted(delete_many_limit=limit))
    with pytest.raises(BucketNotFoundError):
        storage.bucket("none").delete_many(["a", "b"])


@pytest.mark.parametrize(
    ("keys", "says"),
    [("a/b", "not one key"), (b"a", "not one key"), ([1], "not a key or a pair"),
     ([("a", None, 3)], "not a key or a pair"), ([b"abc"], "not a key or a pair"),
     ([("a",)], "not a key or a pair"), ([""], "empty"), ([(b"a", None)], "not bytes")],
)  # fmt: skip
def test_what_can_not_be_deleted(inline: Opener, keys, says: str):
    driver, bucket = made(inline)
    with pytest.raises(InvalidRequestError, match=says):
        bucket.delete_many(keys)
    assert driver.calls == []
