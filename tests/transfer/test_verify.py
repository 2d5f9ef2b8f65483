"""`verify`: two trees compared by their bytes, on every carrier."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_core import (
    BucketNotFoundError,
    Progress,
    RetryPolicy,
    TransferOptions,
    UnavailableError,
    VerifyReport,
)
from storage_core.core.between import End
from storage_core.runtime import drive
from storage_core.runtime.team import ThreadTeam
from storage_core.transfer.context import Context
from storage_core.transfer.entries import KeyRange
from storage_core.transfer.folder import FolderSide
from storage_core.transfer.options import DEFAULTS
from storage_core.transfer.prefix import BucketSide
from storage_core.transfer.rules import make_rules
from storage_core.transfer.verify import verify_range
from tests.core.conftest import scripted
from tests.core.drivers import Scripted
from tests.transfer.downloads import PART, content
from tests.transfer.trees import fill, make_folder, verify

FILES = {"a": b"1", "b/c": b"22", "b/d": b"", "z": content(3 * PART)}
SIZE = sum(map(len, FILES.values()))


@pytest.fixture
def bucket(opened: Any) -> Any:
    return opened().create_bucket("fruit")


def without_digests() -> Scripted:
    """A service that keeps no checksums."""
    return Scripted(checksums=frozenset(), default_checksum=None)


def forget_digests(bucket: Any) -> None:
    """Let a bucket tell no checksums, neither in listings nor of an object."""
    driver = scripted(bucket)
    for name in ("list_page", "head", "get"):
        _without(driver, name)


def _without(driver: Scripted, name: str) -> None:
    from dataclasses import replace

    from storage_core.streams import BytesStream

    ask = getattr(driver, name)

    async def asked(request: Any) -> Any:
        answer = await ask(request)
        if name == "list_page":
            return replace(answer, items=[replace(item, checksums={}) for item in answer.items])
        if name == "head":
            return replace(answer, checksums={})
        info = replace(answer.info, checksums={})
        return BytesStream(info, answer.data or await answer.read(2**30), answer.start)

    setattr(driver, name, asked)


def test_equal_trees_are_told_so_without_reading_an_object(opened: Any, tmp_path: Path):
    bucket, other = opened().create_bucket("fruit"), opened().create_bucket("other")
    folder = make_folder(tmp_path, FILES)
    fill(bucket, FILES, "x/")
    fill(other, FILES)
    for source, target in [
        (folder, bucket.tree("x")),
        (bucket.tree("x"), folder),
        (bucket.tree("x"), other.tree()),
    ]:
        report = verify(source, target)
        assert report.ok
        assert report == VerifyReport(same=4, bytes=SIZE)
    assert verify(bucket.tree("x"), bucket.tree("x/")).ok
    for used in (bucket, other):
        assert scripted(used).requests("get") == []


def test_two_folders(tmp_path: Path):
    one, other = make_folder(tmp_path / "a", FILES), make_folder(tmp_path / "b", FILES)
    assert verify(one, other) == VerifyReport(same=4, bytes=SIZE)
    (other / "a").write_bytes(b"2")
    assert verify(one, other).different == ("a",)


def test_what_differs_is_listed(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path, {**FILES, "a": b"9", "here": b"1", "larger": b"123"})
    fill(bucket, {**FILES, "b/there": b"1", "there": b"2", "larger": b"1"})
    report = verify(folder, bucket.tree())
    assert not report.ok
    assert report.same == 3
    assert report.different == ("a", "larger")
    assert report.only_source == ("here",)
    assert report.only_target == ("b/there", "there")
    assert report.failures == ()
    turned = verify(bucket.tree(), folder)
    assert (turned.only_source, turned.only_target) == (report.only_target, report.only_source)


@pytest.mark.parametrize("both", [False, True])
def test_without_digests_the_objects_are_read(opened: Any, tmp_path: Path, both: bool):
    bucket, other = opened().create_bucket("fruit"), opened().create_bucket("other")
    fill(bucket, FILES)
    fill(other, {**FILES, "a": b"9"})
    forget_digests(bucket)
    if both:
        forget_digests(other)
    report = verify(bucket.tree(), other.tree())
    assert (report.different, report.same) == (("a",), 3)
    assert report.read == (2 if both else 1) * SIZE
    folder = make_folder(tmp_path, FILES)
    report = verify(folder, bucket.tree())
    assert report.ok
    assert report.read == SIZE


def test_a_digest_of_another_kind_is_computed(opened: Any, tmp_path: Path):
    only_sha = Scripted(checksums=frozenset({"sha256"}), default_checksum="sha256")
    bucket = opened(only_sha).create_bucket("fruit")
    fill(bucket, FILES)
    folder = make_folder(tmp_path, {**FILES, "z": content(3 * PART, 2)})
    report = verify(folder, bucket.tree())
    assert (report.same, report.different) == (3, ("z",))


def test_what_can_not_be_read_is_a_failure(opened: Any, tmp_path: Path):
    bucket = opened(retry=RetryPolicy(attempts=1)).create_bucket("fruit")
    folder = make_folder(tmp_path, FILES)
    fill(bucket, FILES)
    forget_digests(bucket)
    scripted(bucket).script["get"] = [UnavailableError("out of order")]
    report = verify(folder, bucket.tree(), options=TransferOptions(concurrency=1))
    assert not report.ok
    assert [(found.key, found.action) for found in report.failures] == [("a", "verify")]
    assert report.same == 3


def test_what_all_would_fail_by_is_raised(bucket: Any, tmp_path: Path):
    missing = bucket.storage.bucket("missing")
    with pytest.raises(BucketNotFoundError):
        verify(make_folder(tmp_path, FILES), missing.tree())


def test_a_missing_folder_is_no_empty_one(bucket: Any, tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        verify(bucket.tree(), tmp_path / "missing")


def test_links_and_markers_are_skipped(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path, {"a": b"1"})
    (folder / "link").symlink_to(folder / "a")
    (folder / "object").symlink_to(folder / "a")
    fill(bucket, {"a": b"1", "b/": b"", "object": b"1"})
    report = verify(folder, bucket.tree())
    assert report.skipped == ("b/", "link")
    assert report.only_target == ("object",)


def test_patterns(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path, {"a.txt": b"1", "b.log": b"2"})
    fill(bucket, {"a.txt": b"1", "c.log": b"3"})
    assert verify(folder, bucket.tree(), include=("*.txt",)).ok
    assert verify(folder, bucket.tree(), exclude=("*.log",)).ok


def test_progress(bucket: Any, tmp_path: Path):
    told: list[Progress] = []
    folder = make_folder(tmp_path, FILES)
    fill(bucket, FILES)
    verify(folder, bucket.tree(), progress=told.append)
    assert (told[-1].bytes, told[-1].objects, told[-1].total_objects) == (SIZE, 4, 4)


def test_more_than_one_page_and_ranges_of_it(tmp_path: Path):
    files = {f"{number % 3}/{number:04}": b"%d" % number for number in range(1500)}
    folder = make_folder(tmp_path / "up", {**files, "only": b"1"})
    with storage_core.open(config={"driver": "memory"}) as storage:
        bucket = storage.create_bucket("fruit")
        fill(bucket, {**files, "0/0003": b"x", "2/new": b"1"}, "p/")
        whole = verify(folder, bucket.tree("p"))
        assert (whole.different, whole.only_source) == (("0/0003",), ("only",))
        assert (whole.only_target, whole.same) == (("2/new",), 1499)
        source, target = FolderSide(folder), BucketSide(End(bucket._core, bucket._runtime), "p")
        context = Context(ThreadTeam(), DEFAULTS, None)

        async def share(keys: KeyRange) -> list[Any]:
            rules = make_rules()
            return [found async for found in verify_range(context, source, target, rules, keys)]

        shares = [KeyRange("", "1/0100"), KeyRange("1/0100", "2/new"), KeyRange("2/new")]
        found = [one for keys in shares for one in drive(share(keys))]
        assert VerifyReport.of(one.report for one in found) == whole
        assert found[-1].last == "only"


def test_a_file_that_can_not_be_opened(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path, {"a": b"1", "b": b"2"})
    fill(bucket, {"a": b"1", "b": b"2"})
    name, descriptor = "d" * 250, os.open(folder, os.O_RDONLY)
    for _ in range(17):  # too deep to be named by a path
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    report = verify(folder, bucket.tree())
    assert (report.same, len(report.failures)) == (2, 1)
