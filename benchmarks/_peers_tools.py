"""Command lines as clients of the benchmarks: ours, rclone, aws; a process for each task.

What they are told comes by the environment alone, so that no configuration of the user's counts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks._peers import ACCESS_KEY, REGION, SECRET_KEY, Peer
from benchmarks._peers_ours import profile


class Tool(Peer):
    """A program that is started for each task."""

    children = True
    program = ""

    def __init__(self, url: str) -> None:
        path = self.find()
        if path is None:
            raise ModuleNotFoundError(f"{self.program} is not on the PATH")
        self.path = path
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            **self.settings(url),
        }

    @classmethod
    def find(cls) -> str | None:
        """Where it is; ``NAME_PROGRAM`` in the environment can tell."""
        named = os.environ.get(f"{cls.program.upper()}_PROGRAM")
        return named or shutil.which(cls.program)

    @classmethod
    def version(cls) -> str | None:
        """The first line it says of itself; None if it is not there."""
        path = cls.find()
        if path is None:
            return None
        arguments = ["version"] if cls.program == "rclone" else ["--version"]
        told = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
        return told.stdout.splitlines()[0] if told.stdout and not told.returncode else None

    def settings(self, url: str) -> dict[str, str]:
        """Its environment."""
        raise NotImplementedError

    def call(self, *arguments: str) -> None:
        subprocess.run([self.path, *arguments], env=self.environment, check=True)


class Storage(Tool):
    """This library's own command line."""

    program = "storage"

    @classmethod
    def find(cls) -> str | None:
        return shutil.which("storage", path=str(Path(sys.executable).parent)) or super().find()

    def settings(self, url: str) -> dict[str, str]:
        return {
            f"STORAGE_PROFILES__BENCH__{name.upper()}": value
            for name, value in profile(url).items()
        }

    def _sync(self, source: str, target: str) -> None:
        self.call("sync", "--quiet", source, target)

    def tree_up(self, folder: Path, prefix: str) -> None:
        self._sync(f"{folder / prefix}/", f"bench:empty/{prefix}")

    def tree_down(self, folder: Path, prefix: str) -> None:
        self._sync(f"bench:tree/{prefix}", f"{folder / prefix}/")

    def tree_same(self, folder: Path, prefix: str) -> None:
        self._sync(f"{folder / prefix}/", f"bench:tree/{prefix}")


class Rclone(Tool):
    """rclone as it comes."""

    program = "rclone"
    flags: tuple[str, ...] = ()
    sync_flags: tuple[str, ...] = ()

    def settings(self, url: str) -> dict[str, str]:
        return {
            "RCLONE_CONFIG": "/nonexistent/rclone.conf",
            "RCLONE_LOG_LEVEL": "ERROR",
            "RCLONE_CONFIG_BENCH_TYPE": "s3",
            "RCLONE_CONFIG_BENCH_PROVIDER": "Minio",
            "RCLONE_CONFIG_BENCH_ENDPOINT": url,
            "RCLONE_CONFIG_BENCH_REGION": REGION,
            "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": ACCESS_KEY,
            "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def tree_up(self, folder: Path, prefix: str) -> None:
        self.call("copy", str(folder / prefix), f"bench:empty/{prefix}", *self.flags)

    def tree_down(self, folder: Path, prefix: str) -> None:
        self.call("copy", f"bench:tree/{prefix}", str(folder / prefix), *self.flags)

    def tree_same(self, folder: Path, prefix: str) -> None:
        self.call(
            "sync",
            str(folder / prefix),
            f"bench:tree/{prefix}",
            "--delete-after",
            *self.flags,
            *self.sync_flags,
        )


class RcloneTuned(Rclone):
    """rclone as its documentation has it made fast."""

    flags = (
        "--transfers=32",
        "--checkers=32",
        "--fast-list",
        "--s3-no-head",
        "--s3-no-check-bucket",
    )
    sync_flags = ("--update", "--use-server-modtime")


class Aws(Tool):
    """The AWS command line."""

    program = "aws"

    def settings(self, url: str) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": url,
            "AWS_CONFIG_FILE": "/nonexistent/config",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _sync(self, source: str, target: str) -> None:
        self.call("s3", "sync", source, target, "--only-show-errors")

    def tree_up(self, folder: Path, prefix: str) -> None:
        self._sync(str(folder / prefix), f"s3://empty/{prefix}")

    def tree_down(self, folder: Path, prefix: str) -> None:
        self._sync(f"s3://tree/{prefix}", str(folder / prefix))

    def tree_same(self, folder: Path, prefix: str) -> None:
        self._sync(str(folder / prefix), f"s3://tree/{prefix}")
