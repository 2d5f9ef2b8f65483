"""Category Q: other processes, forks, threads, event loops, and what is left when all is closed."""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

import storage_core
from storage_conformance import exercises, workers
from storage_conformance.cases import case, unsupported
from storage_conformance.fixtures import Suite
from storage_conformance.helpers import keys_of, listed, read, together
from storage_conformance.workers import Spec, Worker
from storage_core import Bucket, ClosedError, ObjectNotFoundError, Storage, StorageError, aio
from storage_core.model import Capabilities


class Process(Suite):
    """Cases Q."""

    @case("Q01", "a storage closes twice, and tells that it is closed", clause="Objects")
    def test_q01_close_twice(self, opener: Callable[..., Storage]) -> None:
        storage = opener()
        assert not storage.closed
        for _ in range(2):
            storage.close()
            assert storage.closed

    @case("Q02", "leaving a storage's block closes it, also by an exception", clause="Objects")
    def test_q02_block(self, opener: Callable[..., Storage]) -> None:
        storage = opener()
        with pytest.raises(ZeroDivisionError), storage:
            raise ZeroDivisionError
        assert storage.closed
        with pytest.raises(ClosedError):
            list(storage.list_buckets())

    @case("Q03", "closing one opening of a profile leaves the others open", clause="Objects")
    def test_q03_independent(self, bucket: Bucket, opener: Callable[..., Storage]) -> None:
        others = [opener() for _ in range(3)]
        bucket.put("a", b"1")
        others[1].close()
        assert read(bucket, "a") == b"1"
        assert read(others[2].bucket(bucket.name), "a") == b"1"

    @case("Q04", "several openings of a profile see one another's writes at once", clause="Listing")
    def test_q04_openings(
        self, bucket: Bucket, opener: Callable[..., Storage], capabilities: Capabilities
    ) -> None:
        other = opener().bucket(bucket.name)
        for number in range(20):
            writer, reader = (bucket, other) if number % 2 else (other, bucket)
            writer.put("same", b"%d" % number)
            writer.put(f"own/{number:02}", b"")
            assert read(reader, "same") == b"%d" % number
            assert f"own/{number:02}" in listed(reader, capabilities, "own/")
        bucket.delete("same")
        assert not other.exists("same")

    @case("Q05", "threads share a storage: no call disturbs another", clause="Objects")
    def test_q05_threads(self, bucket: Bucket, capabilities: Capabilities) -> None:
        def work(number: int) -> int:
            for turn in range(10):
                key, body = f"{number}/{turn}", b"%d:%d" % (number, turn) * (turn * 500 + 1)
                bucket.put(key, body, metadata={"n": str(number)})
                assert read(bucket, key) == body
                assert bucket.head(key).metadata == {"n": str(number)}
                assert listed(bucket, capabilities, f"{number}/") == [
                    f"{number}/{t}" for t in range(turn + 1)
                ]
                with pytest.raises(ObjectNotFoundError):
                    bucket.get(f"{number}/none")
            return number

        outcomes = together(*(lambda n=n: work(n) for n in range(8)))
        assert outcomes == list(range(8))
        assert len(keys_of(bucket.list())) == 80

    @case("Q06", "a driver goes through pickle and works again", clause="Objects")
    def test_q06_pickled_driver(self, bucket: Bucket, storage: Storage) -> None:
        driver = pickle.loads(pickle.dumps(storage.driver))
        assert type(driver) is type(storage.driver)
        with storage_core.open_driver(driver) as again:
            assert again.driver.capabilities == storage.driver.capabilities
            name = bucket.name
            if again.bucket_exists(name):
                again.bucket(name).put("a", b"1")
                assert read(bucket, "a") == b"1", "the copy writes elsewhere"
            else:
                again.create_bucket(name).put("a", b"1")
                assert read(again.bucket(name), "a") == b"1"

    @case("Q07", "a bucket goes through pickle, storage and all", clause="Objects")
    def test_q07_pickled_bucket(self, profile_spec: Spec, bucket: Bucket) -> None:
        with profile_spec.open() as opened:
            again = pickle.loads(pickle.dumps(opened.bucket(bucket.name)))
            with again.storage:
                assert again.name == bucket.name
                shared = again.storage.bucket_exists(bucket.name)
                if not shared:
                    again.storage.create_bucket(bucket.name)
                again.put("a", b"1")
                assert read(bucket if shared else again, "a") == b"1"
        assert not bucket.storage.closed

    @case(
        "Q08",
        "an object written by another process is there, whole and with all it had",
        clause="Objects",
    )
    def test_q08_other_process_writes(
        self, bucket: Bucket, profile_spec: Spec, capabilities: Capabilities
    ) -> None:
        etag = workers.run(profile_spec, bucket, exercises.write_full, "a b/ü", 300_000)
        info = bucket.head("a b/ü")
        assert (info.etag, info.size, info.content_type) == (etag, 300_000, "text/csv")
        assert info.metadata == {"from": "another process, ü"}
        assert read(bucket, "a b/ü") == exercises.pattern(300_000)
        assert listed(bucket, capabilities) == ["a b/ü"]

    @case("Q09", "another process reads what was written here before it began", clause="Objects")
    def test_q09_other_process_reads(self, bucket: Bucket, profile_spec: Spec) -> None:
        bodies = {"small": b"1", "empty": b"", "large": exercises.pattern(300_000)}
        for key, body in bodies.items():
            bucket.put(key, body)
        found = workers.run(profile_spec, bucket, exercises.read_all)
        assert found == bodies

    @case("Q10", "what another process deletes or replaces is seen here at once", clause="Objects")
    def test_q10_other_process_changes(self, bucket: Bucket, profile_spec: Spec) -> None:
        for key in ("gone", "changed", "kept"):
            bucket.put(key, b"old")
            assert read(bucket, key) == b"old"
        with Worker(profile_spec, bucket, exercises.change_by_steps) as worker:
            worker.ready()
            worker.go()
            assert worker.say() == b"deleted"
            assert not bucket.exists("gone")
            worker.go()
            assert worker.say() == b"replaced"
            assert read(bucket, "changed") == b"new"
            worker.go()
            worker.result()
        assert keys_of(bucket.list()) == ["changed", "kept"]

    @case("Q11", "a page token goes on in another process", clause="Listing")
    def test_q11_token(self, bucket: Bucket, profile_spec: Spec) -> None:
        keys = [f"k/{number:02}?ü" for number in range(10)]
        for key in keys:
            bucket.put(key, b"")
        page = next(iter(bucket.list("k/", page_size=4).pages()))
        assert page.next_token is not None
        rest = workers.run(profile_spec, bucket, exercises.list_from, "k/", page.next_token)
        assert not isinstance(rest, StorageError), rest
        assert keys_of(page.items) + rest == keys

    @case("Q12", "a storage works on both sides of a fork", clause="Objects")
    def test_q12_fork(self, bucket: Bucket, profile_spec: Spec) -> None:
        _needs_fork()
        with Worker(profile_spec, bucket, exercises.fork_and_use) as worker:
            worker.ready(alone=True)
            worker.go()
            status, seen = worker.result()
        assert status == 0, f"the child ended with {status}"
        assert seen >= {"before", "parent"}

    @case(
        "Q13",
        "a fork in the midst of other threads' work does not hang the child",
        clause="Objects",
    )
    def test_q13_busy_fork(self, bucket: Bucket, profile_spec: Spec) -> None:
        _needs_fork()
        with Worker(profile_spec, bucket, exercises.fork_while_busy) as worker:
            worker.ready(alone=True)
            worker.go()
            statuses = worker.result()
        assert statuses == [0] * len(statuses), f"children ended with {statuses}"

    @case("Q14", "the async face works on several event loops at once", clause="Objects")
    def test_q14_loops(self, storage: Storage, bucket_name: Callable[[], str]) -> None:
        frozen = pickle.dumps(storage.driver)

        async def use(name: str) -> bytes:
            async with aio.open_driver(pickle.loads(frozen)) as opened:
                own = await opened.create_bucket(name)
                await asyncio.gather(*(own.put(f"{n}", name.encode()) for n in range(8)))
                async with own.get("7") as reader:
                    body = await reader.read()
                await opened.delete_bucket(name, force=True)
                return body

        names = [bucket_name() for _ in range(3)]
        outcomes = together(*(lambda n=n: asyncio.run(use(n)) for n in names))
        assert outcomes == [name.encode() for name in names]

    @case(
        "Q15",
        "the async face is opened, used and closed on one loop after another",
        clause="Objects",
    )
    def test_q15_loop_after_loop(self, storage: Storage, bucket_name: Callable[[], str]) -> None:
        driver = pickle.loads(pickle.dumps(storage.driver))

        async def use() -> bytes:
            async with aio.open_driver(driver) as opened:
                own = await opened.create_bucket(bucket_name())
                await own.put("a", b"1")
                async with own.get("a") as reader:
                    found = await reader.read()
                await opened.delete_bucket(own.name, force=True)
                return found

        assert [asyncio.run(use()) for _ in range(3)] == [b"1"] * 3

    @case("Q16", "open, use and close leave no file descriptor or socket behind", clause="Objects")
    def test_q16_descriptors(self, bucket: Bucket, profile_spec: Spec) -> None:
        if not Path(exercises.DESCRIPTORS).is_dir():
            unsupported(f"the system does not list descriptors in {exercises.DESCRIPTORS}")
        with Worker(profile_spec, bucket, exercises.count_descriptors, profile_spec) as worker:
            worker.ready(alone=True)
            worker.go()
            counts = worker.result()
        assert len(set(counts)) == 1, f"descriptors after each turn: {counts}"

    @case(
        "Q17",
        "nothing warns of what was not closed: no resource, no coroutine, no task",
        clause="Objects",
    )
    def test_q17_warnings(self, bucket: Bucket, profile_spec: Spec) -> None:
        options = ("-X", "dev", "-W", "default::ResourceWarning")
        for function in (exercises.use_all, exercises.use_all_async):
            with Worker(profile_spec, bucket, function, options=options) as worker:
                worker.ready(alone=True)
                worker.go()
                worker.result()
            for word in exercises.COMPLAINTS:
                assert word not in worker.errors, worker.errors

    @case("Q18", "no thread is left when a storage is closed", clause="Objects")
    def test_q18_threads_left(self, bucket: Bucket, profile_spec: Spec) -> None:
        with Worker(profile_spec, bucket, exercises.count_threads, profile_spec) as worker:
            worker.ready(alone=True)
            worker.go()
            before, after = worker.result()
        assert after == before


def _needs_fork() -> None:
    if not hasattr(os, "fork"):
        unsupported("the system has no fork")
