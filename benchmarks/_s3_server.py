"""Compiles and starts `_s3_server.c`, the S3 service that clients are measured against."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from benchmarks import _content as content

SOURCES = sorted(Path(__file__).parent.glob("_s3_*.c"))
SMALL = (1024, 8192)
"""Sizes of objects whose ETag is an MD5."""


class Statistics(NamedTuple):
    """What the service has done: requests answered, bytes of bodies received, CPU seconds."""

    requests: int
    received: int
    cpu: float


class Server:
    """A running service, stopped at the end of its ``with``."""

    def __enter__(self) -> Server:
        self._folder = tempfile.TemporaryDirectory()
        program = Path(self._folder.name) / "s3_server"
        compiler = shlex.split(os.environ.get("CC", "cc"))
        subprocess.run([*compiler, "-O2", "-o", program, *SOURCES], check=True)
        block = Path(self._folder.name) / "content"
        block.write_bytes(content.block())
        known = [f"{size}={content.md5(size)}" for size in SMALL]
        self._process = subprocess.Popen(
            [program, "0", block, *known], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()

    def statistics(self) -> Statistics:
        """What it has done so far."""
        with urllib.request.urlopen(f"{self.url}/_stats") as answer:
            return Statistics(**json.load(answer))

    def prepare(self, size: int) -> None:
        """Have it know the checksum of a large object, which takes a moment."""
        request = urllib.request.Request(
            f"{self.url}/bench/big-{size}",
            method="HEAD",
            headers={"x-amz-checksum-mode": "ENABLED"},
        )
        urllib.request.urlopen(request).close()
