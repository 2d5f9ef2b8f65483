"""One client of S3 in a process of its own, for `s3.py`.

    python benchmarks/_s3_peers.py PEER URL

Reads commands ``TASK COUNT WIDTH SIZE`` from its input and answers each with a line of JSON:
seconds, CPU seconds and the peak of its memory. Everybody runs with their own defaults, apart
from address and keys, and by the way of theirs that suits the task best.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import io
import itertools
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

BUCKET = "bench"
BODY = os.urandom(1024)
REGION = "us-east-1"
KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}
PIECE = 1024 * 1024


def key(number: int) -> str:
    return f"bench/object-{number:08}-1024"


class Zeros(io.RawIOBase):
    """A file of zeros that has its size but no bytes anywhere."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._size - self._at)
        self._at += count
        return count


class Blocking:
    """A client whose calls block; many at a time run in threads."""

    def get(self, number: int) -> None: ...
    def put(self, number: int) -> None: ...
    def head(self, number: int) -> None: ...
    def list(self) -> Iterator[int]:
        """Numbers of keys, page by page."""
        return iter(())

    def delete(self, count: int) -> None: ...
    def presign(self, count: int) -> None: ...
    def download(self, size: int) -> None: ...
    def upload(self, size: int) -> None: ...
    def close(self) -> None: ...

    def run(self, task: str, count: int, width: int, size: int) -> None:
        if task in {"get", "put", "head"}:
            call: Callable[[int], None] = getattr(self, task)
            if width == 1:
                for number in range(count):
                    call(number)
                return
            share = count // width

            def some(first: int) -> None:
                for number in range(first * share, (first + 1) * share):
                    call(number)

            threads = [threading.Thread(target=some, args=(n,)) for n in range(width)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        elif task == "list":
            seen = 0
            for found in self.list():
                seen += found
                if seen >= count:
                    return
            raise SystemExit(f"{seen} keys were listed, {count} were wanted")
        else:
            getattr(self, task)(size or count)


class Async:
    """A client of coroutines, on uvloop."""

    def __init__(self) -> None:
        import uvloop

        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.runner.run(self.open())

    async def open(self) -> None: ...
    async def shut(self) -> None: ...
    async def get(self, number: int) -> None: ...
    async def put(self, number: int) -> None: ...
    async def head(self, number: int) -> None: ...
    async def list(self, count: int) -> None: ...
    async def delete(self, count: int) -> None: ...
    async def presign(self, count: int) -> None: ...
    async def download(self, size: int) -> None: ...
    async def upload(self, size: int) -> None: ...

    def close(self) -> None:
        self.runner.run(self.shut())
        self.runner.close()

    def run(self, task: str, count: int, width: int, size: int) -> None:
        call = getattr(self, task)
        if task in {"get", "put", "head"}:
            self.runner.run(self._many(call, count, width))
        else:
            self.runner.run(call(size or count))

    async def _many(self, call: Callable[[int], Awaitable[None]], count: int, width: int) -> None:
        async def some(first: int, share: int) -> None:
            for number in range(first * share, (first + 1) * share):
                await call(number)

        if width == 1:
            await some(0, count)
            return
        async with asyncio.TaskGroup() as group:
            for n in range(width):
                group.create_task(some(n, count // width))


def profile(url: str) -> dict[str, Any]:
    return {
        "driver": "s3",
        "preset": "aws",
        "endpoint_url": url,
        "addressing": "path",
        "region": REGION,
        "access_key_id": KEYS["aws_access_key_id"],
        "secret_access_key": KEYS["aws_secret_access_key"],
    }


class StorageCore(Blocking):
    def __init__(self, url: str) -> None:
        import storage_core

        self.storage = storage_core.open(config=profile(url))
        self.bucket = self.storage.bucket(BUCKET)

    def close(self) -> None:
        self.storage.close()

    def get(self, number: int) -> None:
        with self.bucket.get(key(number)) as reader:
            reader.read()

    def put(self, number: int) -> None:
        self.bucket.put(key(number), BODY)

    def head(self, number: int) -> None:
        self.bucket.head(key(number))

    def list(self) -> Iterator[int]:
        for page in self.bucket.list().pages():
            yield sum(1 for item in page.items if item.key)

    def delete(self, count: int) -> None:
        self.bucket.delete_many(map(key, range(count)))

    def presign(self, count: int) -> None:
        for number in range(count):
            self.bucket.presign(key(number))

    def download(self, size: int) -> None:
        with self.bucket.get(f"big-{size}") as reader:
            while reader.read(PIECE):
                pass

    def upload(self, size: int) -> None:
        self.bucket.put("big", Zeros(size))


class StorageCoreAsync(Async):
    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__()

    async def open(self) -> None:
        import storage_core.aio

        self.stack = contextlib.AsyncExitStack()
        storage = await self.stack.enter_async_context(
            storage_core.aio.open(config=profile(self.url))
        )
        self.bucket = storage.bucket(BUCKET)

    async def shut(self) -> None:
        await self.stack.aclose()

    async def get(self, number: int) -> None:
        async with await self.bucket.get(key(number)) as reader:
            await reader.read()

    async def put(self, number: int) -> None:
        await self.bucket.put(key(number), BODY)

    async def head(self, number: int) -> None:
        await self.bucket.head(key(number))

    async def list(self, count: int) -> None:
        seen = 0
        async for page in self.bucket.list().pages():
            seen += sum(1 for item in page.items if item.key)
            if seen >= count:
                return

    async def delete(self, count: int) -> None:
        await self.bucket.delete_many(map(key, range(count)))

    async def presign(self, count: int) -> None:
        for number in range(count):
            await self.bucket.presign(key(number))

    async def download(self, size: int) -> None:
        async with await self.bucket.get(f"big-{size}") as reader:
            while await reader.read(PIECE):
                pass

    async def upload(self, size: int) -> None:
        await self.bucket.put("big", Zeros(size))


def obstore_store(url: str) -> Any:
    from obstore.store import S3Store

    return S3Store(
        BUCKET,
        endpoint=url,
        region=REGION,
        access_key_id=KEYS["aws_access_key_id"],
        secret_access_key=KEYS["aws_secret_access_key"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


class Obstore(Blocking):
    def __init__(self, url: str) -> None:
        import obstore

        self.it = obstore
        self.store = obstore_store(url)

    def get(self, number: int) -> None:
        self.it.get(self.store, key(number)).bytes()

    def put(self, number: int) -> None:
        self.it.put(self.store, key(number), BODY)

    def head(self, number: int) -> None:
        self.it.head(self.store, key(number))

    def list(self) -> Iterator[int]:
        for batch in self.it.list(self.store, chunk_size=1000):
            yield sum(1 for item in batch if item["path"])

    def delete(self, count: int) -> None:
        self.it.delete(self.store, [key(number) for number in range(count)])

    def presign(self, count: int) -> None:
        life = dt.timedelta(seconds=900)
        self.it.sign(self.store, "GET", [key(number) for number in range(count)], life)

    def download(self, size: int) -> None:
        for _piece in self.it.get(self.store, f"big-{size}").stream(min_chunk_size=PIECE):
            pass

    def upload(self, size: int) -> None:
        self.it.put(self.store, "big", io.BufferedReader(Zeros(size)))


class ObstoreAsync(Async):
    def __init__(self, url: str) -> None:
        import obstore

        self.it = obstore
        self.store = obstore_store(url)
        super().__init__()

    async def get(self, number: int) -> None:
        await (await self.it.get_async(self.store, key(number))).bytes_async()

    async def put(self, number: int) -> None:
        await self.it.put_async(self.store, key(number), BODY)

    async def head(self, number: int) -> None:
        await self.it.head_async(self.store, key(number))

    async def list(self, count: int) -> None:
        seen = 0
        async for batch in self.it.list(self.store, chunk_size=1000):
            seen += sum(1 for item in batch if item["path"])
            if seen >= count:
                return

    async def delete(self, count: int) -> None:
        await self.it.delete_async(self.store, [key(number) for number in range(count)])

    async def presign(self, count: int) -> None:
        life = dt.timedelta(seconds=900)
        paths = [key(number) for number in range(count)]
        await self.it.sign_async(self.store, "GET", paths, life)

    async def download(self, size: int) -> None:
        found = await self.it.get_async(self.store, f"big-{size}")
        async for _piece in found.stream(min_chunk_size=PIECE):
            pass

    async def upload(self, size: int) -> None:
        await self.it.put_async(self.store, "big", io.BufferedReader(Zeros(size)))


def batches(count: int) -> Iterator[list[dict[str, str]]]:
    numbers = iter(range(count))
    while batch := [{"Key": key(number)} for number in itertools.islice(numbers, 1000)]:
        yield batch


class Boto3(Blocking):
    def __init__(self, url: str) -> None:
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config

        config = Config(max_pool_connections=64, s3={"addressing_style": "path"})
        self.client = boto3.client(
            "s3", endpoint_url=url, region_name=REGION, config=config, **KEYS
        )

    def close(self) -> None:
        self.client.close()

    def get(self, number: int) -> None:
        self.client.get_object(Bucket=BUCKET, Key=key(number))["Body"].read()

    def put(self, number: int) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key(number), Body=BODY)

    def head(self, number: int) -> None:
        self.client.head_object(Bucket=BUCKET, Key=key(number))

    def list(self) -> Iterator[int]:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            yield sum(1 for item in page["Contents"] if item["Key"])

    def delete(self, count: int) -> None:
        for batch in batches(count):
            self.client.delete_objects(Bucket=BUCKET, Delete={"Objects": batch, "Quiet": True})

    def presign(self, count: int) -> None:
        for number in range(count):
            self.client.generate_presigned_url(
                "get_object", {"Bucket": BUCKET, "Key": key(number)}, 900
            )

    def download(self, size: int) -> None:
        body = self.client.get_object(Bucket=BUCKET, Key=f"big-{size}")["Body"]
        for _piece in body.iter_chunks(PIECE):
            pass

    def upload(self, size: int) -> None:
        self.client.upload_fileobj(io.BufferedReader(Zeros(size)), BUCKET, "big")


class Aiobotocore(Async):
    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__()

    async def open(self) -> None:
        from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
        from aiobotocore.session import get_session  # type: ignore[import-untyped]

        config = AioConfig(max_pool_connections=64, s3={"addressing_style": "path"})
        self.stack = contextlib.AsyncExitStack()
        self.client = await self.stack.enter_async_context(
            get_session().create_client(
                "s3", endpoint_url=self.url, region_name=REGION, config=config, **KEYS
            )
        )

    async def shut(self) -> None:
        await self.stack.aclose()

    async def get(self, number: int) -> None:
        found = await self.client.get_object(Bucket=BUCKET, Key=key(number))
        async with found["Body"] as body:
            await body.read()

    async def put(self, number: int) -> None:
        await self.client.put_object(Bucket=BUCKET, Key=key(number), Body=BODY)

    async def head(self, number: int) -> None:
        await self.client.head_object(Bucket=BUCKET, Key=key(number))

    async def list(self, count: int) -> None:
        seen = 0
        async for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            seen += sum(1 for item in page["Contents"] if item["Key"])
            if seen >= count:
                return

    async def delete(self, count: int) -> None:
        for batch in batches(count):
            await self.client.delete_objects(
                Bucket=BUCKET, Delete={"Objects": batch, "Quiet": True}
            )

    async def presign(self, count: int) -> None:
        for number in range(count):
            await self.client.generate_presigned_url(
                "get_object", {"Bucket": BUCKET, "Key": key(number)}, 900
            )

    async def download(self, size: int) -> None:
        found = await self.client.get_object(Bucket=BUCKET, Key=f"big-{size}")
        async with found["Body"] as body:
            async for _piece in body.iter_chunks(PIECE):
                pass

    async def upload(self, size: int) -> None:
        await self.client.put_object(Bucket=BUCKET, Key="big", Body=io.BufferedReader(Zeros(size)))


class S3fs(Async):
    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__()

    async def open(self) -> None:
        from s3fs import S3FileSystem

        self.filesystem = S3FileSystem(
            key=KEYS["aws_access_key_id"],
            secret=KEYS["aws_secret_access_key"],
            endpoint_url=self.url,
            config_kwargs={"region_name": REGION, "max_pool_connections": 64},
            asynchronous=True,
            skip_instance_cache=True,
            use_listings_cache=False,
        )
        self.client = await self.filesystem.set_session()

    async def shut(self) -> None:
        await self.client.close()

    async def get(self, number: int) -> None:
        await self.filesystem._cat_file(f"{BUCKET}/{key(number)}")

    async def put(self, number: int) -> None:
        await self.filesystem._pipe_file(f"{BUCKET}/{key(number)}", BODY)

    async def head(self, number: int) -> None:
        await self.filesystem._info(f"{BUCKET}/{key(number)}")

    async def list(self, count: int) -> None:
        seen = 0
        async for item in self.filesystem._iterdir(BUCKET):
            seen += bool(item["Key"])
            if seen >= count:
                return

    async def delete(self, count: int) -> None:
        paths = [f"{BUCKET}/{key(number)}" for number in range(count)]
        for first in range(0, count, 1000):
            await self.filesystem._bulk_delete(paths[first : first + 1000])

    async def presign(self, count: int) -> None:
        for number in range(count):
            await self.filesystem._url(f"{BUCKET}/{key(number)}", 900)

    async def download(self, size: int) -> None:
        file = await self.filesystem.open_async(f"{BUCKET}/big-{size}", "rb")
        while await file.read(PIECE):
            pass
        await file.close()

    async def upload(self, size: int) -> None:
        import tempfile

        with tempfile.NamedTemporaryFile() as file:
            file.truncate(size)
            await self.filesystem._put_file(file.name, f"{BUCKET}/big")


PEERS: dict[str, Callable[[str], Blocking | Async]] = {
    "storage-core": StorageCore,
    "storage-core async": StorageCoreAsync,
    "obstore": Obstore,
    "obstore async": ObstoreAsync,
    "boto3": Boto3,
    "aiobotocore": Aiobotocore,
    "s3fs": S3fs,
}


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def reset_peak() -> int:
    """Forget the peak of this process's memory; bytes it has now (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def main(name: str, url: str) -> None:
    """Do as the input says until it ends."""
    peer = PEERS[name](url)
    print("ready", flush=True)
    for line in sys.stdin:
        task, *numbers = line.split()
        count, width, size = map(int, numbers)
        before = reset_peak()
        started, used = time.perf_counter(), cpu()
        peer.run(task, count, width, size)
        answer = {
            "seconds": time.perf_counter() - started,
            "cpu": cpu() - used,
            "peak": status("VmHWM"),
            "growth": status("VmHWM") - before,
        }
        print(json.dumps(answer), flush=True)
    peer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
