"""Downloads from real services and disks, with processes and connections that end early."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_conformance.proxy import FaultyProxy, answer, corrupt, cut, reset_body
from storage_core import Bucket, IntegrityError, ObjectInfo, Progress, TransferOptions
from storage_core import aio as storage_core_aio
from storage_core.transfer.journal import journals
from tests.transfer.downloads import OPTIONS, PART, content, left_in
from tests.waiting import wait_until

FACES = ("blocking", "async")
DATA = content(13 * PART - 7)
"""In 13 parts that are all long enough for whichever fault meets their request."""
RETRY = {"retry": {"base": 0.01}}


def download(
    face: str, config: Mapping[str, Any], key: str, path: Path, options: TransferOptions = OPTIONS
) -> ObjectInfo:
    """``download_file`` by a storage of its own."""
    if face == "blocking":
        with storage_core.open(config=dict(config)) as storage:
            return storage.bucket("fruit").download_file(key, path, options=options)

    async def main() -> ObjectInfo:
        async with storage_core_aio.open(config=dict(config)) as storage:
            return await storage.bucket("fruit").download_file(key, path, options=options)

    return asyncio.run(main())


def filled(config: Mapping[str, Any]) -> None:
    """Have the object there."""
    with storage_core.open(config=dict(config)) as storage:
        bucket: Bucket = storage.create_bucket("fruit", exist_ok=True)
        bucket.put("pear", DATA)


def command(config: Mapping[str, Any], path: Path, options: Mapping[str, int]) -> list[str]:
    """That downloads in a process of its own."""
    program = [sys.executable, "-m", "tests.transfer.child"]
    return [*program, json.dumps(config), "pear", str(path), json.dumps(options)]


@pytest.fixture
def proxy(request: pytest.FixtureRequest) -> Iterator[FaultyProxy]:
    server = request.getfixturevalue("moto")
    filled(server.profile)
    with FaultyProxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def config(proxy: FaultyProxy, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A profile whose requests go through the proxy."""
    server = request.getfixturevalue("moto")
    return {**server.profile, "endpoint_url": proxy.url, **RETRY}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", ["moto", "azurite", "fake_gcs"])
