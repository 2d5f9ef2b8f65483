"""opendal as a client of the benchmarks, blocking and by coroutines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import opendal

from benchmarks._peers import (
    ACCESS_KEY,
    BODY,
    BUCKET,
    PART,
    PIECE,
    REGION,
    SECRET_KEY,
    Async,
    Blocking,
    big,
    key,
)


def settings(url: str) -> dict[str, Any]:
    """Of the service."""
    return {
        "bucket": BUCKET,
        "endpoint": url,
        "region": REGION,
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
        "disable_config_load": "true",
        "disable_ec2_metadata": "true",
    }


class Opendal(Blocking):
    """Its blocking operator."""

    more: ClassVar[dict[str, Any]] = {}

    def __init__(self, url: str) -> None:
        self.operator = opendal.Operator("s3", **settings(url), **self.more)

    def get(self, number: int) -> None:
        self.operator.read(key(number))

    def put(self, number: int) -> None:
        self.operator.write(key(number), BODY)

    def head(self, number: int) -> None:
        self.operator.stat(key(number))

    def keys(self) -> Iterator[int]:
        for item in self.operator.list("", recursive=True):
            yield bool(item.path)

    def delete(self, count: int) -> None:
        for number in range(count):
            self.operator.delete(key(number))

    def down(self, path: Path, size: int) -> None:
        buffer = memoryview(bytearray(PIECE))
        with (
            self.operator.open(big(size), "rb", chunk=PART, concurrent=8) as source,
            path.open("wb", buffering=0) as file,
        ):
            while count := source.readinto(buffer):
                file.write(buffer[:count])

    def up(self, path: Path, size: int) -> None:
        with (
            path.open("rb", buffering=0) as file,
            self.operator.open(big(size), "wb", chunk=PART, concurrent=8) as target,
        ):
            while piece := file.read(PART):
                target.write(piece)


class OpendalCrc32c(Opendal):
    """The same with CRC32C."""

    more: ClassVar[dict[str, Any]] = {"checksum_algorithm": "crc32c"}


class OpendalAsync(Async):
    """Its coroutines."""

    def __init__(self, url: str) -> None:
        self.operator = opendal.AsyncOperator("s3", **settings(url))
        super().__init__()

    async def get(self, number: int) -> None:
        await self.operator.read(key(number))

    async def put(self, number: int) -> None:
        await self.operator.write(key(number), BODY)

    async def head(self, number: int) -> None:
        await self.operator.stat(key(number))

    async def keys(self, count: int) -> None:
        seen = 0
        async for item in await self.operator.list("", recursive=True):
            seen += bool(item.path)
            if seen >= count:
                return

    async def presign(self, count: int) -> None:
        for number in range(count):
            await self.operator.presign_read(key(number), 900)
