"""How the keys of a tree are cut into ranges."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from storage_core import Bucket
from storage_core.cluster.ranges import cut
from storage_core.transfer.entries import ALL, KeyRange
from tests.cluster.trees import fill


def assert_whole(ranges: list[KeyRange]) -> None:
    """They hold every key once: one begins where the other ends."""
    assert ranges[0].after == ALL.after
    assert ranges[-1].until is None
    for one, other in pairwise(ranges):
        assert one.until == other.after
        assert one.after < one.until


@pytest.mark.parametrize("wanted", [1, 3, 8, 1000])
def test_ranges_of_a_bucket(source: Bucket, wanted: int):
    fill(source, 50, prefix="in/")
    fill(source, 50, prefix="in/3/deeper/")
    ranges = cut(source.tree("in"), wanted)
    assert_whole(ranges)
    assert len(ranges) <= wanted + 1
    assert len(ranges) > min(wanted, 13) // 2


def test_ranges_go_down_where_there_is_little_on_top(source: Bucket):
    fill(source, 50, prefix="only/one/way/")
    assert KeyRange("only/one/way/3/", "only/one/way/4/") in cut(source.tree(), 8)


def test_ranges_of_a_folder(tmp_path: Path):
    for name in ("a/x", "b/y/z", "c"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").touch()
    ranges = cut(tmp_path, 100)
    assert_whole(ranges)
    assert [one.until for one in ranges] == ["a/x/", "b/y/z/", "c/", None]


def test_nothing_to_cut(source: Bucket):
    source.put("flat", b"")
    assert cut(source.tree(), 8) == [ALL]
