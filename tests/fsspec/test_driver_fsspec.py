"""What the suite can not see: files of others, damaged files, settings that do not work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import storage_core
from storage_core import (
    Bucket,
    ConfigError,
    IntegrityError,
    ObjectChangedError,
    ObjectNotFoundError,
    Storage,
)
from storage_core.errors import InvalidRequestError
from storage_fsspec import names, trailer


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    settings = {"driver": "fsspec", "protocol": "file", "root": str(tmp_path)}
    with storage_core.open(config=settings) as storage:
        yield storage


@pytest.fixture
def bucket(storage: Storage) -> Bucket:
    return storage.create_bucket("fruit")


def read(bucket: Bucket, key: str) -> bytes:
    with bucket.get(key) as reader:
        return reader.read()


def listed(bucket: Bucket, prefix: str = "", delimiter: str = "") -> list[str]:
    return [item.key for item in bucket.list(prefix, delimiter=delimiter)]


def test_files_of_others_are_objects(tmp_path: Path, storage: Storage):
    (tmp_path / "photos" / "2012").mkdir(parents=True)
    (tmp_path / "photos" / "2012" / "a b[1].jpg").write_bytes(b"picture")
    (tmp_path / "photos" / "empty").mkdir()
    bucket = storage.bucket("photos")
    assert [info.name for info in storage.list_buckets()] == ["photos"]
    assert listed(bucket) == ["2012/a b[1].jpg"]
    assert listed(bucket, delimiter="/") == ["2012/"]
    info = bucket.head("2012/a b[1].jpg")
    assert (info.size, info.content_type, dict(info.checksums)) == (7, None, {})
    assert read(bucket, "2012/a b[1].jpg") == b"picture"
    with bucket.get("2012/a b[1].jpg", range=(2, 5)) as reader:
        assert reader.read() == b"ctu"


def test_an_object_takes_the_place_of_a_file_of_others(tmp_path: Path, bucket: Bucket):
    plain = tmp_path / "fruit" / "a.txt"
    plain.write_bytes(b"theirs")
    bucket.put("a.txt", b"ours", content_type="text/plain")
    assert read(bucket, "a.txt") == b"ours"
    assert listed(bucket) == ["a.txt"]
    assert not plain.exists()
    plain.write_bytes(b"theirs again")
    assert listed(bucket) == ["a.txt"]
    bucket.delete("a.txt")
    assert listed(bucket) == []


def test_a_bucket_with_directories_of_others_is_not_deleted(tmp_path: Path, storage: Storage):
    bucket = storage.create_bucket("fruit")
    (tmp_path / "fruit" / "theirs").mkdir()
    with pytest.raises(storage_core.BucketNotEmptyError):
        storage.delete_bucket("fruit", force=True)
    (tmp_path / "fruit" / "theirs").rmdir()
    bucket.put("a/b", b"")
    storage.delete_bucket("fruit", force=True)
    assert not (tmp_path / "fruit").exists()


def test_deleting_leaves_no_empty_directories(tmp_path: Path, bucket: Bucket):
    bucket.put("a/b/c", b"")
    bucket.put("a/d", b"")
    bucket.delete("a/b/c")
    assert not (tmp_path / "fruit" / "a" / "b").exists()
    assert listed(bucket) == ["a/d"]


@pytest.mark.parametrize("keep", [0, 5, trailer.SIZE - 1])
def test_a_file_that_was_cut_off_is_told(tmp_path: Path, bucket: Bucket, keep: int):
    bucket.put("a", b"x" * 100)
    file = tmp_path / "fruit" / names.object_path("a")
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(IntegrityError, match="damaged"):
        bucket.get("a")


def test_damaged_bytes_are_told(tmp_path: Path, bucket: Bucket):
    for size in (100, 3_000_000):
        bucket.put("a", b"x" * size)
        file = tmp_path / "fruit" / names.object_path("a")
        content = bytearray(file.read_bytes())
        content[size // 2] ^= 1
        file.write_bytes(content)
        with pytest.raises(IntegrityError):
            read(bucket, "a")


def test_an_object_replaced_during_a_read_is_told(bucket: Bucket):
    bucket.put("a", b"x" * 3_000_000)
    with bucket.get("a") as reader:
        reader.read(10)
        bucket.put("a", b"y" * 3_000_000)
        with pytest.raises((ObjectChangedError, IntegrityError)):
            reader.read()


def test_a_failed_put_leaves_nothing(tmp_path: Path, bucket: Bucket):
    def broken() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        bucket.put("a", broken())
    with pytest.raises(ObjectNotFoundError):
        bucket.head("a")
    files = [path for path in (tmp_path / "fruit").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["bucket"]


def test_a_token_of_somebody_else_is_refused(bucket: Bucket):
    with pytest.raises(InvalidRequestError, match="token"):
        next(bucket.list().pages("made up"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"protocol": "none-such"}, "none-such"),
        ({"protocol": "sftp", "options": {"nobody": 1}}, "sftp"),
    ],
)
def test_settings_that_can_not_work(settings: dict[str, object], said: str):
    with pytest.raises(ConfigError, match=said):
        storage_core.open(config={"driver": "fsspec", **settings})


def test_secrets_are_not_shown():
    settings = {"protocol": "memory", "secrets": {"password": "hunter2"}}
    try:
        with storage_core.open(config={"driver": "fsspec", **settings}) as storage:
            shown = repr(storage) + repr(storage.driver.settings)
    except ConfigError as error:
        shown = str(error)
    assert "hunter2" not in shown


def test_the_filesystem_itself(tmp_path: Path, storage: Storage, bucket: Bucket):
    bucket.put("a", b"1")
    fs = storage.fsspec_filesystem()
    assert fs.exists(f"{tmp_path}/fruit/a.storage-core")


def test_layers_hand_no_filesystem_out(tmp_path: Path):
    settings = {"driver": "fsspec", "protocol": "file", "root": str(tmp_path), "prefix": "x/"}
    with (
        storage_core.open(config=settings) as storage,
        pytest.raises(storage_core.UnsupportedError),
    ):
        storage.fsspec_filesystem()
