"""What the conformance suite can not see: the layout, the syncs, and a disk that fails."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import re
import resource
import stat
import subprocess
from pathlib import Path

import pytest

import storage_core
from storage_core import (
    ConfigError,
    IntegrityError,
    ObjectNotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    QuotaExceededError,
    VersionNotFoundError,
)
from storage_local import syscalls
from storage_local.errors import TABLE, classify
from storage_local.layout import LINK_KEYS, STAMP
from storage_local.tree import Limits
from tests.local.conftest import driver_of, make_driver

LARGE = os.urandom(100_000)


def files_below(place: Path) -> list[Path]:
    return [found for found in place.rglob("*") if found.is_file()]


# --- layout ---------------------------------------------------------------------------


def test_a_large_objects_data_file_is_exactly_its_bytes(bucket, place):
    bucket.put("big", LARGE, content_type="a/b")
    (data,) = (place / "buckets/fruit/data").glob("*/*")
    assert data.read_bytes() == LARGE
    with bucket.get("big", range=(5, 500)) as reader:
        assert reader.file.offset == 5
        assert os.pread(reader.file.fd, 10, 5) == LARGE[5:15]


def test_a_small_object_is_one_file(bucket, place):
    before = len(files_below(place))
    bucket.put("small", b"x" * 1000)
    assert len(files_below(place)) == before + 1


@pytest.mark.parametrize("size", [0, 1, 5000, 90_000])
def test_objects_are_read_whatever_the_inline_size_was(open_storage, size):
    sizes = [0, 10, 100_000]
    storages = [open_storage(inline_size=inline) for inline in sizes]
    storages[0].create_bucket("fruit")
    for inline, writer in zip(sizes, storages, strict=True):
        writer.bucket("fruit").put(f"{inline}", LARGE[:size])
        for storage in storages:
            bucket = storage.bucket("fruit")
            with bucket.get(f"{inline}") as reader:
                assert reader.read() == LARGE[:size]
            bucket.copy(f"{inline}", "copy")
            with bucket.get("copy") as reader:
                assert reader.read() == LARGE[:size]


def test_replaced_and_deleted_data_goes(bucket, place):
    for _ in range(3):
        bucket.put("big", LARGE)
    bucket.put("big", b"small")
    bucket.put("big", LARGE)
    assert len(list((place / "buckets/fruit/data").glob("*/*"))) == 1
    bucket.delete("big")
    assert list((place / "buckets/fruit/data").glob("*/*")) == []


def test_a_copy_shares_the_bytes_and_outlives_the_source(bucket, place):
    bucket.put("big", LARGE)
    bucket.copy("big", "twin")
    inodes = {found.stat().st_ino for found in (place / "buckets/fruit/data").glob("*/*")}
    assert len(inodes) == 1
    bucket.delete("big")
    with bucket.get("twin") as reader:
        assert reader.read() == LARGE


def test_a_failed_body_leaves_nothing(bucket, place):
    before = files_below(place)

    def pieces():
        yield LARGE
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        bucket.put("big", pieces())
    with pytest.raises(IntegrityError):
        bucket.put("big", io.BytesIO(LARGE), checksums={"sha256": "00" * 32})
    with pytest.raises(PreconditionFailedError):
        bucket.put("big", LARGE, if_match="other")
    assert files_below(place) == before


def test_the_stamp_names_the_format(storage, place):
    stamp = json.loads((place / STAMP).read_text())
    assert (stamp["format"], stamp["version"]) == ("storage-core local", 1)


@pytest.mark.parametrize(
    "stamp",
    ['{"format": "storage-core local", "version": 2}', '{"format": "x", "version": 1}', "{", ""],
)
def test_another_format_is_refused(open_storage, place, stamp):
    open_storage().close()
    (place / STAMP).write_text(stamp)
    with pytest.raises(ConfigError, match=r"root .* (format|damaged)"):
        open_storage()


def test_a_directory_with_other_things_is_refused(open_storage, place):
    place.mkdir()
    (place / "thesis.doc").touch()
    with pytest.raises(ConfigError, match=r"thesis\.doc.*import-tree"):
        open_storage()
    assert os.listdir(place) == ["thesis.doc"]


def test_a_file_as_root_is_refused(open_storage, place):
    place.write_text("")
    with pytest.raises(ConfigError, match="not a directory"):
        open_storage()


def _open_and_keys(place: Path, results) -> None:
    with storage_core.open_driver(make_driver(place)) as storage:
        results.put(dict(driver_of(storage).link_keys()))


def test_link_keys_are_made_once_and_private(place):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    racers = [context.Process(target=_open_and_keys, args=(place, results)) for _ in range(8)]
    for racer in racers:
        racer.start()
    found = [results.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
    assert all(keys == found[0] for keys in found)
    assert stat.S_IMODE((place / LINK_KEYS).stat().st_mode) == 0o600
    (secret,) = found[0].values()
    assert len(secret) == 32


def test_link_keys_that_others_can_read_are_refused(storage, place):
    driver = driver_of(storage)
    driver.link_keys()
    (place / LINK_KEYS).chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        driver.link_keys()


def test_keys_reach_no_internal_file(bucket, place):
    for key in ("map", "../bucket.json", "/etc/passwd", "a/../../storage.json", "..", "#x"):
        with pytest.raises((ObjectNotFoundError, storage_core.InvalidKeyError)):
            bucket.head(key)


def test_made_up_versions_reach_no_internal_file(open_storage):
    bucket = open_storage(versions=True).create_bucket("fruit")
    bucket.put("a", b"1")
    for version in ("/../../../bucket.json", "..", "0" * 23 + "/", "\0", "", "é" * 24):
        with pytest.raises(VersionNotFoundError):
            bucket.head("a", version=version)
        bucket.delete("a", version=version)
    assert bucket.exists("a")


# --- durability -----------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch):
    calls = []
    real = os.fsync

    def fsync(fd):
        calls.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(syscalls, "fsync", fsync)
    return calls


def test_a_durable_put_syncs_record_and_directory(open_storage, synced):
    bucket = open_storage(fsync=True).create_bucket("fruit")
    synced.clear()
    bucket.put("small", b"x")
    assert len(synced) == 2
    assert "/#" in synced[0]
    assert synced[1].endswith(os.path.dirname(synced[0]).rsplit("/", 1)[1])


def test_without_fsync_only_maps_are_synced(open_storage, synced):
    bucket = open_storage(Limits(4, 1), fsync=False, versions=True).create_bucket("fruit")
    for number in range(20):
        bucket.put(f"{number}", LARGE)
    bucket.delete("3")
    upload = bucket.create_upload("u")
    upload.complete([upload.put_part(1, b"x")])
    assert synced
    # A map in the making stands beside the directory of the leaves.
    assert [place for place in synced if not re.search("/(objects|versions)/#[^/]*$", place)] == []


# --- a disk that fails ----------------------------------------------------------------


needs_mount = pytest.mark.skipif(
    os.geteuid() != 0, reason="mounting a small file system needs root"
)


@pytest.fixture
def mounted(tmp_path):
    """Mounts a tmpfs of the given size; unmounted at the end."""
    place = tmp_path / "mount"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"mounting is not possible here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@needs_mount
def test_a_full_disk_loses_nothing(mounted):
    with storage_core.open_driver(make_driver(mounted / "root")) as storage:
        bucket = storage.create_bucket("fruit")
        bucket.put("kept", b"apple")
        bucket.put("large", LARGE)
        with pytest.raises(QuotaExceededError, match="disk is full") as caught:
            bucket.put("large", io.BytesIO(bytes(8 << 20)))
        assert caught.value.code == "ENOSPC"
        with pytest.raises(QuotaExceededError):
            bucket.put("large", (bytes(1 << 16) for _ in range(200)))
        written = 0
        try:
            while written < 4000:
                bucket.put(f"small/{written}", bytes(4000))
                written += 1
        except QuotaExceededError:
            pass
        assert 0 < written < 4000
        with pytest.raises(QuotaExceededError):
            bucket.put("kept", bytes(10_000))
        with bucket.get("kept") as reader:
            assert reader.read() == b"apple"
        with bucket.get("large") as reader:
            assert reader.read() == LARGE
        assert sum(1 for _ in bucket.list(prefix="small/")) == written
        report = driver_of(storage).fsck(deep=True)
        assert report.findings == []
        bucket.delete("large")
        bucket.put("small/again", bytes(4000))


@needs_mount
def test_a_read_only_disk_can_be_read(mounted):
    with storage_core.open_driver(make_driver(mounted / "root", fsync=True)) as storage:
        storage.create_bucket("fruit").put("kept", b"apple")
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    with storage_core.open_driver(make_driver(mounted / "root", fsync=True)) as storage:
        bucket = storage.bucket("fruit")
        with bucket.get("kept") as reader:
            assert reader.read() == b"apple"
        assert [item.key for item in bucket.list()] == ["kept"]
        for write in (
            lambda: bucket.put("kept", b"pear"),
            lambda: bucket.put("kept", LARGE),
            lambda: bucket.delete("kept"),
            lambda: bucket.put_tags("kept", {"a": "b"}),
            lambda: bucket.create_upload("kept"),
            lambda: storage.create_bucket("other"),
        ):
            with pytest.raises(PermissionDeniedError, match="read-only"):
                write()


def test_a_limit_on_file_size_is_a_quota(open_storage):
    bucket = open_storage().create_bucket("fruit")
    bucket.put("large", b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(QuotaExceededError):
            bucket.put("large", LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with bucket.get("large") as reader:
        assert reader.read() == b"before"


def test_a_vanished_data_file_is_told(bucket, place):
    bucket.put("big", LARGE)
    (data,) = (place / "buckets/fruit/data").glob("*/*")
    data.unlink()
    with pytest.raises(IntegrityError, match="vanished; run fsck"):
        bucket.get("big")
    assert bucket.head("big").size == len(LARGE)
    bucket.put("big", b"again")


def test_a_cut_data_file_is_told(bucket, place):
    bucket.put("big", LARGE)
    (data,) = (place / "buckets/fruit/data").glob("*/*")
    os.truncate(data, 1000)
    with pytest.raises(IntegrityError, match="1000 bytes"):
        bucket.get("big")


def test_changed_bytes_are_told(bucket, place):
    bucket.put("big", LARGE)
    (data,) = (place / "buckets/fruit/data").glob("*/*")
    with data.open("r+b") as file:
        file.write(b"\0\0\0\0\0\0\0\0")
    with bucket.get("big") as reader, pytest.raises(IntegrityError, match="crc32c"):
        reader.read()


def test_a_damaged_record_is_told_and_can_be_overwritten(bucket, place):
    bucket.put("small", b"apple")
    (record,) = (place / "buckets/fruit/objects/leaves").glob("*/small!")
    record.write_bytes(record.read_bytes()[:50])
    with pytest.raises(IntegrityError, match="run fsck"):
        bucket.get("small")
    with pytest.raises(IntegrityError, match="run fsck"):
        bucket.put("small", b"pear", if_match="x")
    bucket.put("small", b"pear")
    with bucket.get("small") as reader:
        assert reader.read() == b"pear"


def test_every_listed_errno_has_an_error():
    for number, (cls, message) in TABLE.items():
        found = classify(OSError(number, os.strerror(number)))
        assert type(found) is cls
        assert found.code == errno.errorcode[number]
        assert message in str(found)
    assert classify(OSError("no number")) is None
    assert classify(OSError(errno.EPIPE, "pipe")) is None
