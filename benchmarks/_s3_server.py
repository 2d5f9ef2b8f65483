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

SOURCE = Path(__file__).with_name("_s3_server.c")


class Server:
    """A running service, stopped at the end of its ``with``."""

    def __enter__(self) -> Server:
        self._folder = tempfile.TemporaryDirectory()
        program = Path(self._folder.name) / "s3_server"
        compiler = shlex.split(os.environ.get("CC", "cc"))
        subprocess.run([*compiler, "-O2", "-o", program, SOURCE], check=True)
        self._process = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
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

    def statistics(self) -> tuple[int, float]:
        """Requests answered so far, and CPU seconds used."""
        with urllib.request.urlopen(f"{self.url}/_stats") as answer:
            found = json.load(answer)
        return found["requests"], found["cpu"]
