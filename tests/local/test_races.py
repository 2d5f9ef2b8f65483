"""Conditional writes between processes: one winner, no update lost."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest

import storage_core
from storage_core import Bucket, PreconditionFailedError
from tests.local.conftest import make_driver

PROCESSES, THREADS = 8, 8
SIZES = [10, 100_000]  # inline, and with a data file


def _create(place: Path, size: int, versions: bool, start, won) -> None:
    with storage_core.open_driver(make_driver(place, versions=versions)) as storage:
        bucket = storage.bucket("fruit")
        start.wait()

        def one(own: int) -> None:
            body = f"{multiprocessing.current_process().pid}-{own}".encode().ljust(size, b".")
            for key in ("a", "b", "c"):
                try:
                    bucket.put(key, body, if_absent=True)
                except PreconditionFailedError:
                    continue
                won.put((key, body))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


# Eight interpreters a pair: the crossed pairs show nothing that these two do not.
@pytest.mark.parametrize(
    ("versions", "size"),
    [
        (False, SIZES[0]),
        (True, SIZES[1]),
        pytest.param(False, SIZES[1], marks=pytest.mark.repetition),
        pytest.param(True, SIZES[0], marks=pytest.mark.repetition),
    ],
)
def test_of_64_writers_that_create_one_key_one_wins(open_storage, place, size, versions):
    bucket = open_storage(versions=versions).create_bucket("fruit")
    context = multiprocessing.get_context("spawn")
    start, won = context.Barrier(PROCESSES), context.Queue()
    arguments = (place, size, versions, start, won)
    racers = [context.Process(target=_create, args=arguments) for _ in range(PROCESSES)]
    for racer in racers:
        racer.start()
    winners = dict(won.get(timeout=120) for _ in range(3))
    for racer in racers:
        racer.join()
        assert racer.exitcode == 0
    assert won.empty()
    assert winners.keys() == {"a", "b", "c"}
    for key, body in winners.items():
        with bucket.get(key) as reader:
            assert reader.read() == body


def number(value: int, size: int) -> bytes:
    return str(value).rjust(size, "0").encode()


def _increment(bucket: Bucket, times: int, size: int) -> None:
    done = 0
    while done < times:
        with bucket.get("counter") as reader:
            value, etag = int(reader.read()[-9:]), reader.info.etag
        try:
            bucket.put("counter", number(value + 1, size), if_match=etag)
        except PreconditionFailedError:
            continue
        done += 1


def _count(place: Path, times: int, size: int) -> None:
    with storage_core.open_driver(make_driver(place)) as storage:
        _increment(storage.bucket("fruit"), times, size)


@pytest.mark.parametrize("size", [1, 4000, 40_000])
def test_16_processes_that_compare_and_swap_lose_no_update(open_storage, place, size):
    bucket = open_storage().create_bucket("fruit")
    bucket.put("counter", number(0, size))
    context = multiprocessing.get_context("fork")
    racers = [context.Process(target=_count, args=(place, 20, size)) for _ in range(16)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
        assert racer.exitcode == 0
    with bucket.get("counter") as reader:
        assert int(reader.read()[-9:]) == 16 * 20


def test_parts_and_completion_race(open_storage):
    """Of several completing one session, one does; the others find it gone."""
    bucket = open_storage().create_bucket("fruit")
    upload = bucket.create_upload("big")
    parts = [upload.put_part(1, b"x" * 50_000)]
    outcomes = []

    def complete() -> None:
        try:
            bucket.resume_upload(upload.id).complete(parts)
            outcomes.append("done")
        except storage_core.UploadNotFoundError:
            outcomes.append("gone")

    threads = [threading.Thread(target=complete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done"] + ["gone"] * 7


def test_moves_across_each_other(open_storage):
    """Two that move objects to and fro between the same two leaves do not block one another,
    and every object is in exactly one place at the end."""
    bucket = open_storage().create_bucket("fruit")
    for number in range(20):
        bucket.put(f"a{number:02}", b"%d" % number)

    def shuttle(numbers: range) -> None:
        for _ in range(30):
            for number in numbers:
                bucket.move(f"a{number:02}", f"z{number:02}")
            for number in numbers:
                bucket.move(f"z{number:02}", f"a{number:02}")

    threads = [
        threading.Thread(target=shuttle, args=(range(start, 20, 4),), daemon=True)
        for start in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    assert [item.key for item in bucket.list()] == [f"a{number:02}" for number in range(20)]
