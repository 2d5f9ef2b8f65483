"""What other processes do with a profile in the cases of category Q.

Functions here are called by `storage_conformance.workers`: the first argument is a bucket
of a storage opened in that process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pickle
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable

from storage_conformance.helpers import keys_of, read
from storage_conformance.workers import Spec, tell
from storage_core import Bucket, NotFoundError, aio

DESCRIPTORS = "/proc/self/fd"
"""Where Linux lists a process's open descriptors."""
COMPLAINTS = (
    "ResourceWarning",
    "RuntimeWarning",
    "Exception ignored",
    "was never awaited",
    "was never retrieved",
    "was destroyed",
)
"""What Python writes of things that were not closed."""
CHILD_SECONDS = 120
"""After which a forked child that hangs is ended by its alarm."""


def pattern(size: int) -> bytes:
    """Bytes of a given number in which a misplaced piece shows."""
    return (b"%d," * 20_000 % tuple(range(20_000)) * (size // 100_000 + 1))[:size]


def write_full(bucket: Bucket, key: str, size: int) -> str:
    """An object with content type and metadata; its etag."""
    metadata = {"from": "another process, ü"}
    return bucket.put(key, pattern(size), content_type="text/csv", metadata=metadata).etag


def read_all(bucket: Bucket) -> dict[str, bytes]:
    """Every object of the bucket."""
    return {key: read(bucket, key) for key in keys_of(bucket.list())}


def change_by_steps(bucket: Bucket) -> None:
    """Delete one object and replace another; after each step wait for the word to go on."""
    for said, step in (
        ("deleted", lambda: bucket.delete("gone")),
        ("replaced", lambda: bucket.put("changed", b"new")),
    ):
        step()
        tell(said)
        sys.stdin.buffer.readline()


def list_from(bucket: Bucket, prefix: str, token: str) -> list[str]:
    """Keys of the pages from a token on."""
    pages = bucket.list(prefix, page_size=4).pages(token)
    return [key for page in pages for key in keys_of(page.items)]


# --- forks ----------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> int:
    """Do something in a forked child; its exit status, 0 when it went well."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(CHILD_SECONDS)
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fork_and_use(bucket: Bucket) -> tuple[int, set[str]]:
    """Use one storage before a fork, in the child, and in the parent after it."""

    def child() -> None:
        assert read(bucket, "before") == b"1" * 100_000
        bucket.put("child", b"2" * 100_000)
        assert read(bucket, "child") == b"2" * 100_000
        assert set(keys_of(bucket.list())) == {"before", "child"}

    bucket.put("before", b"1" * 100_000)
    assert read(bucket, "before") == b"1" * 100_000
    status = in_child(child)
    bucket.put("parent", b"3")
    assert read(bucket, "parent") == b"3"
    return status, set(keys_of(bucket.list()))


def fork_while_busy(bucket: Bucket) -> list[int]:
    """Fork again and again while threads are in the middle of calls."""
    stop = threading.Event()

    def busy(number: int) -> None:
        while not stop.is_set():
            bucket.put(f"busy/{number}", b"x" * 20_000)
            read(bucket, f"busy/{number}")

    def child() -> None:
        for turn in range(3):
            bucket.put("child", b"%d" % turn)
            assert read(bucket, "child") == b"%d" % turn
            assert "child" in keys_of(bucket.list())

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        return [in_child(child) for _ in range(10)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


# --- what is left ---------------------------------------------------------------------


def use_all(bucket: Bucket) -> None:
    """Something of everything, ended early and late."""
    for size in (0, 10, 300_000):
        bucket.put(f"k/{size}", pattern(size))
        assert len(read(bucket, f"k/{size}")) == size
    with bucket.get("k/300000") as reader:
        reader.read(10)
    bucket.get("k/300000", range=(5, 200_000)).close()
    list(bucket.list(delimiter="/", page_size=1))
    with contextlib.suppress(ZeroDivisionError), bucket.writer("aborted") as writer:
        writer.write(b"x" * 300_000)
        raise ZeroDivisionError
    with contextlib.suppress(NotFoundError):
        bucket.head("none")
    if bucket.storage.capabilities.multipart:
        bucket.create_upload("aborted").abort()
        upload = bucket.create_upload("parts")
        upload.put_part(1, b"x")
        upload.complete()
    bucket.copy("k/10", "copied")
    bucket.delete_many(keys_of(bucket.list()))


def use_all_async(bucket: Bucket) -> None:
    """The same on the async face, with calls side by side and one that is cancelled."""
    driver = pickle.loads(pickle.dumps(bucket.storage.driver))

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.001)

    async def use() -> None:
        async with aio.open_driver(driver) as storage:
            own = storage.bucket(bucket.name)
            if not await storage.bucket_exists(bucket.name):
                await storage.create_bucket(bucket.name)
            await asyncio.gather(*(own.put(f"k/{n}", pattern(n * 20_000)) for n in range(16)))
            async with own.get("k/15") as reader:
                await reader.read(10)
            unread = await own.get("k/15", range=(5, 200_000))
            await unread.close()
            _ = [item async for item in own.list(page_size=3)]
            task = asyncio.ensure_future(own.put("cancelled", endless()))
            await asyncio.sleep(0.05)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert not await own.exists("cancelled")
            await own.delete_many([item.key async for item in own.list()])

    asyncio.run(use())


def count_descriptors(bucket: Bucket, spec: Spec) -> list[int]:
    """Open descriptors after each of several turns of open, use and close."""
    counts = []
    for _ in range(5):
        _use_anew(bucket, spec)
        gc.collect()
        counts.append(len(os.listdir(DESCRIPTORS)))
    return counts


def count_threads(bucket: Bucket, spec: Spec) -> tuple[int, int]:
    """Threads before and after a storage was opened, used on both faces, and closed."""
    before = threading.active_count()
    _use_anew(bucket, spec)
    use_all_async(bucket)
    return before, threading.active_count()


def _use_anew(bucket: Bucket, spec: Spec) -> None:
    with spec.open() as storage:
        if not storage.bucket_exists(bucket.name):
            storage.create_bucket(bucket.name)
        use_all(storage.bucket(bucket.name))
