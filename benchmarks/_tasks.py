"""What the clients are compared in, and which of them in what."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

GIB: Final = 1024**3
TREE: Final = 20_000
TOP: Final = 2000
"""Files of the tree, and of the one folder at its top that slow peers take of it."""
FILE: Final = 8192
"""Bytes of each."""

BLOCKING = ("storage-core", "obstore", "opendal", "boto3")
ASYNC = ("storage-core async", "obstore async", "opendal async", "aiobotocore", "s3fs")
ALL = (*BLOCKING, *ASYNC)
TREES = (
    "storage-core",
    "storage-core async",
    "storage-core processes",
    "storage sync",
    "obstore async",
    "rclone",
    "rclone, tuned",
    "aws",
)
DOWN = (
    "storage-core",
    "storage-core async",
    "storage-core, unverified",
    "obstore",
    "obstore async",
    "opendal",
    "boto3",
    "awscrt",
    "awscrt, CRC32C",
    "raw socket",
    "raw sockets, 4",
)
UP = (
    "storage-core",
    "storage-core async",
    "storage-core, unverified",
    "obstore",
    "obstore, unsigned",
    "opendal",
    "opendal, CRC32C",
    "boto3",
    "boto3, unsigned, CRC32C",
    "awscrt, CRC32C",
)
LOCAL = ("storage-core, local", "obstore, local", "fsspec, local", "shutil", "cp")
SLOW: Final = {"boto3": 10, "aiobotocore": 10, "s3fs": 20}
"""Share of the operations on small objects and keys that these do, who take so much longer."""
DELETES_ONE_BY_ONE: Final = {"opendal": 10}

Kind = Literal["small", "keys", "large", "tree"]


@dataclass(frozen=True)
class Task:
    """What some clients do.

    Attributes:
        name: In arguments and figures.
        title: In tables.
        kind: What it is about: objects of 1 KiB, keys alone, one large object, a tree.
        call: As the clients know it.
        peers: Who takes part.
        count: Operations or files in one round; 1 for a large object.
        width: How many at a time.
        size: Bytes of a large object.
        place: Folder for files.
    """

    name: str
    title: str
    kind: Kind
    call: str
    peers: tuple[str, ...]
    count: int = 1
    width: int = 1
    size: int = 0
    place: Path = Path()

    @property
    def local(self) -> bool:
        """Whether it needs no service."""
        return self.peers == LOCAL

    def of(self, peer: str) -> int:
        """Operations or files that this client does."""
        if self.kind == "large":
            return 1
        if self.kind == "tree":
            return min(self.count, TOP) if self.prefix(peer) else self.count
        share = SLOW.get(peer, 1)
        if self.call == "delete":
            share = DELETES_ONE_BY_ONE.get(peer, share)
        return max(self.count // share // self.width, 1) * self.width

    @property
    def rounds(self) -> int:
        """Rounds that stand for one: what is done soon is done more often."""
        return 3 if self.kind == "small" or self.call in {"delete", "presign"} else 1

    def prefix(self, peer: str) -> str:
        """What of a tree it takes."""
        slow = peer == "aws" and self.call != "tree_same"
        return "t0/" if slow or self.count <= TOP else ""

    def units(self, peer: str) -> float:
        """What rates and costs are of: GB of large objects, else operations or files."""
        return self.size / 1e9 if self.kind == "large" else self.of(peer)


def memory() -> Path:
    """Where files lie in memory, as far as there is such a place."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else disk()


def disk() -> Path:
    """Where files lie on disk; `TMPDIR` tells."""
    return Path(tempfile.gettempdir())


def tasks(*, quick: bool) -> list[Task]:
    """All of them."""
    few = 640 if quick else 2560
    listed, some = (20_000, 2_000) if quick else (100_000, 10_000)
    size = GIB // 8 if quick else GIB
    files = TOP if quick else TREE
    large = f"{size / GIB:g} GiB"
    tree = f"tree of {files} files of 8 KiB"
    small = ("get", "put", "head")
    return [
        *(
            Task(f"{name}", f"{name} 1 KiB, blocking, one by one", "small", name, BLOCKING, few)
            for name in small
        ),
        *(
            Task(f"{name}-64", f"{name} 1 KiB, async, 64 at a time", "small", name, ASYNC, few, 64)
            for name in small
        ),
        Task("list", f"list {listed} keys", "keys", "list", ALL, listed),
        Task(
            "delete",
            f"delete {some} keys",
            "keys",
            "delete",
            tuple(peer for peer in ALL if peer != "opendal async"),
            some,
        ),
        Task(
            "presign",
            f"presign {some} links",
            "keys",
            "presign",
            tuple(peer for peer in ALL if peer != "opendal"),
            some,
        ),
        Task(
            "down",
            f"{large} down to a file in memory",
            "large",
            "down",
            DOWN,
            size=size,
            place=memory(),
        ),
        Task(
            "down-disk",
            f"{large} down to a file on disk",
            "large",
            "down",
            DOWN,
            size=size,
            place=disk(),
        ),
        Task("up", f"{large} up from a file", "large", "up", UP, size=size, place=memory()),
        *(
            Task(f"tree-{name}", f"{tree}, {what}", "tree", call, TREES, files, place=memory())
            for name, call, what in (
                ("up", "tree_up", "up"),
                ("down", "tree_down", "down"),
                ("sync", "tree_same", "sync with nothing to do"),
            )
        ),
        *(
            Task(f"local-{call}", f"{large} {what}", "large", call, LOCAL, size=size, place=disk())
            for call, what in (
                ("up", "from a file to local disk"),
                ("down", "from local disk to a file"),
            )
        ),
        *(
            Task(
                f"local-{call.replace('_', '-')}",
                f"tree of {TOP} files of 8 KiB, {what}",
                "tree",
                call,
                LOCAL,
                TOP,
                place=disk(),
            )
            for call, what in (("tree_up", "to local disk"), ("tree_down", "from local disk"))
        ),
    ]
