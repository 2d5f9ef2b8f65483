"""Recording the changes an operation makes to the disk, and rebuilding what a power failure
could leave of them.

The model of the disk: bytes of a file are safe once the file was synced; before that they may
be there, be gone, or be there in part. Changes of a directory (entries made, renamed away,
removed) are safe once the directory was synced; before that any number of the first of them
may have come through, for each directory on its own. A rename is one change, of the directory
it leads to: a file system that can tear it apart is none the store supports.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage_local import syscalls

FULL, SHORT, LOST = "full", "short", "lost"


@dataclass
class Inode:
    """A file: what is in it, and how much of that is safe. Files are only appended to."""

    content: bytes = b""
    safe: int = 0

    def left(self, mode: str) -> bytes:
        if mode == FULL:
            return self.content
        loose = len(self.content) - self.safe
        return self.content[: self.safe + (loose // 2 if mode == SHORT else 0)]


@dataclass
class Step:
    """One change: of a directory (`home` is its path), of a file, or a sync."""

    kind: str
    home: str = ""
    name: str = ""
    inode: Inode | None = None
    source: str = ""
    data: bytes = b""


@dataclass
class Recorder:
    """Stands in for the calls of `syscalls` while an operation runs, does what they do, and
    notes it.

    Attributes:
        root: What paths are relative to.
        steps: What was noted.
    """

    root: Path
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._root = os.path.realpath(self.root)
        self._inodes: dict[int, Inode] = {}
        self._real: dict[str, Callable[..., Any]] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """While this lasts the calls are noted."""
        names = [name[4:] for name in dir(self) if name.startswith("_on_")]
        for name in names:
            self._real[name] = getattr(syscalls, name)
            setattr(syscalls, name, getattr(self, f"_on_{name}"))
        try:
            yield
        finally:
            for name in names:
                setattr(syscalls, name, self._real[name])

    def _place(self, dir_fd: int) -> str:
        found = os.readlink(f"/proc/self/fd/{dir_fd}")
        return os.path.relpath(found, self._root)

    def _inode(self, fd: int) -> Inode:
        return self._inodes[os.fstat(fd).st_ino]

    def _on_create(self, name: str, flags: int, mode: int = 0o666, *, dir_fd: int) -> int:
        fd: int = self._real["create"](name, flags, mode, dir_fd=dir_fd)
        inode = self._inodes[os.fstat(fd).st_ino] = Inode()
        self.steps.append(Step("enter", self._place(dir_fd), name, inode))
        return fd

    def _on_write(self, fd: int, data: bytes) -> int:
        done: int = self._real["write"](fd, data)
        self.steps.append(Step("write", inode=self._inode(fd), data=bytes(data[:done])))
        return done

    def _on_copy_file_range(self, source: int, target: int, count: int, **options: Any) -> int:
        data = os.pread(source, count, options["offset_src"])
        done: int = self._real["copy_file_range"](source, target, count, **options)
        self.steps.append(Step("write", inode=self._inode(target), data=data[:done]))
        return done

    def _on_fsync(self, fd: int) -> None:
        self._real["fsync"](fd)
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            self.steps.append(Step("sync directory", self._place(fd)))
        else:
            self.steps.append(Step("sync", inode=self._inode(fd)))

    def _on_rename(self, source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        origin = os.path.join(self._place(src_dir_fd), source)
        self._real["rename"](source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self.steps.append(Step("rename", self._place(dst_dir_fd), target, source=origin))

    def _on_link(self, source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        origin = os.path.join(self._place(src_dir_fd), source)
        self._real["link"](source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self.steps.append(Step("link", self._place(dst_dir_fd), target, source=origin))

    def _on_unlink(self, name: str, *, dir_fd: int) -> None:
        self._real["unlink"](name, dir_fd=dir_fd)
        self.steps.append(Step("remove", self._place(dir_fd), name))

    def _on_mkdir(self, name: str, *, dir_fd: int) -> None:
        self._real["mkdir"](name, dir_fd=dir_fd)
        self.steps.append(Step("mkdir", self._place(dir_fd), name))

    def _on_rmdir(self, name: str, *, dir_fd: int) -> None:
        self._real["rmdir"](name, dir_fd=dir_fd)
        self.steps.append(Step("remove", self._place(dir_fd), name))


# --- what is left ---------------------------------------------------------------------


class Folder(dict[str, "Folder | Inode"]):
    """A directory of the model, with identity: a rename moves it with what is in it."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def read_tree(place: Path) -> Folder:
    """What is on the disk, all of it safe."""
    folder = Folder()
    for entry in os.scandir(place):
        if entry.is_dir(follow_symlinks=False):
            folder[entry.name] = read_tree(Path(entry.path))
        else:
            content = Path(entry.path).read_bytes()
            folder[entry.name] = Inode(content, len(content))
    return folder


