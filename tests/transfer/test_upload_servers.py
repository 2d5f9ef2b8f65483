"""Uploads to real services and disks, from processes that end early and files that change."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage_core
from storage_conformance.proxy import FaultyProxy, answer, early, lost, reset, stall
from storage_core import (
    ObjectChangedError,
    PermissionDeniedError,
    Progress,
    PutResult,
    TransferOptions,
)
from storage_core import aio as storage_core_aio
from storage_core.checksum import digest
from storage_core.transfer import progress as progress_module
from storage_core.transfer.journal import journals
from tests.servers.fixtures import strict_gcs  # noqa: F401 - a fixture, found by its name
from tests.transfer.downloads import content
from tests.waiting import wait_until

FACES = ("blocking", "async")
MIB = 1024**2
PART = 5 * MIB
"""As small as S3 takes them."""
PARTS = 4
DATA = content(PARTS * PART - 7)
OPTIONS = TransferOptions(part_size=PART, concurrency=2)
SENDER = [sys.executable, "-m", "tests.transfer.sender"]
RETRY = {"retry": {"base": 0.01}}


def upload(
    face: str,
    config: Mapping[str, Any],
    source: Any,
    options: TransferOptions = OPTIONS,
    **more: Any,
) -> PutResult:
    """``upload_file`` by a storage of its own."""
    if face == "blocking":
        with storage_core.open(config=dict(config)) as storage:
            return storage.bucket("fruit").upload_file(source, "pear", options=options, **more)

    async def main() -> PutResult:
        async with storage_core_aio.open(config=dict(config)) as storage:
            bucket = storage.bucket("fruit")
            return await bucket.upload_file(source, "pear", options=options, **more)

    return asyncio.run(main())


def prepared(config: Mapping[str, Any]) -> None:
    """Have the bucket there, and nothing in it."""
    with storage_core.open(config=dict(config)) as storage:
        bucket = storage.create_bucket("fruit", exist_ok=True)
        bucket.delete("pear")
        for found in bucket.list_uploads() if storage.capabilities.multipart else ():
            bucket.resume_upload(found.id).abort()


def mark(data: bytes) -> str:
    """What stands for bytes, as differences of so many are not to be shown."""
    return f"{len(data)} bytes, {digest('sha256', data).hex()}"


def stored(config: Mapping[str, Any]) -> str | None:
    """The mark of what is there; uploads must not be."""
    with storage_core.open(config=dict(config)) as storage:
        bucket = storage.bucket("fruit")
        assert not (storage.capabilities.multipart and list(bucket.list_uploads()))
        if not bucket.exists("pear"):
            return None
        with bucket.get("pear") as reader:
            return mark(reader.read())


@pytest.fixture
def pear(tmp_path: Path) -> Path:
    path = tmp_path / "pear"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def proxy(request: pytest.FixtureRequest) -> Iterator[FaultyProxy]:
    server = request.getfixturevalue("moto")
    prepared(server.profile)
    with FaultyProxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def config(proxy: FaultyProxy, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A profile whose requests go through the proxy."""
    server = request.getfixturevalue("moto")
    return {**server.profile, "endpoint_url": proxy.url, **RETRY}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", ["moto", "azurite", "fake_gcs", "strict_gcs"])
def test_services(name: str, face: str, request: pytest.FixtureRequest, pear: Path) -> None:
    """A file, and a stream, in parts; a file in one request of several MiB."""
    config = request.getfixturevalue(name).profile
    prepared(config)
    stretch = 700_000
    for source in (pear, (DATA[at : at + stretch] for at in range(0, len(DATA), stretch))):
        result = upload(face, config, source, content_type="x/y")
        assert result.checksums["crc32c"] == digest("crc32c", DATA).hex()
        assert stored(config) == mark(DATA)
    pear.write_bytes(DATA[: 3 * MIB])
    upload(face, config, pear)
    assert stored(config) == mark(DATA[: 3 * MIB])
    assert not journals()


@pytest.mark.parametrize(
    ("face", "transport", "payload"),
    [
        ("blocking", "lean", "unsigned"),
        ("blocking", "library", "signed"),
        ("async", "lean", "signed"),
        ("async", "library", "unsigned"),
    ],
)
def test_what_services_answer_in_the_middle(
    face: str,
    transport: str,
    payload: str,
    proxy: FaultyProxy,
    config: dict[str, Any],
    pear: Path,
) -> None:
    """Failures pass, refusals are told, and neither leaves half of anything."""
    config |= {"http": {"transport": transport}, "payload": payload}
    proxy.inject(None, early(503), lost(), answer(500), None, lost())
    seen: list[Progress] = []
    upload(face, config, pear, progress=seen.append)
    assert stored(config) == mark(DATA)
    assert seen[-1].bytes == len(DATA)
    pear.write_bytes(DATA[: 3 * MIB])
    proxy.inject(early(403))
    with pytest.raises(PermissionDeniedError):
        upload(face, config, pear)
    assert stored(config) == mark(DATA)


