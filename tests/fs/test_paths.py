"""Paths: what they say, and what they lead to."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from storage_core.errors import InvalidRequestError
from storage_core.fs import StorageFileSystem, paths
from storage_core.fs.paths import Place


@pytest.mark.parametrize(
    ("written", "stripped"),
    [
        ("storage://dev/fruit/a", "dev/fruit/a"),
        ("dev/fruit/a", "dev/fruit/a"),
        ("/dev/fruit/a/", "dev/fruit/a"),
        ("storage://dev/fruit/", "dev/fruit"),
        ("storage://dev", "dev"),
        ("storage://", ""),
        ("/", ""),
        ("dev/fruit//a//b//", "dev/fruit//a//b"),
        ("dev/fruit/a%20b?c#d[e]::f", "dev/fruit/a%20b?c#d[e]::f"),
        ("dev/fruit/storage://a", "dev/fruit/storage://a"),
        (PurePosixPath("dev/fruit/a"), "dev/fruit/a"),
    ],
)
def test_a_path_is_stripped_once_and_for_all(written: str, stripped: str):
    assert StorageFileSystem._strip_protocol(written) == stripped
    assert StorageFileSystem._strip_protocol(stripped) == stripped
    assert StorageFileSystem._strip_protocol([written, "x/"]) == [stripped, "x"]


@pytest.mark.parametrize(
    ("path", "parent"),
    [
        ("dev/fruit/a/b", "dev/fruit/a"),
        ("storage://dev/fruit/a", "dev/fruit"),
        ("dev/fruit", "dev"),
        ("dev", ""),
        ("", ""),
        ("dev/fruit/a//b", "dev/fruit/a"),
    ],
)
def test_the_parent(path: str, parent: str):
    assert StorageFileSystem._parent(path) == parent


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", Place("", "", "")),
        ("dev", Place("dev", "", "")),
        ("dev/fruit", Place("dev", "fruit", "")),
        ("storage://dev/fruit/a/b", Place("dev", "fruit", "a/b")),
        ("dev/fruit//a", Place("dev", "fruit", "/a")),
    ],
)
def test_a_path_taken_apart_and_put_together(path: str, place: Place):
    assert paths.place(path) == place
    assert place.path == paths.strip(path)


def test_a_key_needs_a_bucket():
    with pytest.raises(InvalidRequestError, match="names no bucket; write storage://profile"):
        paths.place("dev//key")


@pytest.mark.parametrize(("path", "what"), [("dev/fruit", "bucket"), ("dev", "profile")])
def test_only_a_path_with_a_key_is_one_of_an_object(path: str, what: str):
    with pytest.raises(IsADirectoryError, match=f"names a {what}"):
        paths.object_at(path)
