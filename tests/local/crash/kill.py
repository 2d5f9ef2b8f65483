"""Killing a writer at random moments, and holding it to what it had acknowledged."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import storage_core
from storage_core import Bucket, Storage
from storage_local.tree import Limits
from tests.local.conftest import make_driver
from tests.local.crash.world import INLINE, LARGE, SMALL, fsck, look

KEYS = 40
Claim = tuple[str, bytes | None]
"""A key and the body it should have, None for none."""


def open_victim(place: Path, *, versions: bool) -> Storage:
    driver = make_driver(
        place,
        Limits(leaf_size=8, check_every=4),
        fsync=True,
        versions=versions,
        inline_size=INLINE,
        min_part_size=1,
    )
    return storage_core.open_driver(driver)


def work(place: Path, seed: int, said: int, *, versions: bool) -> None:
    """Write without end. Each act is announced on the pipe before it and after it."""
    chance = random.Random(seed)
    with open_victim(place, versions=versions) as storage:
        bucket = storage.bucket("fruit")
        while True:
            key = f"w{seed}/{chance.randrange(KEYS):02}" + "x" * chance.choice((0, 0, 250))
            data = chance.randbytes(chance.choice((SMALL, LARGE)))
            act = chance.choice(("put", "put", "delete", "upload", "tags"))
            claimed = "" if act == "delete" else data.hex()
            os.write(said, f"begin {key} {claimed or '-'} {act}\n".encode())
            perform(bucket, act, key, data)
            os.write(said, b"done\n")


def perform(bucket: Bucket, act: str, key: str, data: bytes) -> None:
    if act == "delete":
        bucket.delete(key)
    elif act == "upload":
        upload = bucket.create_upload(key)
        parts = [upload.put_part(1, data[:10]), upload.put_part(2, data[10:])]
        upload.complete(parts)
    else:
        bucket.put(key, data)
        if act == "tags":
            bucket.put_tags(key, {"t": "1"})


def run_and_kill(
    place: Path, seed: int, lines: int, seconds: float, *, versions: bool
) -> list[str]:
    """Let a writer say so many lines, and work for a while after them; then kill it. What it
    said."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(heard)
        try:
            work(place, seed, said, versions=versions)
        finally:
            os._exit(1)
    os.close(said)
    text = b""
    with open(heard, "rb", buffering=0) as pipe:
        while text.count(b"\n") < lines and (more := pipe.read(65536)):
            text += more
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        text += pipe.readall()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the writer failed by itself"
    return text.decode().splitlines()


class Ledger:
    """What each key must hold: the acknowledged body, or that of the act cut short."""

    def __init__(self) -> None:
        self.sure: dict[str, bytes | None] = {}
        self.perhaps: dict[str, tuple[bytes | None, bytes | None]] = {}
        self.acts = 0

    def hear(self, lines: list[str]) -> None:
        claim: Claim | None = None
        for line in lines:
            words = line.split(" ")
            if words[0] == "begin" and len(words) == 4:
                claim = words[1], None if words[2] == "-" else bytes.fromhex(words[2])
            elif words[0] == "done" and claim is not None:
                self.sure[claim[0]] = claim[1]
                self.acts += 1
                claim = None
        if claim is not None:
            self.perhaps[claim[0]] = self.sure.pop(claim[0], None), claim[1]

    def check(self, found: dict[str, bytes]) -> None:
        """Hold what is there against it; what was in doubt is known afterwards."""
        for key, data in self.sure.items():
            assert found.get(key) == data, f"{key} was acknowledged"
        for key, choices in self.perhaps.items():
            assert found.get(key) in choices, f"{key} was cut short"
            self.sure[key] = found.get(key)
        self.perhaps.clear()
        assert set(found) <= set(self.sure)


def examine(place: Path, ledger: Ledger, *, versions: bool) -> None:
    with open_victim(place, versions=versions) as storage:
        state = look(storage)
        ledger.check(
            {
                name.removeprefix("fruit/"): value[0]
                for name, value in state.items()
                if name.startswith("fruit/") and isinstance(value, tuple)
            }
        )
        report = fsck(storage, repair=True)
        assert [one for one in report.findings if not (one.leftover and one.repaired)] == []
        assert fsck(storage, repair=True).findings == []
        assert look(storage) == state
        bucket = storage.bucket("fruit")
        for upload in bucket.list_uploads():
            bucket.resume_upload(upload.id).abort()


def campaign(place: Path, kills: int, *, versions: bool) -> int:
    """Kill so many writers in turn; the number of acknowledged acts they did.

    Every other one at a moment that depends on the machine: some of these have not begun yet.
    """
    chance = random.Random(kills)
    with open_victim(place, versions=versions) as storage:
        storage.create_bucket("fruit")
    ledger = Ledger()
    for number in range(kills):
        lines = chance.randrange(3, 40) if number % 2 else 0
        seconds = chance.random() * (0.003 if lines else 0.06)
        ledger.hear(run_and_kill(place, number % 5, lines, seconds, versions=versions))
        examine(place, ledger, versions=versions)
    return ledger.acts
