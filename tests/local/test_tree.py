"""The ordered tree: against a dictionary, and under concurrent use by several processes."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import storage_core
from storage_core import ObjectSummary
from storage_local import split
from storage_local.fsck import check
from storage_local.names import file_name, sort_key
from storage_local.tree import Limits
from storage_local.tree_map import Range, decode, encode
from tests.local.conftest import make_driver, root_of

TINY = Limits(leaf_size=4, check_every=1)

SEGMENT = st.sampled_from(
    ["a", "b", "A", "/", ".", "-", "0", "é", "~", "%", "a" * 90, "\U0001f34e" * 30]
)
KEYS = (
    st.lists(SEGMENT, min_size=1, max_size=4)
    .map("".join)
    .filter(
        lambda key: (
            not any(part in {".", ".."} for part in key.split("/")) and len(key.encode()) < 1000
        )
    )
)


class TreeMachine(RuleBasedStateMachine):
    """A bucket with leaves of four records does what a sorted dictionary does."""

    @initialize()
    def start(self):
        self.place = Path(tempfile.mkdtemp())
        self.storage = storage_core.open_driver(make_driver(self.place / "r", TINY))
        self.bucket = self.storage.create_bucket("fruit")
        self.model: dict[str, bytes] = {}

    @rule(key=KEYS, body=st.binary(max_size=8))
    def put(self, key, body):
        self.bucket.put(key, body)
        self.model[key] = body

    @rule(key=KEYS)
    def delete(self, key):
        self.bucket.delete(key)
        self.model.pop(key, None)

    @rule(data=st.data())
    def delete_known(self, data):
        if self.model:
            self.delete(data.draw(st.sampled_from(sorted(self.model))))

    @rule(data=st.data(), key=KEYS)
    def move(self, data, key):
        if self.model:
            source = data.draw(st.sampled_from(sorted(self.model)))
            self.bucket.move(source, key)
            self.model[key] = self.model.pop(source)

    @rule(key=KEYS)
    def get(self, key):
        if key in self.model:
            with self.bucket.get(key) as reader:
                assert reader.read() == self.model[key]
        else:
            assert not self.bucket.exists(key)

    @rule(prefix=st.sampled_from(["", "a", "a.", "a/", "A", "é", "."]), after=KEYS | st.just(""))
    def list(self, prefix, after):
        found = [item.key for item in self.bucket.list(prefix=prefix, start_after=after)]
        assert found == [
            key
            for key in sorted(self.model, key=str.encode)
            if key.startswith(prefix) and key.encode() > after.encode()
        ]

    @rule(
        prefix=st.sampled_from(["", "a", "/"]),
        delimiter=st.sampled_from(["/", "a", "./", "é", "-0"]),
        size=st.integers(1, 5),
    )
    def list_groups(self, prefix, delimiter, size):
        expected: list[str] = []
        for key in sorted(self.model, key=str.encode):
            if key.startswith(prefix):
                found = key.find(delimiter, len(prefix))
                item = key if found < 0 else key[: found + len(delimiter)] + "\0group"
                if item not in expected[-1:]:
                    expected.append(item)
        listed: list[str] = []
        for page in self.bucket.list(prefix=prefix, delimiter=delimiter, page_size=size).pages():
            assert len(page.items) <= size
            listed += [item.key + ("\0group" if item.is_prefix else "") for item in page.items]
        assert listed == expected

    @rule()
    def reopen(self):
        self.storage.close()
        self.storage = storage_core.open_driver(make_driver(self.place / "r", TINY))
        self.bucket = self.storage.bucket("fruit")

    @invariant()
    def leaves_are_small(self):
        if not hasattr(self, "storage"):
            return
        tree = root_of(self.storage).bucket("fruit").objects
        for one in tree.map.ranges:
            assert one.fallback is None
            leaf = tree.handles.leaf(one.leaf, tree.leaves_fd)
            assert len(tree.names_in(leaf)) <= 2 * TINY.leaf_size

    def teardown(self):
        if hasattr(self, "storage"):
            report = check(root_of(self.storage), deep=True)
            assert report.findings == []
            assert report.objects == len(self.model)
            self.storage.close()
            shutil.rmtree(self.place)


TestTree = TreeMachine.TestCase
TestTree.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


# --- structure ------------------------------------------------------------------------


def test_ascending_keys_fill_leaves(open_storage):
    bucket = open_storage(Limits(leaf_size=10, check_every=1)).create_bucket("fruit")
    for number in range(100):
        bucket.put(f"{number:04}", b"")
    tree = root_of(bucket.storage).bucket("fruit").objects
    sizes = [
        len(tree.names_in(tree.handles.leaf(one.leaf, tree.leaves_fd))) for one in tree.map.ranges
    ]
    assert sizes[:-1] == [11] * (len(sizes) - 1)


def test_emptied_leaves_are_dropped(open_storage):
    bucket = open_storage(TINY).create_bucket("fruit")
    for number in range(100):
        bucket.put(f"{number:04}", b"")
    for number in range(100):
        bucket.delete(f"{number:04}")
    tree = root_of(bucket.storage).bucket("fruit").objects
    # The last one was made for keys that never came, so nothing was removed from it.
    assert len(tree.reload().ranges) == len(os.listdir(tree.leaves_fd)) == 2
    check(root_of(bucket.storage), repair=True)
    assert len(tree.reload().ranges) == len(os.listdir(tree.leaves_fd)) == 1


@pytest.mark.parametrize("moved", [0, 1, 3])
def test_a_half_done_split_is_seen_through_and_finished(open_storage, moved):
    storage = open_storage(Limits(leaf_size=1000, check_every=10**9))
    bucket = storage.create_bucket("fruit")
    keys = [f"k{number}" for number in range(8)]
    for key in keys:
        bucket.put(key, key.encode())
    tree = root_of(storage).bucket("fruit").objects
    moves = []
    real = split._move
    split._move = lambda tree, leaf, target, names: moves.append((leaf, target, names))
    try:
        leaf = tree.acquire(sort_key("k0"))
        split._split(tree, leaf, sort_key("k4"), [sort_key(key) for key in keys[4:]])
        leaf.unlock()
    finally:
        split._move = real
    leaf, target, names = moves[0]
    for name in names[:moved]:
        os.rename(name, name, src_dir_fd=leaf.fd, dst_dir_fd=target.fd)
    other = open_storage().bucket("fruit")
    assert [item.key for item in other.list()] == keys
    for key in keys:
        with other.get(key) as reader:
            assert reader.read() == key.encode()
    assert tree.reload().ranges[1].fallback == leaf.id
    other.put("k6", b"new")
    assert tree.reload().ranges[1].fallback is None
    assert file_name(sort_key("k7")) in os.listdir(target.fd)
    assert [item.key for item in bucket.list()] == keys
    assert check(root_of(storage)).findings == []


def test_map_text_round_trips_and_tells_damage():
    ranges = [Range("", "aa"), Range("k!", "bb", "aa")]
    text = encode(ranges)
    assert decode(text) == ranges
    for place in range(len(text) - 1):
        broken = bytearray(text)
        broken[place] ^= 1
        with pytest.raises(ValueError, match="map"):
            decode(bytes(broken))
    for wrong in ([], [Range("a", "x")], [Range("", "x"), Range("", "y")]):
        with pytest.raises(ValueError, match="order"):
            decode(encode(wrong))


# --- several processes ----------------------------------------------------------------


def _writer(place: Path, seed: int, stop: float) -> None:
    random.seed(seed)
    with storage_core.open_driver(make_driver(place, TINY)) as storage:
        bucket = storage.bucket("fruit")
        number = 0
        while time.monotonic() < stop:
            key = f"w{seed}/{random.randrange(60):03}"
            if random.random() < 0.6:
                bucket.put(key, f"{key} {number}".encode())
            else:
                bucket.delete(key)
            number += 1


def _reader(place: Path, stop: float, failed) -> None:
    with storage_core.open_driver(make_driver(place, TINY)) as storage:
        bucket = storage.bucket("fruit")
        while time.monotonic() < stop:
            for number in range(0, 100, 7):
                with bucket.get(f"still/{number:03}") as reader:
                    if reader.read() != b"%d" % number:
                        failed.set()


def _lister(place: Path, stop: float, failed) -> None:
    expected = [f"still/{number:03}" for number in range(100)]
    with storage_core.open_driver(make_driver(place, TINY)) as storage:
        bucket = storage.bucket("fruit")
        while time.monotonic() < stop:
            keys = [
                item.key for item in bucket.list(page_size=7) if isinstance(item, ObjectSummary)
            ]
            if keys != sorted(set(keys)):
                failed.set()
            if [key for key in keys if key.startswith("still/")] != expected:
                failed.set()


def test_readers_and_listers_beside_splitting_writers(open_storage, place):
    storage = open_storage(TINY)
    bucket = storage.create_bucket("fruit")
    for number in range(100):
        bucket.put(f"still/{number:03}", b"%d" % number)
    context = multiprocessing.get_context("spawn")
    failed = context.Event()
    stop = time.monotonic() + 4
    workers = [
        *(context.Process(target=_writer, args=(place, seed, stop)) for seed in range(3)),
        context.Process(target=_reader, args=(place, stop, failed)),
        context.Process(target=_lister, args=(place, stop, failed)),
    ]
    for worker in workers:
        worker.start()
    while time.monotonic() < stop:
        check(root_of(storage), repair=True)  # safe while writers run
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    assert not failed.is_set()
    listed = [item.key for item in bucket.list()]
    for key in listed:
        with bucket.get(key) as reader:
            assert reader.read().startswith(key.encode()) or key.startswith("still/")
    report = check(root_of(storage), deep=True)
    assert report.findings == []
    assert report.objects == len(listed)
