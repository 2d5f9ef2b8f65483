"""Trees for tests, and `sync` and `verify` of whichever face a bucket is of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import storage_core
from storage_conformance.faces import Blocking
from storage_conformance.memory import MemoryDriver
from storage_core import Bucket, TransferReport, VerifyReport, aio
from storage_core.core.bodies import make_body
from storage_core.requests import PutRequest
from storage_core.runtime import Inline, drive
from tests.core.conftest import scripted

LONG_AGO = 1_600_000_000


def sync(source: Any, target: Any, **named: Any) -> TransferReport:
    return _called("sync", source, target, named)


def verify(source: Any, target: Any, **named: Any) -> VerifyReport:
    return _called("verify", source, target, named)


def _called(name: str, source: Any, target: Any, named: dict[str, Any]) -> Any:
    sides = [side._target if isinstance(side, Blocking) else side for side in (source, target)]
    portals = [side._portal for side in (source, target) if isinstance(side, Blocking)]
    if portals:
        return portals[0].call(getattr(aio, name), *sides, **named)
    return getattr(storage_core, name)(*sides, **named)


def make_folder(folder: Path, files: Mapping[str, bytes], *, modified: int = LONG_AGO) -> Path:
    """A folder with files, by their places in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, data in files.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (modified, modified))
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    """What is in a folder, links and all that is incomplete included."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


def folders_in(folder: Path) -> set[str]:
    """The folders in a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir()}


def objects_in(bucket: Bucket, prefix: str = "") -> dict[str, bytes]:
    """What is below a prefix."""
    found = {}
    for item in bucket.list(prefix):
        with bucket.get(item.key) as reader:
            found[item.key[len(prefix) :]] = reader.read()
    return found


def fill(bucket: Bucket, objects: Mapping[str, bytes], prefix: str = "") -> None:
    """Write objects below a prefix."""
    for key, data in objects.items():
        bucket.put(prefix + key, data)


def force(bucket: Any, key: str, data: bytes = b"1") -> None:
    """Have an object whatever the library says of its key, and without a request of its own, as
    others may make one."""
    body = make_body(data, Inline(), compute=("crc32c",))
    drive(MemoryDriver.put(scripted(bucket), PutRequest("fruit", key, body)))