@pytest.mark.parametrize("face", FACES)
def test_after_a_kill_another_process_sends_only_what_is_missing(
    face: str, proxy: FaultyProxy, config: dict[str, Any], pear: Path, state: Path
) -> None:
    one_by_one = {"part_size": PART, "concurrency": 1}
    # Its first request, the beginning of the session and two parts; the third is not answered.
    proxy.inject(None, None, None, None, stall())
    child = subprocess.Popen([*SENDER, json.dumps(config), str(pear), json.dumps(one_by_one)])

    def done() -> int:
        """Parts whose lines are there; the header is one more."""
        return max((path.read_bytes().count(b"\n") - 1 for path in state.glob("*")), default=0)

    try:
        wait_until(lambda: not proxy.pending or child.poll() is not None)
    finally:
        child.kill()
        assert child.wait() == -signal.SIGKILL
    (found,) = journals()
    assert not found.in_use, "the lock is gone with its process"
    parts = done()
    assert parts == 2
    assert found.done == parts * PART

    wait_until(lambda: not proxy._open)  # requests of the dead may still be on their way
    proxy.seen.clear()
    upload(face, config, pear)
    methods = [seen.method for seen in proxy.seen]
    assert methods[0] == "GET", "the parts are listed"
    assert (methods.count("PUT"), methods.count("POST")) == (PARTS - parts, 1)
    assert stored(config) == mark(DATA)
    assert not journals()


def test_ctrl_c_keeps_what_was_sent(proxy: FaultyProxy, config: dict[str, Any], pear: Path) -> None:
    slow = {"part_size": PART, "concurrency": 2, "bandwidth": 2 * PART}
    interrupted = threading.Event()
    held = reset(meanwhile=interrupted.wait)
    # Its first request, the beginning of the session and two parts; the others wait.
    proxy.inject(None, None, None, None, held, held)
    child = subprocess.Popen(
        [*SENDER, json.dumps(config), str(pear), json.dumps(slow)],
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: not proxy.pending or child.poll() is not None)
    child.send_signal(signal.SIGINT)
    interrupted.set()
    _, errors = child.communicate()
    assert child.returncode
    assert "KeyboardInterrupt" in errors
    assert f"of {PARTS} parts are stored" in errors
    wait_until(lambda: not proxy._open)
    proxy.seen.clear()
    upload("blocking", config, pear)
    assert len([seen for seen in proxy.seen if seen.method == "PUT"]) < PARTS
    assert stored(config) == mark(DATA)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("resume", [True, False])
def test_an_exception_of_the_callback_ends_it(
    face: str, resume: bool, config: dict[str, Any], pear: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "EVERY", 0.0)

    def stop(progress: Progress) -> None:
        if progress.bytes > 2 * PART:
            raise ZeroDivisionError("the caller's own")

    options = replace(OPTIONS, resume=resume, concurrency=1, bandwidth=20 * PART)
    with pytest.raises(ZeroDivisionError, match="own"):
        upload(face, config, pear, options, progress=stop)
    assert len(journals()) == resume
    upload(face, config, pear)
    assert stored(config) == mark(DATA)


@pytest.mark.parametrize(
    ("face", "payload", "size"),
    [
        ("blocking", "signed", 3 * MIB),
        ("blocking", "unsigned", len(DATA)),
        ("async", "signed", len(DATA)),
        ("async", "unsigned", 3 * MIB),
    ],
)
def test_a_file_that_changes_while_the_kernel_sends_it(
    face: str, payload: str, size: int, config: dict[str, Any], pear: Path
) -> None:
    """The digest was told before, and bytes that are not those do not complete a request."""
    config |= {"payload": payload}
    pear.write_bytes(DATA[:size])
    for change in (b"more", b""):

        def spoil(progress: Progress, change: bytes = change) -> None:
            if progress.bytes > MIB:
                with pear.open("r+b") as file:
                    if change:
                        file.write(change)
                    else:
                        file.truncate(MIB)

        # At this rate the callback hears of it in time, as it is called every 0.1 s.
        options = replace(OPTIONS, bandwidth=size / 0.5)
        with pytest.raises(ObjectChangedError, match=str(pear)):
            upload(face, config, pear, options, progress=spoil)
        assert stored(config) is None
        pear.write_bytes(DATA[:size])


def test_a_stream_goes_through_little_memory(config: dict[str, Any]) -> None:
    """40 MiB that come through a pipe, of which no more than the parts on their way are held."""
    options = {"part_size": PART, "concurrency": 2}
    child = subprocess.Popen(
        [*SENDER, json.dumps(config), "-", json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    data = content(40 * MIB)
    grown, _ = child.communicate(data)
    assert child.returncode == 0
    assert int(grown) < 25 * 1024, "KiB: two parts, and what the first requests load"
    assert stored(config) == mark(data)


@pytest.mark.parametrize("face", FACES)
def test_local_disk(face: str, pear: Path, tmp_path: Path) -> None:
    config = {"driver": "local", "root": str(tmp_path / "root")}
    prepared(config)
    for options in (TransferOptions(), OPTIONS, replace(OPTIONS, verify=False, resume=False)):
        result = upload(face, config, pear, options)
        assert result.checksums["crc32c"] == digest("crc32c", DATA).hex()
        assert stored(config) == mark(DATA)
