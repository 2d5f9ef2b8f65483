"""The two faces: what they do not start, what they return, and how they show themselves."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_core import aio
from storage_core.errors import InvalidRequestError, NotModifiedError, ObjectNotFoundError
from tests.core.conftest import Opener
from tests.core.drivers import Scripted, Streamed
from tests.core.running import WAIT, begun

WATCHED = """
import gc, json, os, sys, threading, warnings
warnings.simplefilter("error")
import storage_core
before = threading.active_count()
with storage_core.open_url({url!r}) as storage:
    bucket = storage.create_bucket("fruit", exist_ok=True)
    descriptors = len(os.listdir("/proc/self/fd"))
    for size in (10, 300_000):
        bucket.put("a", bytes(size), if_absent=False)
        with bucket.get("a") as reader:
            assert len(reader.read()) == size
        bucket.head("a")
        list(bucket.list())
    with bucket.writer("b") as writer:
        writer.write(b"x")
    bucket.copy("a", "c")
    bucket.delete_many(["a", "b", "c"])
    gc.disable()
    held = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        bucket.put("a", bytes(300_000))
        bucket.get("a").read(10)  # forgotten, not closed
        try:
            bucket.get("missing")
        except storage_core.ObjectNotFoundError:
            pass
    after = len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
print(json.dumps({{
    "threads": threads - before,
    "held": after - held,
    "modules": sorted(sys.modules),
}}))
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    url = tmp_path_factory.mktemp("root").as_uri()
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", WATCHED.format(url=url)],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warning either, at the very end
    return dict(json.loads(done.stdout))


def test_the_blocking_face_on_local_disk_starts_no_thread_and_no_loop(watched: dict[str, object]):
    assert watched["threads"] == 0
    modules = set(watched["modules"])  # type: ignore[call-overload]
    assert "storage_local.driver" in modules
    assert modules & {"asyncio", "concurrent.futures", "multiprocessing"} == set()


def test_what_is_forgotten_is_closed_without_the_collector(watched: dict[str, object]):
    assert watched["held"] == 0


def test_the_async_face_on_local_disk_closes_its_threads(tmp_path: Path):
    async def main() -> None:
        async with aio.open_url(tmp_path.as_uri()) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", bytes(300_000))
            async with bucket.get("a") as reader:
                assert len(await reader.read()) == 300_000

    asyncio.run(main(), debug=True)
    assert begun() == set()


def test_small_objects_need_no_thread_to_be_read():
    """What came with the answer is given without another trip to a worker."""

    async def main() -> None:
        async with aio.open_driver(Scripted(("blocking",))) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", b"x")
            reader = await bucket.get("a")
            trips: list[Any] = []
            run = storage._runtime.run

            async def counted(coroutine: Any) -> Any:
                trips.append(coroutine)
                return await run(coroutine)

            reader._run = counted
            assert await reader.read() == b"x"
            await reader.close()
            assert trips == []

    asyncio.run(main())


def test_a_get_can_be_awaited_and_entered():
    async def main() -> None:
        async with aio.open_driver(Streamed()) as storage:
            bucket = await storage.create_bucket("fruit")
            await bucket.put("a", bytes(3000))
            async with bucket.get("a") as reader:
                assert [len(chunk) async for chunk in reader] == [1000] * 3
            reader = await bucket.get("a")
            async with reader:
                assert len(await reader.read()) == 3000
            buffer = bytearray(10)
            async with bucket.get("a") as reader:
                assert await reader.readinto(buffer) == 10
                assert (reader.start, reader.length, reader.position) == (0, 3000, 10)
            with pytest.raises(ObjectNotFoundError):
                async with bucket.get("missing"):
                    pass
            with pytest.raises(KeyError):
                async with bucket.get("a"):
                    raise KeyError

    asyncio.run(main(), debug=True)


def test_a_get_that_is_forgotten_is_warned_of():
    async def main() -> None:
        async with aio.open_driver(Scripted()) as storage:
            bucket = await storage.create_bucket("fruit")
            with pytest.warns(RuntimeWarning, match="never awaited"):
                bucket.get("a")  # type: ignore[unused-awaitable]

    asyncio.run(main())


def test_they_show_themselves_alike(inline: Opener):
    storage = inline(profile="dev")
    bucket = storage.create_bucket("fruit")
    upload = bucket.create_upload("a")
    assert repr(storage) == "<Storage 'dev': memory>"
    assert repr(bucket) == "<Bucket 'fruit' of 'dev'>"
    assert repr(upload) == "<Upload of 'a' in 'fruit'>"
    assert repr(bucket.writer("a")) == "<Writer 'a' open, 0 bytes>"
    storage.close()
    assert repr(storage) == "<Storage 'dev': memory closed>"

    async def main() -> None:
        twin = aio.open_driver(Scripted(), profile="dev")
        assert repr(twin) == "<AsyncStorage 'dev': memory closed>"
        async with twin:
            bucket = await twin.create_bucket("fruit")
            assert repr(bucket) == "<AsyncBucket 'fruit' of 'dev'>"
            assert repr(bucket.writer("a")) == "<AsyncWriter 'a' open, 0 bytes>"
            await bucket.put("a", b"x")
            async with bucket.get("a") as reader:
                assert repr(reader) == "<AsyncReader 'a' at 0 of 1>"
            assert repr(await bucket.create_upload("a")) == "<AsyncUpload of 'a' in 'fruit'>"

    asyncio.run(main())


def test_conditions_that_contradict_each_other(opened: Opener):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    driver.calls.clear()
    for call in (
        lambda: bucket.put("a", b"", if_absent=True, if_match="e"),
        lambda: bucket.writer("a", if_absent=True, if_match="e"),
        lambda: bucket.copy("a", "b", if_absent=True, if_match="e"),
    ):
        with pytest.raises(InvalidRequestError, match="exclude each other"):
            call()
    assert driver.calls == []


def test_moments_need_a_time_zone(opened: Opener):
    from datetime import datetime

    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    driver.calls.clear()
    naive = datetime(2026, 3, 1)  # noqa: DTZ001 - that is the point
    for call in (
        lambda: bucket.head("a", if_modified_since=naive),
        lambda: bucket.get("a", if_unmodified_since=naive),
        lambda: bucket.head("a", if_modified_since="2026-03-01"),  # type: ignore[arg-type]
        lambda: bucket.put("a", b"", expires_at=naive),
        lambda: bucket.copy("a", "b", source_if_modified_since=naive),
    ):
        with pytest.raises(InvalidRequestError, match="aware datetime"):
            call()
    assert driver.calls == []


def test_conditional_reads(opened: Opener):
    bucket = opened().create_bucket("fruit")
    etag = bucket.put("a", b"x").etag
    with pytest.raises(NotModifiedError):
        bucket.head("a", if_none_match=etag)
    assert bucket.head("a", if_none_match="other").etag == etag


def test_exists_hides_nothing_but_a_missing_object(opened: Opener):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    assert not bucket.exists("a")
    driver.script["head"] = [storage_core.PermissionDeniedError("no", status=403)]
    with pytest.raises(storage_core.PermissionDeniedError):
        bucket.exists("a")
    with pytest.raises(storage_core.BucketNotFoundError):
        bucket.storage.bucket("none").exists("a")
    driver.script["head_bucket"] = [storage_core.AuthenticationError("wrong credentials")]
    with pytest.raises(storage_core.AuthenticationError):
        bucket.storage.bucket_exists("fruit")
