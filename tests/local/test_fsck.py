"""fsck: each kind of finding, made on purpose, found, told and mended."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import storage_core
from storage_core import BucketNotFoundError, IntegrityError, ObjectNotFoundError
from storage_local.fsck import Report
from storage_local.names import file_name, sort_key
from storage_local.tree import Limits
from tests.local.conftest import driver_of, make_driver, root_of

LARGE = os.urandom(100_000)
TINY = Limits(leaf_size=4, check_every=1)


@pytest.fixture
def filled(open_storage):
    bucket = open_storage(TINY).create_bucket("fruit")
    for number in range(12):
        bucket.put(f"{number:02}", b"%d" % number)
    bucket.put("big", LARGE)
    return bucket


def fsck(bucket: storage_core.Bucket, *, repair: bool = False, deep: bool = False) -> Report:
    return driver_of(bucket.storage).fsck(repair=repair, deep=deep)


def kinds(report: Report) -> list[str]:
    return [finding.kind for finding in report.findings]


def the_only(place: Path, pattern: str) -> Path:
    (found,) = place.glob(pattern)
    return found


def assert_mended(bucket: storage_core.Bucket, kind: str, *, leftover: bool) -> Report:
    """Found, then mended, then gone."""
    found = fsck(bucket)
    assert kinds(found) == [kind]
    assert [finding.repaired for finding in found.findings] == [False]
    assert found.findings[0].leftover == leftover
    assert found.clean == leftover
    mended = fsck(bucket, repair=True)
    assert kinds(mended) == [kind]
    assert mended.findings[0].repaired
    assert mended.clean
    assert fsck(bucket, deep=True).findings == []
    return mended


def test_a_sound_root_has_no_findings(filled, fruit):
    report = fsck(filled, deep=True)
    assert report.findings == []
    assert (report.buckets, report.objects) == (1, 13)
    assert report.bytes == len(LARGE) + 14


def test_only_one_bucket(filled):
    filled.storage.create_bucket("other").put("a", b"1")
    driver = driver_of(filled.storage)
    assert driver.fsck(bucket="other").objects == 1
    with pytest.raises(BucketNotFoundError):
        driver.fsck(bucket="none")


def test_progress_is_told(open_storage):
    bucket = open_storage().create_bucket("fruit")
    for number in range(1001):
        bucket.put(f"{number}", b"")
    told = []
    driver_of(bucket.storage).fsck(progress=lambda report: told.append(report.objects))
    assert told == [1000]


@pytest.mark.parametrize(
    "where", ["#x", "staging/x", "buckets/fruit/tmp/x", "buckets/fruit/objects/#x"]
)
def test_temporaries(filled, place, where):
    (place / where).write_bytes(b"half")
    assert_mended(filled, "temporary", leftover=True)
    assert not (place / where).exists()


def test_a_temporary_in_a_leaf(filled, fruit):
    leaf = next((fruit / "objects/leaves").iterdir())
    (leaf / "#x").write_bytes(b"half")
    assert_mended(filled, "temporary", leftover=True)


def test_a_half_removed_upload(filled, fruit):
    (fruit / "uploads/#x").mkdir()
    (fruit / "uploads/#x/00001").write_bytes(b"part")
    assert_mended(filled, "temporary", leftover=True)


def test_what_is_in_use_is_left_alone(filled):
    """A put and a part that are under way while fsck runs end well."""
    upload = filled.create_upload("u")

    def pieces():
        yield LARGE
        assert fsck(filled, repair=True).findings == []
        yield LARGE

    filled.put("slow", pieces())
    upload.complete([upload.put_part(1, pieces())])
    for key in ("slow", "u"):
        with filled.get(key) as reader:
            assert reader.read() == LARGE * 2


def test_data_nobody_names(filled, fruit):
    data = the_only(fruit, "data/*/*")
    stray = data.with_name(data.name[:2] + "0" * 22)
    stray.write_bytes(b"bytes")
    assert_mended(filled, "orphan-data", leftover=True)
    assert not stray.exists()
    assert data.exists()


def test_an_empty_leaf_nobody_names(filled, fruit):
    (fruit / "objects/leaves/0123456789abcdef").mkdir()
    assert_mended(filled, "empty-leaf", leftover=True)


def test_records_in_a_leaf_nobody_names(filled, fruit):
    lost = fruit / "objects/leaves/0123456789abcdef"
    lost.mkdir()
    one = the_only(fruit, "objects/leaves/*/03!")
    one.rename(lost / "03!")
    with pytest.raises(ObjectNotFoundError):
        filled.head("03")
    assert_mended(filled, "lost-leaf", leftover=False)
    with filled.get("03") as reader:
        assert reader.read() == b"3"


def test_a_record_in_the_wrong_leaf(filled, fruit):
    leaves = sorted((fruit / "objects/leaves").iterdir(), key=lambda leaf: sorted(leaf.iterdir()))
    one = the_only(fruit, "objects/leaves/*/00!")
    target = next(leaf for leaf in leaves if leaf != one.parent)
    one.rename(target / "00!")
    assert_mended(filled, "misplaced-record", leftover=False)
    with filled.get("00") as reader:
        assert reader.read() == b"0"


@pytest.mark.parametrize("damage", [b"", b"junk" * 40, b"SLR1"])
def test_a_damaged_record_is_set_aside(filled, fruit, damage):
    one = the_only(fruit, "objects/leaves/*/05!")
    one.write_bytes(damage)
    with pytest.raises(IntegrityError):
        list(filled.list())
    report = assert_mended(filled, "damaged-record", leftover=False)
    assert report.findings[0].key == "05"
    assert [item.key for item in filled.list()] == [
        *(f"{number:02}" for number in range(12) if number != 5),
        "big",
    ]
    assert the_only(fruit, "damaged/05!*").read_bytes() == damage


def test_data_of_a_damaged_record_is_kept(filled, fruit):
    the_only(fruit, "objects/leaves/*/big!").write_bytes(b"junk")
    fsck(filled, repair=True)
    kept = [found for found in (fruit / "damaged").iterdir() if found.read_bytes() == LARGE]
    assert len(kept) == 1


@pytest.mark.parametrize("change", ["gone", "cut"])
def test_missing_bytes_are_told_but_not_mended(filled, fruit, change):
    data = the_only(fruit, "data/*/*")
    if change == "gone":
        data.unlink()
    else:
        os.truncate(data, 10)
    for repair in (False, True):
        report = fsck(filled, repair=repair)
        assert kinds(report) == ["missing-data" if change == "gone" else "wrong-size"]
        assert (report.findings[0].key, report.findings[0].repaired) == ("big", False)
        assert not report.clean
    filled.put("big", LARGE)
    assert fsck(filled, deep=True).findings == []


def test_changed_bytes_are_found_by_a_deep_check(filled, fruit):
    data = the_only(fruit, "data/*/*")
    content = bytearray(LARGE)
    content[50_000] ^= 1
    data.write_bytes(content)
    assert fsck(filled).findings == []
    assert kinds(fsck(filled, deep=True)) == ["wrong-checksum"]


def test_changed_inline_bytes(filled, fruit):
    one = the_only(fruit, "objects/leaves/*/11!")
    one.write_bytes(one.read_bytes()[:-1] + b"9")
    assert kinds(fsck(filled)) == ["wrong-checksum"]


@pytest.mark.parametrize("damage", [b"", b"00000000\n{}\n", None])
def test_a_lost_map_is_made_anew(filled, fruit, open_storage, damage):
    place = fruit / "objects/map"
    if damage is None:
        place.unlink()
        # As a deletion that a crash cut short would leave it, but without a map to put back.
    else:
        place.write_bytes(damage)
    expected = [*(f"{number:02}" for number in range(12)), "big"]
    assert fsck(open_storage(TINY).bucket("fruit"), repair=True).clean
    bucket = open_storage(TINY).bucket("fruit")
    assert fsck(bucket, deep=True).findings == []
    assert [item.key for item in bucket.list()] == expected
    bucket.put("new", b"1")


def test_a_deletion_cut_short(filled, fruit, open_storage):
    for tree in ("objects", "versions"):
        (fruit / tree / "map").rename(fruit / tree / "map.retired")
    fresh = open_storage(TINY)
    found = driver_of(fresh).fsck()
    assert set(kinds(found)) == {"retired-map"}
    # Whoever comes next puts the maps back, fsck or not.
    assert fresh.bucket("fruit").exists("03")
    assert fsck(fresh.bucket("fruit")).findings == []


def test_expired_objects_are_swept(filled, fruit, put_clock_forward):
    filled.put("brief", LARGE, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert fsck(filled).findings == []
    put_clock_forward(3601)
    assert not filled.exists("brief")
    assert_mended(filled, "expired", leftover=True)
    assert list((fruit / "objects/leaves").glob("*/brief!")) == []
    the_only(fruit, "data/*/*")


def test_expired_uploads_are_swept(place, open_storage, put_clock_forward):
    bucket = open_storage(upload_expiry=3600).create_bucket("fruit")
    upload = bucket.create_upload("u")
    upload.put_part(1, b"x")
    assert fsck(bucket).findings == []
    put_clock_forward(3601)
    assert_mended(bucket, "expired-upload", leftover=True)
    assert list(bucket.list_uploads()) == []


def test_a_damaged_upload_is_set_aside(filled, fruit):
    filled.create_upload("u")
    the_only(fruit, "uploads/*/session").write_text("{")
    assert_mended(filled, "damaged-upload", leftover=False)


def test_a_twin_of_the_current_version(open_storage, fruit):
    bucket = open_storage(versions=True).create_bucket("fruit")
    bucket.put("a", LARGE)
    info = bucket.head("a")
    tree = root_of(bucket.storage).bucket("fruit").versions
    leaf = tree.leaf_of("a")
    one = the_only(fruit, "objects/leaves/*/a!")
    os.link(one, file_name(sort_key("a", info.version or "")), dst_dir_fd=leaf.fd)
    assert len(list(bucket.list_versions())) == 1
    assert_mended(bucket, "twin", leftover=True)
    assert bucket.head("a").etag == info.etag


def test_strangers_in_the_root(filled, place):
    (place / "notes.txt").touch()
    assert kinds(fsck(filled, repair=True)) == ["stranger"]
    assert (place / "notes.txt").exists()


def test_something_else_among_the_buckets(filled, place):
    (place / "buckets/notes").mkdir()
    assert kinds(fsck(filled)) == ["not-a-bucket"]


def test_long_keys(open_storage):
    bucket = open_storage(TINY, versions=True).create_bucket("fruit")
    for number in range(8):
        for _ in range(2):
            bucket.put("K" * 300 + f"{number}", LARGE)
    report = fsck(bucket, deep=True)
    assert report.findings == []
    assert report.objects == 16


def test_a_read_only_look_changes_nothing(filled, fruit, place):
    (fruit / "tmp/x").write_bytes(b"half")
    before = sorted(str(found) for found in place.rglob("*"))
    fsck(filled, deep=True)
    assert sorted(str(found) for found in place.rglob("*")) == before


def test_checking_beside_writers(open_storage, place):
    """Large puts, moves and deletes while fsck repairs: nothing of theirs is taken away."""
    import multiprocessing

    storage = open_storage(TINY)
    storage.create_bucket("fruit")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_churn, args=(place, seed)) for seed in range(3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        report = driver_of(storage).fsck(repair=True)
        assert [one for one in report.findings if not one.leftover] == []
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert driver_of(storage).fsck(deep=True).findings == []


def _churn(place: Path, seed: int) -> None:
    with storage_core.open_driver(make_driver(place, TINY)) as storage:
        bucket = storage.bucket("fruit")
        for number in range(80):
            key = f"{seed}/{number % 7}"
            bucket.put(key, LARGE)
            bucket.copy(key, f"{key}/copy")
            bucket.move(key, f"{seed}/moved/{number % 5}")
            with bucket.get(f"{key}/copy") as reader:
                assert reader.read() == LARGE
            with bucket.get(f"{seed}/moved/{number % 5}") as reader:
                assert reader.read() == LARGE
