"""Transfers that are killed with SIGKILL at random moments, behind a proxy that injects faults,
and run again until they end: in processes of their own, forked from one that has all imported.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import pytest

import storage_core
from storage_conformance.proxy import (
    Fault,
    FaultyProxy,
    answer,
    corrupt,
    cut,
    lost,
    reset,
    reset_body,
)
from storage_core import Bucket, StorageError, TransferOptions
from storage_core.transfer.journal import journals
from tests.waiting import wait_until

Direction = Literal["upload", "download"]

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.transfer.killing"])

BUCKET = "kills"
SMALL_PARTS = {"min_part_size": 64 * 1024}
"""Part of a profile whose service takes smaller parts than most."""
WAIT = 240.0
"""Seconds after which a process that was not killed must have ended."""


@dataclass(frozen=True)
class Order:
    """What one process is to do."""

    profile: Mapping[str, Any]
    direction: Direction
    key: str
    path: Path
    part_size: int


def _move(order: Order, state: str, answers: Connection) -> None:
    """Body of a process: one transfer; tells how it ended."""
    os.environ["STORAGE_STATE_DIR"] = state
    options = TransferOptions(part_size=order.part_size, concurrency=4)
    with storage_core.open(config=order.profile) as storage:
        bucket = storage.bucket(BUCKET)
        try:
            if order.direction == "upload":
                bucket.upload_file(order.path, order.key, options=options)
            else:
                bucket.download_file(order.key, order.path, options=options)
        except StorageError as error:
            answers.send(f"{type(error).__name__}: {error}")
        else:
            answers.send(None)


@dataclass
class Tally:
    """What befell the transfers of a run."""

    transfers: int = 0
    kills: int = 0
    faults: int = 0
    refusals: list[str] = field(default_factory=list)
    """Failures that a process told of before a later one got to the end."""


class Killer:
    """Runs transfers under kills and faults.

    Args:
        profile: Of the service.
        part_size: Bytes of a part; parts are few, so that each transfer is short.
        folder: For files and journals.
        proxy: What the profile's requests go through, None for a service without HTTP.
        seed: Of all that is random.
    """

    def __init__(
        self,
        profile: Mapping[str, Any],
        part_size: int,
        folder: Path,
        proxy: FaultyProxy | None,
        seed: int,
    ) -> None:
        self.profile = profile
        self.part_size = part_size
        self.folder = folder
        self.proxy = proxy
        self.random = random.Random(seed)
        self.tally = Tally()

    def run(self, bucket: Bucket, count: int) -> None:
        """So many transfers, half of them up, half down; each must end with the same bytes."""
        for number in range(count):
            direction: Direction = "upload" if number % 2 else "download"
            size = self.random.randint(3 * self.part_size, 6 * self.part_size)
            data = self.random.randbytes(size)
            key, path = f"object-{number}", self.folder / f"file-{number}"
            if direction == "upload":
                path.write_bytes(data)
            else:
                bucket.put(key, data)
            self._until_done(Order(self.profile, direction, key, path, self.part_size), data)
            found = path.read_bytes() if direction == "download" else bucket.get(key).read()
            assert zlib.crc32(found) == zlib.crc32(data), f"{direction} {number} is corrupt"
            assert found == data
            path.unlink()
            bucket.delete(key)
            self.tally.transfers += 1

    def _until_done(self, order: Order, data: bytes) -> None:
        limit, pause = time.monotonic() + WAIT, 0.05
        for attempt in itertools.count():
            kill = attempt < 3 and self.random.random() < 0.7
            self._inject(attempt)
            told = self._once(order, kill)
            if told == "done":
                if self.proxy is not None:
                    self._withdraw()
                return
            if order.direction == "download" and order.path.exists():
                # It may have been killed between its end and the word of it.
                assert order.path.read_bytes() == data, "an incomplete file has the target's name"
            if told != "killed":
                self.tally.refusals.append(told)
                if time.monotonic() > limit:
                    break
                # A completion that was killed holds a lease for a while on some services.
                time.sleep(pause)
                pause = min(5.0, pause * 2)
        raise AssertionError(f"{order.direction} of {order.key} never ended: {self.tally}")

    def _once(self, order: Order, kill: bool) -> str:
        """One process: "done", "killed", or what it said was the matter."""
        mine, its = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(
            target=_move, args=(order, str(self.folder / "state"), its), daemon=True
        )
        process.start()
        its.close()
        try:
            if kill:
                self._wait_a_little(mine)
                process.kill()
                process.join()
            assert mine.poll(WAIT), f"{order.direction} of {order.key} hangs"
            told = mine.recv()
            return "done" if told is None else str(told)
        except EOFError:
            assert kill, f"{order.direction} of {order.key} crashed"
            self.tally.kills += 1
            return "killed"
        finally:
            process.join(WAIT)
            mine.close()

    def _wait_a_little(self, answers: Connection) -> None:
        """Until a random number of requests came by, and a random moment longer."""
        if self.proxy is not None:
            until = len(self.proxy.seen) + self.random.randint(1, 9)
            limit = time.monotonic() + WAIT
            while len(self.proxy.seen) < until and not answers.poll() and time.monotonic() < limit:
                time.sleep(0.001)
        time.sleep(self.random.random() * 0.03)

    def _inject(self, attempt: int) -> None:
        """Faults for some of the next requests; the later the attempt the fewer."""
        if self.proxy is None or attempt > 4:
            return
        part = self.part_size
        kinds: list[Callable[[], Fault]] = [
            lambda: answer(503),
            lambda: answer(429),
            reset,
            lost,
            lambda: cut(self.random.randrange(part)),
            lambda: reset_body(self.random.randrange(part)),
            lambda: corrupt(self.random.randrange(part)),
        ]
        plan = [
            self.random.choice(kinds)() if self.random.random() < 0.2 else None for _ in range(8)
        ]
        self.tally.faults += sum(fault is not None for fault in plan)
        self.proxy.inject(*plan)

    def _withdraw(self) -> None:
        """Faults that nobody met must not meet what the test does itself."""
        assert self.proxy is not None
        with self.proxy._lock:
            self.proxy._faults.clear()


def run_on(
    profile: Mapping[str, Any],
    part_size: int,
    folder: Path,
    proxy: FaultyProxy | None,
    count: int,
    seed: int = 1,
    own: Mapping[str, Any] | None = None,
) -> Tally:
    """So many transfers on a bucket of their own, and a clean-up that leaves nothing behind.

    Args:
        profile: That of the transfers.
        part_size: See `Killer`.
        folder: Likewise.
        proxy: Likewise.
        count: How many transfers.
        seed: See `Killer`.
        own: The profile of what is done beside them, past the proxy.
    """
    killer = Killer(profile, part_size, folder, proxy, seed)
    with pytest.MonkeyPatch.context() as patch, storage_core.open(config=own or profile) as storage:
        patch.setenv("STORAGE_STATE_DIR", str(folder / "state"))
        bucket = storage.create_bucket(BUCKET)
        try:
            killer.run(bucket, count)
            if proxy is not None:  # requests of the dead may still be on their way
                wait_until(lambda: not proxy._open)
            _clean(bucket)
            assert list(bucket.list_uploads()) == [], "orphaned uploads"
            assert journals() == []
            assert [path.name for path in folder.iterdir()] == ["state"], "left of transfers"
        finally:
            storage.delete_bucket(BUCKET, force=True)
    print(killer.tally)
    return killer.tally


def run_behind_proxy(
    profile: Mapping[str, Any], part_size: int, folder: Path, count: int, seed: int = 1
) -> Tally:
    """As `run_on`, through a faulty proxy, with short waits between tries."""
    with FaultyProxy(str(profile["endpoint_url"])) as proxy:
        quick = {"base": 0.01, "cap": 0.1}
        through = {**profile, "endpoint_url": proxy.url, "retry": quick}
        return run_on(through, part_size, folder, proxy, count, seed, profile)


def _clean(bucket: Bucket) -> None:
    """What `storage transfers clean` and `storage uploads abort --older-than` do."""
    for item in journals():
        item.remove()
    for upload in list(bucket.list_uploads()):
        bucket.resume_upload(upload.id).abort()
