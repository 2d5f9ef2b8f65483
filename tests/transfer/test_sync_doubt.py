"""`sync` by time where times tell little, and where a tree is not what it seems."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_core import (
    InvalidRequestError,
    ObjectChangedError,
    TransferIncompleteError,
    TransferOptions,
)
from storage_core.transfer import small
from tests.servers import Server
from tests.transfer.downloads import content
from tests.transfer.trees import LONG_AGO, files_in, fill, make_folder, objects_in

MIB = 1024**2


@pytest.fixture
def bucket(tmp_path: Path) -> Any:
    with storage_core.open_url((tmp_path / "root").as_uri()) as storage:
        yield storage.create_bucket("fruit")


def s3(server: Server, **named: Any) -> storage_core.Storage:
    return storage_core.open(config={**server.profile, **named})


def within_a_second() -> None:
    """Wait until most of a second is ahead."""
    while time.time() % 1 > 0.3:
        time.sleep(0.02)


# -- files that change while they are sent ---------------------------------------------


def rewriting(monkeypatch: pytest.MonkeyPatch, path: Path, times: int) -> None:
    """Have a file rewritten, as long as before, after it was read and before it is looked at
    again."""
    look = small.is_changed
    left = [times]

    def changed(place: str, size: int, modified: int) -> bool:
        if left[0] and place == str(path):
            left[0] -= 1
            path.write_bytes(b"%05d" % left[0])
            os.utime(path, (LONG_AGO + 1 + left[0],) * 2)
        return look(place, size, modified)

    for module in ("small", "large"):
        monkeypatch.setattr(f"storage_core.transfer.{module}.is_changed", changed)


def test_a_file_that_is_rewritten_while_it_is_sent_is_sent_again(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its time is before that of the object, so no later run would see it."""
    folder = make_folder(tmp_path / "up", {"a": b"first", "b": b"12345"})
    rewriting(monkeypatch, folder / "a", 1)
    assert storage_core.sync(folder, bucket.tree()).transferred == 2
    assert objects_in(bucket) == {"a": b"00000", "b": b"12345"}
    assert storage_core.sync(folder, bucket.tree()).transferred == 0


def test_a_file_that_keeps_changing_is_a_failure(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = make_folder(tmp_path / "up", {"a": b"first"})
    rewriting(monkeypatch, folder / "a", 100)
    with pytest.raises(TransferIncompleteError) as failed:
        storage_core.sync(folder, bucket.tree())
    assert isinstance(failed.value.report.failures[0].error, ObjectChangedError)


def test_a_report_has_the_size_of_what_was_sent(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Not that of the listing, where a file has grown since."""
    folder = make_folder(tmp_path / "up", {"a": b"small"})
    read = small.read_files

    def grown(root: str, batch: Any, most: int) -> Any:
        (folder / "a").write_bytes(content(6 * MIB))
        return read(root, batch, most)

    monkeypatch.setattr(small, "read_files", grown)
    report = storage_core.sync(folder, bucket.tree(), options=TransferOptions(part_size=5 * MIB))
    assert report.bytes == 6 * MIB


# -- times in whole seconds -----------------------------------------------------------


def test_an_object_replaced_in_the_second_of_its_download_is_fetched(moto: Server, tmp_path: Path):
    with s3(moto) as storage:
        bucket = storage.create_bucket("same-second-down")
        tree, down = bucket.tree("x"), tmp_path / "down"
        for options in (storage_core.TransferOptions(), TransferOptions(part_size=1)):
            within_a_second()
            fill(bucket, {"x/a": b"first"})
            storage_core.sync(tree, down, options=options)
            assert storage_core.sync(tree, down).transferred == 0
            fill(bucket, {"x/a": b"other"})
            storage_core.sync(tree, down)
            assert files_in(down) == {"a": b"other"}
            assert storage_core.sync(tree, down).transferred == 0


def test_an_object_replaced_in_the_second_of_its_copy_is_copied(moto: Server):
    with s3(moto) as storage:
        bucket = storage.create_bucket("same-second-copy")
        within_a_second()
        fill(bucket, {"x/a": b"first"})
        storage_core.sync(bucket.tree("x"), bucket.tree("y"))
        assert storage_core.sync(bucket.tree("x"), bucket.tree("y")).transferred == 0
        fill(bucket, {"x/a": b"other"})
        storage_core.sync(bucket.tree("x"), bucket.tree("y"))
        assert objects_in(bucket, "y/") == {"a": b"other"}


# -- two profiles of one place ----------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_move_onto_itself_by_another_profile_loses_nothing(moto: Server, host: str):
    url = moto.profile["endpoint_url"]
    name = f"alias-{host.replace('.', '-')}"
    with s3(moto) as one, s3(moto, endpoint_url=url.replace("127.0.0.1", host)) as other:
        bucket = one.create_bucket(name)
        bucket.put("a", b"only")
        with pytest.raises(storage_core.ConflictError, match="nothing was deleted"):
            bucket.move("a", "a", target=other.bucket(name))
        assert objects_in(bucket) == {"a": b"only"}
        bucket.move("a", "b", target=other.bucket(name))
        assert objects_in(bucket) == {"b": b"only"}


# -- the folder of a storage ------------------------------------------------------------


def test_the_folder_of_a_storage_is_no_side(bucket: Any, tmp_path: Path):
    fill(bucket, {"x/a": b"1"})
    tree, root = bucket.tree("x"), tmp_path / "root"
    (tmp_path / "link").symlink_to(root)
    before = files_in(root)
    for folder in (tmp_path, root, root / "buckets", root / "new", tmp_path / "link"):
        with pytest.raises(InvalidRequestError, match="keeps its buckets"):
            storage_core.sync(tree, folder, delete=True)
        with pytest.raises(InvalidRequestError, match="keeps its buckets"):
            storage_core.sync(folder, tree)
    assert files_in(root) == before
    make_folder(tmp_path, {"b": b"2"})
    assert storage_core.sync(tmp_path, tree, exclude=("root/*",)).transferred == 1
    assert storage_core.sync(tree, tmp_path / "root2").transferred == 2
