"""One client in a process of its own, for `benchmarks/_measure.py`.

    python benchmarks/_peer.py PEER URL

Reads a job in JSON from each line of its input and answers with a line: seconds, CPU seconds,
the peak of its memory and how far that is above what it had before, in bytes. Everybody runs
with their own defaults, apart from address and keys, and by the way of theirs that suits the
task best. A peer that is not installed says so in its first line.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks._peers import Peer

PEERS = {
    "storage-core": "_peers_ours.StorageCore",
    "storage-core async": "_peers_ours.StorageCoreAsync",
    "storage-core, unverified": "_peers_ours.Unverified",
    "storage-core processes": "_peers_ours.StorageCoreProcesses",
    "obstore": "_peers_obstore.Obstore",
    "obstore async": "_peers_obstore.ObstoreAsync",
    "obstore, unsigned": "_peers_obstore.Unsigned",
    "opendal": "_peers_opendal.Opendal",
    "opendal async": "_peers_opendal.OpendalAsync",
    "opendal, CRC32C": "_peers_opendal.OpendalCrc32c",
    "boto3": "_peers_aws.Boto3",
    "boto3, unsigned, CRC32C": "_peers_aws.Boto3Unsigned",
    "awscrt": "_peers_aws.Crt",
    "awscrt, CRC32C": "_peers_aws.CrtVerified",
    "aiobotocore": "_peers_aws.Aiobotocore",
    "s3fs": "_peers_aws.S3fs",
    "storage sync": "_peers_tools.Storage",
    "rclone": "_peers_tools.Rclone",
    "rclone, tuned": "_peers_tools.RcloneTuned",
    "aws": "_peers_tools.Aws",
    "raw socket": "_peers_raw.Raw",
    "raw sockets, 4": "_peers_raw.RawParallel",
    "storage-core, local": "_peers_local.StorageCore",
    "obstore, local": "_peers_local.Obstore",
    "fsspec, local": "_peers_local.Fsspec",
    "shutil": "_peers_local.Shutil",
    "cp": "_peers_local.Cp",
}
"""Module and class of each, by name; imported by the process that needs it."""


def make(name: str, url: str) -> Peer:
    """A peer, with what it needs imported.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    module, _, kind = PEERS[name].partition(".")
    peer: Peer = getattr(import_module(f"benchmarks.{module}"), kind)(url)
    return peer


def call(peer: Peer, job: dict[str, Any]) -> Callable[[], None]:
    """What a job comes to."""
    task = job["task"]
    if task in {"down", "up"}:
        return lambda: getattr(peer, task)(Path(job["path"]), job["size"])
    if task.startswith("tree"):
        return lambda: getattr(peer, task)(Path(job["path"]), job["prefix"])
    return lambda: peer.run(task, job["count"], job["width"])


def cpu(who: int, helpers: list[str]) -> float:
    """Seconds of this process with its threads and of processes that it keeps, or of its
    children that have ended."""
    used = resource.getrusage(who)
    spent = used.ru_utime + used.ru_stime
    for helper in helpers:
        fields = Path(f"/proc/{helper}/stat").read_text().rpartition(")")[2].split()
        spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def status(name: str, processes: list[str]) -> int:
    """Bytes, of the memory of some processes."""
    return sum(
        int(line.split()[1]) * 1024
        for process in processes
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith(f"{name}:")
    )


def kept() -> list[str]:
    """Processes that this one has started and that are there still."""
    found = Path("/proc/self/task").glob("*/children")
    return [process for thread in found for process in thread.read_text().split()]


def measured(peer: Peer, job: dict[str, Any]) -> dict[str, float]:
    """Do a job."""
    who = resource.RUSAGE_CHILDREN if peer.children else resource.RUSAGE_SELF
    helpers = kept() if peer.helpers else []
    everybody = ["self", *helpers]
    work = call(peer, job)
    peer.prepare(job)
    for process in everybody:
        Path(f"/proc/{process}/clear_refs").write_text("5")  # forgets the peak: proc(5)
    before = status("VmRSS", everybody)
    started, used = time.perf_counter(), cpu(who, helpers)
    work()
    seconds, spent = time.perf_counter() - started, cpu(who, helpers) - used
    peak = status("VmHWM", everybody)
    if peer.children:
        peak = resource.getrusage(who).ru_maxrss * 1024
        before = 0
    return {"seconds": seconds, "cpu": spent, "peak": peak, "growth": peak - before}


def main(name: str, url: str) -> None:
    """Do as the input says until it ends."""
    try:
        peer = make(name, url)
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        print(json.dumps(measured(peer, json.loads(line))), flush=True)
    peer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
