"""The driver on a real SFTP server; tests/soak runs the whole suite there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import storage_core
from storage_core import Storage
from tests.fsspec.sftp_server import serving


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with serving(tmp_path_factory.mktemp("sftp")) as profile:
        yield profile


@pytest.fixture
def storage(profile: dict[str, Any]) -> Iterator[Storage]:
    with storage_core.open(config=profile) as storage:
        yield storage


def test_an_object_there_and_back(storage: Storage):
    bucket = storage.create_bucket("fruit")
    for key in ("a/b.txt", "a//b?c%/ü", "a"):
        bucket.put(key, b"red", content_type="text/plain", metadata={"year": "2012"})
        info = bucket.head(key)
        assert (info.content_type, dict(info.metadata)) == ("text/plain", {"year": "2012"})
        with bucket.get(key, range=(1, None)) as reader:
            assert reader.read() == b"ed"
    bucket.put("a", b"green" * 500_000)
    with bucket.get("a") as reader:
        assert reader.read() == b"green" * 500_000
    assert [item.key for item in bucket.list()] == ["a", "a//b?c%/ü", "a/b.txt"]
    storage.delete_bucket("fruit", force=True)


def test_threads_share_the_connection(storage: Storage):
    bucket = storage.create_bucket("threads")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: bucket.put(f"key/{number}", b"%d" % number), range(40)))
    assert len(list(bucket.list())) == 40
    storage.delete_bucket("threads", force=True)


def test_a_wrong_password_is_told(profile: dict[str, Any]):
    wrong = {**profile, "secrets": {"password": "guessed"}}
    with pytest.raises(storage_core.StorageError) as caught:
        storage_core.open(config=wrong)
    assert "guessed" not in str(caught.value)
    assert isinstance(caught.value, storage_core.AuthenticationError), repr(caught.value)
