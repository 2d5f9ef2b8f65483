"""Keys and folders: what has no place in one, and what is in the way."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from storage_core import (
    InvalidKeyError,
    TransferIncompleteError,
    TransferOptions,
)
from tests.core.drivers import Scripted
from tests.transfer.downloads import PART, content
from tests.transfer.trees import (
    files_in,
    fill,
    force,
    make_folder,
)

SMALL_PARTS = TransferOptions(part_size=PART)


@pytest.fixture
def bucket(opened: Any) -> Any:
    return opened().create_bucket("fruit")


def refused(bucket: Any, folder: Path) -> dict[str, Any]:
    with pytest.raises(TransferIncompleteError) as failed:
        bucket.download_tree("", folder)
    return {found.key: found.error for found in failed.value.report.failures}


@pytest.mark.parametrize("key", ["../out", "a/../../out", "/out", "x//y", "x/.", "..", "x/../y"])
def test_no_key_leaves_the_folder(opened: Any, tmp_path: Path, key: str):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    force(bucket, key)
    fill(bucket, {"good": b"1"})
    errors = refused(bucket, tmp_path / "down")
    assert {found: type(error) for found, error in errors.items()} == {key: InvalidKeyError}
    assert files_in(tmp_path) == {"down/good": b"1"}


def test_markers_of_folders_are_skipped(bucket: Any, tmp_path: Path):
    fill(bucket, {"x/": b"", "x/a/": b"", "x/a/b": b"1"})
    report = bucket.download_tree("x", tmp_path / "down")
    assert report.skipped == ("", "a/")
    assert files_in(tmp_path / "down") == {"a/b": b"1"}


def test_a_key_below_another_is_refused_always_the_same(bucket: Any, tmp_path: Path):
    fill(bucket, {"a": b"1", "a-b": b"2", "a-b/c": b"3", "a/b": b"4", "a/b/c": b"5", "ab": b"6"})
    errors = refused(bucket, tmp_path / "down")
    assert set(errors) == {"a-b/c", "a/b", "a/b/c"}
    assert "'a' is an object too" in str(errors["a/b"])
    assert files_in(tmp_path / "down") == {"a": b"1", "a-b": b"2", "ab": b"6"}


def test_files_and_folders_in_the_way(bucket: Any, tmp_path: Path):
    make_folder(tmp_path, {"a": b"a file", "b/c": b"a folder"})
    fill(bucket, {"a/x": b"1", "b": b"2", "c": b"3"})
    errors = refused(bucket, tmp_path)
    assert {key: type(error) for key, error in errors.items()} == {
        "a/x": NotADirectoryError,
        "b": IsADirectoryError,
    }
    assert str(tmp_path) in str(errors["a/x"])
    assert files_in(tmp_path) == {"a": b"a file", "b/c": b"a folder", "c": b"3"}


def test_links_in_the_folder_are_not_followed(bucket: Any, tmp_path: Path):
    outside = make_folder(tmp_path / "outside", {"secret": b"mine"})
    folder = make_folder(tmp_path / "down", {})
    (folder / "away").symlink_to(outside)
    (folder / "file").symlink_to(outside / "secret")
    (folder / "big").symlink_to(outside / "secret")
    fill(bucket, {"away/x": b"1", "file": b"2", "big": content(3 * PART)})
    with pytest.raises(TransferIncompleteError) as failed:
        bucket.download_tree("", folder, options=SMALL_PARTS)
    (failure,) = failed.value.report.failures
    assert failure.key == "away/x"
    assert "symbolic link" in str(failure.error)
    assert files_in(outside) == {"secret": b"mine"}
    assert (folder / "file").read_bytes() == b"2"
    assert not (folder / "file").is_symlink()
    assert (folder / "big").read_bytes() == content(3 * PART)


def test_large_ones_stay_out_of_linked_folders_too(bucket: Any, tmp_path: Path):
    outside = make_folder(tmp_path / "outside", {})
    folder = make_folder(tmp_path / "down", {})
    (folder / "away").symlink_to(outside)
    fill(bucket, {"away/big": content(3 * PART)})
    with pytest.raises(TransferIncompleteError):
        bucket.download_tree("", folder, options=SMALL_PARTS)
    assert files_in(outside) == {}


def test_names_that_the_disk_takes_for_the_same(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("storage_core.transfer.placing.folds_case", lambda folder: True)
    composed, decomposed = "\u00e9", "e\u0301"
    fill(bucket, {"A": b"1", "a": b"2", composed: b"3", decomposed: b"4", "b": b"5"})
    errors = refused(bucket, tmp_path / "down")
    assert set(errors) == {"a", composed}
    assert "'A' and 'a' for the same" in str(errors["a"])


def test_permissions_of_replaced_files_stay(bucket: Any, tmp_path: Path):
    make_folder(tmp_path, {"a": b"old"})
    (tmp_path / "a").chmod(0o600)
    fill(bucket, {"a": b"new"})
    bucket.download_tree("", tmp_path)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_socket_in_the_folder_is_replaced(bucket: Any, tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(tmp_path / "a"))
    fill(bucket, {"a": b"new"})
    bucket.download_tree("", tmp_path)
    assert files_in(tmp_path) == {"a": b"new"}


def test_what_is_there_is_kept_large_or_a_link(bucket: Any, tmp_path: Path):
    folder = make_folder(tmp_path / "down", {"big": b"mine"})
    (folder / "link").symlink_to(tmp_path / "nowhere")
    fill(bucket, {"big": content(3 * PART), "link": content(3 * PART)})
    with pytest.raises(TransferIncompleteError) as failed:
        bucket.download_tree("", folder, replace=False, options=SMALL_PARTS)
    errors = [type(found.error) for found in failed.value.report.failures]
    assert errors == [FileExistsError, FileExistsError]
    assert (folder / "big").read_bytes() == b"mine"
    assert (folder / "link").is_symlink()