def test_services(name: str, face: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    config = request.getfixturevalue(name).profile
    filled(config)
    for options in (OPTIONS, TransferOptions(part_size=700_000), TransferOptions()):
        info = download(face, config, "pear", tmp_path / "pear", options)
        assert info.size == len(DATA)
        assert (tmp_path / "pear").read_bytes() == DATA
        assert left_in(tmp_path) == ["pear"]
        (tmp_path / "pear").unlink()


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("transport", ["lean", "library"])
def test_connections_that_break_in_the_middle(
    face: str, transport: str, proxy: FaultyProxy, config: dict[str, Any], tmp_path: Path
) -> None:
    """Each part goes on where its connection broke.

    Parts run at once, so any request may meet any fault, that for the rest of a part as well:
    the faults leave something of a part even if one part meets them all.
    """
    config["http"] = {"transport": transport}
    proxy.inject(reset_body(PART // 2), cut(1000), answer(503), None, cut(PART // 3))
    download(face, config, "pear", tmp_path / "pear")
    assert (tmp_path / "pear").read_bytes() == DATA
    assert len(proxy.seen) == 13 + 4
    proxy.inject(cut(PART - 8))
    download(face, config, "pear", tmp_path / "pear")
    assert (tmp_path / "pear").read_bytes() == DATA
    assert len(proxy.seen) == 2 * 13 + 4 + 1


@pytest.mark.parametrize("face", FACES)
def test_bits_that_turn_on_the_way_are_found(
    face: str, proxy: FaultyProxy, config: dict[str, Any], tmp_path: Path
) -> None:
    proxy.inject(None, None, None, corrupt(77))
    with pytest.raises(IntegrityError, match="crc32c"):
        download(face, config, "pear", tmp_path / "pear")
    assert left_in(tmp_path) == []
    proxy.inject(corrupt(77))
    with pytest.raises(IntegrityError, match="crc32c"):
        download(face, config, "pear", tmp_path / "pear", TransferOptions())
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("face", FACES)
def test_after_a_kill_another_process_gets_only_what_is_missing(
    face: str, proxy: FaultyProxy, config: dict[str, Any], tmp_path: Path
) -> None:
    place = tmp_path / "pear"
    journal = tmp_path / ".pear.storage-part.journal"
    slow = {"part_size": PART, "concurrency": 2, "bandwidth": 4 * PART}
    child = subprocess.Popen(command(config, place, slow))

    def done() -> int:
        """Parts whose lines are there; the header is one more."""
        return max(0, journal.read_bytes().count(b"\n") - 1) if journal.exists() else 0

    try:
        wait_until(lambda: done() >= 3 or child.poll() is not None)
    finally:
        child.kill()
        assert child.wait() == -signal.SIGKILL
    assert not place.exists()
    (found,) = journals()
    assert not found.in_use, "the lock is gone with its process"
    parts = done()
    assert 3 <= parts < 13
    assert found.done == parts * PART

    wait_until(lambda: not proxy._open)  # requests of the dead may still be on their way
    proxy.seen.clear()
    download(face, config, "pear", place, replace(OPTIONS, concurrency=2))
    assert place.read_bytes() == DATA
    methods = [seen.method for seen in proxy.seen]
    assert methods == ["HEAD"] + ["GET"] * (13 - parts)
    assert left_in(tmp_path) == ["pear"]
    assert not journals()


def test_ctrl_c_keeps_what_was_done(
    proxy: FaultyProxy, config: dict[str, Any], tmp_path: Path
) -> None:
    place = tmp_path / "pear"
    journal = tmp_path / ".pear.storage-part.journal"
    slow = {"part_size": PART, "concurrency": 2, "bandwidth": 4 * PART}
    child = subprocess.Popen(
        command(config, place, slow),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 2)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate()
    assert child.returncode
    assert "KeyboardInterrupt" in errors
    assert f"of {len(DATA)} bytes are kept" in errors
    assert left_in(tmp_path) == [".pear.storage-part", ".pear.storage-part.journal"]
    download("blocking", config, "pear", place)
    assert place.read_bytes() == DATA


def test_a_cancelled_task_keeps_what_was_done(
    proxy: FaultyProxy, config: dict[str, Any], tmp_path: Path
) -> None:
    place = tmp_path / "pear"
    journal = tmp_path / ".pear.storage-part.journal"
    slow = replace(OPTIONS, concurrency=2, bandwidth=4 * PART)

    async def main() -> None:
        async with storage_core_aio.open(config=dict(config)) as storage:
            bucket = storage.bucket("fruit")
            work = asyncio.ensure_future(bucket.download_file("pear", place, options=slow))
            lines = lambda: journal.read_bytes() if journal.exists() else b""  # noqa: E731
            await asyncio.to_thread(wait_until, lambda: lines().count(b"\n") > 2)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            (found,) = journals()
            assert not found.in_use
            before = found.done
            seen: list[Progress] = []
            await bucket.download_file("pear", place, options=OPTIONS, progress=seen.append)
            assert before >= 2 * PART
            assert seen[-1].bytes == len(DATA)

    asyncio.run(main())
    assert place.read_bytes() == DATA
    assert left_in(tmp_path) == ["pear"]


def test_a_disk_without_room(config: dict[str, Any], tmp_path: Path) -> None:
    """Found out before the first byte, and nothing is left: here by a limit of the process."""
    limited = subprocess.run(
        command(config, tmp_path / "pear", {"part_size": PART}),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (PART, PART)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OSError" in limited.stderr
    assert f"File too large: '{tmp_path / 'pear'}'" in limited.stderr
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("face", FACES)
def test_local_disk(face: str, tmp_path: Path) -> None:
    """Copied from file to file, and verified; also where the service's file was damaged."""
    config = {"driver": "local", "root": str(tmp_path / "root")}
    filled(config)
    (tmp_path / "out").mkdir()
    for options in (OPTIONS, replace(OPTIONS, verify=False, resume=False), TransferOptions()):
        download(face, config, "pear", tmp_path / "out" / "pear", options)
        assert (tmp_path / "out" / "pear").read_bytes() == DATA
        assert left_in(tmp_path / "out") == ["pear"]
    (stored,) = [
        path
        for path in (tmp_path / "root").rglob("*")
        if path.is_file() and path.stat().st_size == len(DATA)
    ]
    stored.chmod(0o600)
    with stored.open("r+b") as file:
        file.seek(3 * PART)
        file.write(bytes([DATA[3 * PART] ^ 1]))
    for options in (OPTIONS, TransferOptions()):
        with pytest.raises(IntegrityError, match="crc32c"):
            download(face, config, "pear", tmp_path / "out" / "second", options)
    assert left_in(tmp_path / "out") == ["pear"]
