"""Clients of local disk: this library's driver, others', and what merely copies files.

Each keeps its objects in a folder of its own below the one it is given. Nobody waits for the
disk; this library and obstore write to a temporary name and rename, the others in place. This
library computes and keeps a checksum, nobody else does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from benchmarks._peers import BUCKET, WIDTH, Async, Peer, side_by_side, tree_files

OBJECT = "object"


class Local(Peer):
    """A store in a folder."""

    def __init__(self, place: str) -> None:
        self.root = Path(place) / f"store-{type(self).__name__}"
        self.filled = False
        self.open()

    def open(self) -> None:
        """Make the store."""
        self.root.mkdir()

    def empty(self) -> None:
        """Have nothing in it."""
        shutil.rmtree(self.root)
        self.open()

    def prepare(self, job: dict[str, Any]) -> None:
        source = Path(job["source"])
        if job["task"] in {"up", "tree_up"}:
            self.empty()
        elif not self.filled:
            if job["task"] == "down":
                self.up(source, job["size"])
            else:
                self.tree_up(source, job["prefix"])
            os.sync()
            self.filled = True

    def up(self, path: Path, size: int) -> None: ...
    def tree_up(self, folder: Path, prefix: str) -> None: ...


class StorageCore(Local):
    """The local driver through the blocking face, without fsync."""

    def open(self) -> None:
        import storage_core

        self.storage = storage_core.open_url(f"file://{self.root}?fsync=false")
        self.bucket = self.storage.create_bucket(BUCKET)

    def empty(self) -> None:
        self.storage.close()
        super().empty()

    def close(self) -> None:
        self.storage.close()

    def up(self, path: Path, size: int) -> None:
        self.bucket.upload_file(path, OBJECT)

    def down(self, path: Path, size: int) -> None:
        self.bucket.download_file(OBJECT, path)

    def tree_up(self, folder: Path, prefix: str) -> None:
        self.bucket.upload_tree(folder / prefix, prefix)

    def tree_down(self, folder: Path, prefix: str) -> None:
        self.bucket.download_tree(prefix, folder / prefix)


class Obstore(Local):
    """Its local store: files by its functions, trees in loops written by hand on uvloop."""

    def __init__(self, place: str) -> None:
        import obstore

        self.loop = Async()
        self.obstore = obstore
        super().__init__(place)

    def open(self) -> None:
        from obstore.store import LocalStore

        self.store = LocalStore(self.root, mkdir=True)

    def close(self) -> None:
        self.loop.close()

    def up(self, path: Path, size: int) -> None:
        self.obstore.put(self.store, OBJECT, path)

    def down(self, path: Path, size: int) -> None:
        with path.open("wb", buffering=0) as file:
            for piece in self.obstore.get(self.store, OBJECT).stream(min_chunk_size=1 << 20):
                file.write(piece)

    def tree_up(self, folder: Path, prefix: str) -> None:
        async def one(item: tuple[str, os.stat_result]) -> None:
            path = prefix + item[0]
            await self.obstore.put_async(self.store, path, (folder / path).read_bytes())

        self.loop.wait(side_by_side(tree_files(folder / prefix), one, WIDTH))

    def tree_down(self, folder: Path, prefix: str) -> None:
        async def one(name: str) -> None:
            body = await (await self.obstore.get_async(self.store, name)).bytes_async()
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

        async def every() -> None:
            batches: AsyncIterator[Any] = self.obstore.list(self.store, prefix or None)
            async for batch in batches:
                await side_by_side((item["path"] for item in batch), one, WIDTH)

        self.loop.wait(every())


class Fsspec(Local):
    """Its filesystem for local files."""

    def open(self) -> None:
        import fsspec

        super().open()
        self.filesystem = fsspec.filesystem("file")

    def up(self, path: Path, size: int) -> None:
        self.filesystem.put_file(str(path), str(self.root / OBJECT))

    def down(self, path: Path, size: int) -> None:
        self.filesystem.get_file(str(self.root / OBJECT), str(path))

    def tree_up(self, folder: Path, prefix: str) -> None:
        self.filesystem.put(f"{folder / prefix}/", f"{self.root / prefix}/", recursive=True)

    def tree_down(self, folder: Path, prefix: str) -> None:
        self.filesystem.get(f"{self.root / prefix}/", f"{folder / prefix}/", recursive=True)


class Shutil(Local):
    """The standard library."""

    def up(self, path: Path, size: int) -> None:
        shutil.copyfile(path, self.root / OBJECT)

    def down(self, path: Path, size: int) -> None:
        shutil.copyfile(self.root / OBJECT, path)

    def tree_up(self, folder: Path, prefix: str) -> None:
        shutil.copytree(folder / prefix, self.root / prefix, dirs_exist_ok=True)

    def tree_down(self, folder: Path, prefix: str) -> None:
        shutil.copytree(self.root / prefix, folder / prefix)


class Cp(Local):
    """The system's own command."""

    children = True

    def up(self, path: Path, size: int) -> None:
        subprocess.run(["cp", path, self.root / OBJECT], check=True)

    def down(self, path: Path, size: int) -> None:
        subprocess.run(["cp", self.root / OBJECT, path], check=True)

    def tree_up(self, folder: Path, prefix: str) -> None:
        self._tree(folder / prefix, self.root / prefix)

    def tree_down(self, folder: Path, prefix: str) -> None:
        self._tree(self.root / prefix, folder / prefix)

    def _tree(self, source: Path, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", f"{source}/.", target], check=True)