def write_tree(folder: Folder, place: Path, mode: str) -> None:
    """Make a tree of the model, unsafe bytes as ``mode`` says."""
    place.mkdir()
    for name, entry in folder.items():
        if isinstance(entry, Folder):
            write_tree(entry, place / name, mode)
        else:
            (place / name).write_bytes(entry.left(mode))
            (place / name).chmod(0o600)


def outline(folder: Folder, mode: str) -> tuple[object, ...]:
    """A hashable picture, to leave out trees that are equal."""
    return tuple(
        (name, outline(entry, mode) if isinstance(entry, Folder) else entry.left(mode))
        for name, entry in sorted(folder.items())
    )


CHANGES = {"enter", "rename", "link", "remove", "mkdir"}


def outcomes(base: Path, steps: list[Step]) -> Iterator[tuple[str, str, Folder]]:
    """Every tree a power failure right after these steps may leave: a label, the mode for
    unsafe bytes, the tree."""
    synced: dict[str, int] = {}
    loose: set[str] = set()
    for index, step in enumerate(steps):
        if step.kind == "sync directory":
            synced[step.home] = index
            loose.discard(step.home)
        elif step.kind in CHANGES:
            loose.add(step.home)
    last = len(steps)
    choices: dict[str, Mapping[str, int]] = {
        "nothing unsynced": {},
        "everything": dict.fromkeys(loose, last),
    }
    for home in loose:
        choices[f"{home} too"] = {home: last}
        choices[f"all but {home}"] = dict.fromkeys(loose - {home}, last)
    seen = set()
    for label, through in choices.items():
        for mode in (FULL, SHORT, LOST):
            tree = _apply(read_tree(base), steps, synced, through)
            picture = outline(tree, mode)
            if picture not in seen:
                seen.add(picture)
                yield f"{label}, bytes {mode}", mode, tree


def _apply(
    tree: Folder, steps: list[Step], synced: Mapping[str, int], through: Mapping[str, int]
) -> Folder:
    """The tree with the steps that came through."""
    # Two pictures: `now` as the process saw it, to know what a name meant, and what is left.
    now, left = tree, _copy(tree, {})
    twins: dict[int, Folder] = {}
    _pair(now, left, twins)
    inodes: dict[int, Inode] = {}

    def fresh(inode: Inode) -> Inode:
        return inodes.setdefault(id(inode), Inode())

    for index, step in enumerate(steps):
        if step.kind == "write":
            assert step.inode is not None
            fresh(step.inode).content += step.data
        elif step.kind == "sync":
            assert step.inode is not None
            fresh(step.inode).safe = len(fresh(step.inode).content)
        elif step.kind in CHANGES:
            limit = max(synced.get(step.home, -1), through.get(step.home, -1))
            home = _find(now, step.home)
            _change(now, home, step, twins, fresh, keep=index <= limit)
    return left


def _copy(folder: Folder, twins: dict[int, Folder]) -> Folder:
    made = Folder()
    for name, entry in folder.items():
        made[name] = _copy(entry, twins) if isinstance(entry, Folder) else entry
    return made


def _pair(now: Folder, left: Folder, twins: dict[int, Folder]) -> None:
    twins[id(now)] = left
    for name, entry in now.items():
        if isinstance(entry, Folder):
            other = left[name]
            assert isinstance(other, Folder)
            _pair(entry, other, twins)


def _find(tree: Folder, place: str) -> Folder:
    for part in Path(place).parts:
        if part != ".":
            found = tree[part]
            assert isinstance(found, Folder)
            tree = found
    return tree


_kept: list[Folder] = []


def _change(
    now: Folder,
    home: Folder,
    step: Step,
    twins: dict[int, Folder],
    fresh: Callable[[Inode], Inode],
    *,
    keep: bool,
) -> None:
    left_home = twins[id(home)]
    entry: Folder | Inode
    if step.kind == "enter":
        assert step.inode is not None
        entry = fresh(step.inode)
    elif step.kind == "mkdir":
        entry = Folder()
        twins[id(entry)] = Folder()
        _kept.append(entry)  # ids must not be given twice
    elif step.kind == "remove":
        gone = home.pop(step.name)
        _kept.append(gone) if isinstance(gone, Folder) else None
        if keep:
            left_home.pop(step.name, None)
        return
    else:
        folder, name = os.path.split(step.source)
        origin = _find(now, folder)
        entry = origin[name]
        if step.kind == "rename":
            del origin[name]
            if keep:
                twins[id(origin)].pop(name, None)
    home[step.name] = entry
    if keep:
        left_home[step.name] = twins[id(entry)] if isinstance(entry, Folder) else entry
