from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from storage_core import BucketNotFoundError, ConfigError, TransferOptions
from storage_core.checksum import digest
from storage_core.transfer.options import DEFAULTS
from storage_core.transfer.progress import Progress
from storage_local.import_tree import ImportReport
from tests.local.conftest import driver_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "a/b").mkdir(parents=True)
    (source / "a/b/small.txt").write_bytes(b"apple")
    (source / "a/big.bin").write_bytes(os.urandom(200_000))
    (source / "Ünï code?.txt").write_bytes(b"")
    (source / "empty").mkdir()
    os.utime(source / "a/b/small.txt", (1_000_000_000, 1_000_000_000))
    return source


def test_every_regular_file_becomes_an_object(bucket, tree):
    told: list[int] = []
    report = driver_of(bucket.storage).import_tree(
        bucket.name, str(tree), progress=lambda report: told.append(report.objects)
    )
    assert (report.objects, report.bytes, report.skipped) == (3, 200_005, [])
    assert told == [1, 2, 3]
    for item in bucket.list():
        with bucket.get(item.key) as reader:
            assert reader.read() == (tree / item.key).read_bytes()
    assert bucket.head("a/b/small.txt").modified.timestamp() == 1_000_000_000
    assert bucket.head("a/big.bin").checksums.keys() == {"crc32c"}
    assert driver_of(bucket.storage).fsck(deep=True).findings == []


def test_the_source_is_copied_not_shared(bucket, tree):
    driver_of(bucket.storage).import_tree(bucket.name, str(tree))
    before = (tree / "a/big.bin").read_bytes()
    with (tree / "a/big.bin").open("r+b") as file:
        file.write(b"changed")
    with bucket.get("a/big.bin") as reader:
        assert reader.read() == before


def test_what_is_no_object_is_reported(bucket, tree, tmp_path):
    (tree / "link").symlink_to(tree / "a/b/small.txt")
    (tree / "linked").symlink_to(tree / "a")
    os.mkfifo(tree / "pipe")
    (tree / "bad\nname").touch()
    os.close(os.open(os.fsencode(tree) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    report: ImportReport = driver_of(bucket.storage).import_tree(bucket.name, str(tree))
    assert report.objects == 3
    reasons = {one.place: one.reason for one in report.skipped}
    assert reasons["link"] == reasons["linked"] == "a symbolic link"
    assert reasons["pipe"] == "not a regular file"
    assert "control character" in reasons["bad\nname"]
    assert "lone surrogate" in reasons["\udcff"]
    assert len(list(bucket.list())) == 3


def test_prefix_and_existing_objects(bucket, tree):
    driver = driver_of(bucket.storage)
    bucket.put("in/a/b/small.txt", b"mine")
    report = driver.import_tree(bucket.name, str(tree), prefix="in/", overwrite=False)
    assert report.objects == 2
    assert [one.reason for one in report.skipped] == ["the object exists"]
    with bucket.get("in/a/b/small.txt") as reader:
        assert reader.read() == b"mine"
    driver.import_tree(bucket.name, str(tree), prefix="in/")
    with bucket.get("in/a/b/small.txt") as reader:
        assert reader.read() == b"apple"


def test_md5_etags(open_storage, tree):
    import hashlib

    bucket = open_storage(etag="md5").create_bucket("fruit")
    driver_of(bucket.storage).import_tree(bucket.name, str(tree))
    for item in bucket.list():
        assert item.etag == hashlib.md5((tree / item.key).read_bytes()).hexdigest()


def test_bad_sources(bucket, place, tmp_path):
    driver = driver_of(bucket.storage)
    for source in (place, place / "buckets", tmp_path):
        with pytest.raises(ConfigError, match="contain one another"):
            driver.import_tree(bucket.name, str(source))
    with pytest.raises(ConfigError, match="not a directory"):
        driver.import_tree(bucket.name, str(tmp_path / "none"))
    with pytest.raises(BucketNotFoundError):
        driver.import_tree("none", str(tmp_path))


def test_a_real_tree(bucket):
    source = Path(sysconfig.get_path("stdlib")) / "json"
    report = driver_of(bucket.storage).import_tree(bucket.name, str(source), prefix="json/")
    files = [found for found in source.rglob("*") if found.is_file()]
    assert report.objects == len(files) > 3
    for found in files:
        with bucket.get("json/" + found.relative_to(source).as_posix()) as reader:
            assert reader.read() == found.read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system that clones needs root")
def test_cloning(tmp_path, open_storage, place, tree):
    image, mount = tmp_path / "image", tmp_path / "mount"
    with image.open("wb") as file:
        file.truncate(320 << 20)
    mount.mkdir()
    for make in (["mkfs.xfs", "-q", str(image)], ["mkfs.btrfs", "-q", str(image)]):
        try:
            subprocess.run(make, check=True, capture_output=True)
            subprocess.run(["mount", "-o", "loop", image, mount], check=True, capture_output=True)
            break
        except (OSError, subprocess.CalledProcessError):
            continue
    else:
        pytest.skip("no file system that clones can be made and mounted here")
    try:
        source = mount / "source"
        source.mkdir()
        (source / "big").write_bytes(os.urandom(1 << 20))
        storage = open_storage(root=mount / "root")
        bucket = storage.create_bucket("fruit")
        report = driver_of(storage).import_tree("fruit", str(source))
        assert report.cloned == report.objects == 1
        with bucket.get("big") as reader:
            assert reader.read() == (source / "big").read_bytes()
        uploaded_as_clones(bucket, source / "large", mount)
        storage.close()
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


def uploaded_as_clones(bucket, path, mount):
    """`upload_file` clones a file, whole and in parts, and the digest is that of the clone."""
    data = os.urandom(24 << 20)
    path.write_bytes(data)
    os.sync()
    for key, options in (("whole", None), ("parts", TransferOptions(part_size=8 << 20))):
        room = os.statvfs(mount)
        seen: list[Progress] = []
        result = bucket.upload_file(path, key, options=options or DEFAULTS, progress=seen.append)
        assert result.checksums["crc32c"] == digest("crc32c", data).hex()
        assert seen[-1].bytes == len(data)
        with bucket.get(key) as reader:
            assert reader.read() == data
        used = (room.f_bfree - os.statvfs(mount).f_bfree) * room.f_bsize
        assert used < 4 << 20, "the blocks are shared"
