"""Files written and deleted below a folder, without ever leaving it.

Folders are opened one name after the other and symbolic links are not followed, so that no link
in the tree, not even one that appears meanwhile, leads a write out of it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Final, NamedTuple

from storage_core.transfer.nameless import name_it, open_nameless

_DIRECTORY: Final = (
    os.O_RDONLY
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
_TOKEN: Final = secrets.token_hex(4)
_NUMBERS = count()

IN_THE_WAY: Final = (FileExistsError, IsADirectoryError, NotADirectoryError)
"""A file is where a folder has to be, or the other way round."""


class NewFile(NamedTuple):
    """A whole file to be written.

    Attributes:
        key: Its place below the folder.
        data: Its bytes.
        modified: Its time, microseconds since the epoch.
    """

    key: str
    data: bytes
    modified: int


class Folders:
    """The folders of a tree, open as long as the next key is in them.

    Args:
        root: The tree's; made if there is none and ``make``.
        make: Make folders that are missing.
    """

    def __init__(self, root: str, *, make: bool) -> None:
        self._root = root
        self._make = make
        self._names: list[str] = []
        if make:
            os.makedirs(root, exist_ok=True)
        self._open = [os.open(root, _DIRECTORY & ~getattr(os, "O_NOFOLLOW", 0))]

    def parent(self, key: str) -> tuple[int, str]:
        """The open folder of a key, and its name there.

        Raises:
            NotADirectoryError: a file or a symbolic link is where a folder has to be.
            FileNotFoundError: there is none, and it is not to be made.
        """
        *names, name = key.split("/")
        same = 0
        for ours, theirs in zip(self._names, names, strict=False):
            if ours != theirs:
                break
            same += 1
        while len(self._names) > same:
            self._names.pop()
            os.close(self._open.pop())
        for step in names[same:]:
            self._open.append(self._child(step, names))
            self._names.append(step)
        return self._open[-1], name

    def _child(self, name: str, names: Sequence[str]) -> int:
        above = self._open[-1]
        try:
            return os.open(name, _DIRECTORY, dir_fd=above)
        except FileNotFoundError:
            if not self._make:
                raise
        except OSError as error:
            if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            place = "/".join((self._root, *self._names, name))
            found = os.stat(name, dir_fd=above, follow_symlinks=False)
            what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "a file"
            text = f"{what} is where a folder has to be"
            raise NotADirectoryError(errno.ENOTDIR, text, place) from None
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=above)
        return os.open(name, _DIRECTORY, dir_fd=above)

    def __enter__(self) -> Folders:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._open:
            os.close(self._open.pop())


def write_files(root: str, files: Sequence[NewFile], replace: bool) -> list[OSError | None]:
    """Write whole files, each of which appears under its name complete or not at all.

    Args:
        root: The folder.
        files: Best in the order of their keys.
        replace: Replace files that exist.

    Returns:
        For each, None or what failed.
    """
    results: list[OSError | None] = []
    try:
        folders = Folders(root, make=True)
    except FileExistsError:
        error = NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), root)
        return [error] * len(files)
    except OSError as error:
        return [error] * len(files)
    with folders:
        for file in files:
            try:
                parent, name = folders.parent(file.key)
                _write(parent, name, file, replace)
            except OSError as error:
                if error.filename is None or "/" not in str(error.filename):
                    error.filename = f"{root}/{file.key}"
                    error.filename2 = None
                results.append(error.with_traceback(None))
            else:
                results.append(None)
    return results


def _write(parent: int, name: str, file: NewFile, replace: bool) -> None:
    mode = _existing_mode(parent, name, replace)
    if mode is None:
        descriptor = open_nameless(".", 0o666, parent)
        if descriptor >= 0 and _placed(descriptor, parent, name, file):
            return
    temporary = _temporary()
    descriptor = os.open(temporary, _NEW, 0o666, dir_fd=parent)
    try:
        try:
            _fill(descriptor, file)
            if mode is not None:
                os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        if replace:
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        else:
            os.link(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            os.unlink(temporary, dir_fd=parent)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=parent)
        raise


def _placed(descriptor: int, parent: int, name: str, file: NewFile) -> bool:
    """Write a file that has no name, and give it its own; false where something has that by now,
    or the system allows no such links."""
    try:
        _fill(descriptor, file)
        try:
            name_it(descriptor, name, parent)
        except OSError:
            return False
    finally:
        os.close(descriptor)
    return True


def _fill(descriptor: int, file: NewFile) -> None:
    view = file.data
    while (written := os.write(descriptor, view)) < len(view):
        view = view[written:]
    nanoseconds = file.modified * 1000
    os.utime(descriptor, ns=(nanoseconds, nanoseconds))


def _temporary() -> str:
    """A name that no listing of a folder tells."""
    return f".{_TOKEN}{os.getpid():x}-{next(_NUMBERS):x}.storage-part"


def _existing_mode(parent: int, name: str, replace: bool) -> int | None:
    """Permissions of the file that is to be replaced, which the new one gets too."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a folder is where a file has to be", None)
    if not replace:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), None)
    return stat.S_IMODE(found.st_mode) if stat.S_ISREG(found.st_mode) else None


def prepare_place(root: str, key: str, replace: bool) -> None:
    """Make the folders of a file, and take away a symbolic link that has its name.

    Raises:
        OSError: as `Folders.parent`; `IsADirectoryError` where there is a folder of that name,
            and `FileExistsError` where there is anything, unless ``replace``.
    """
    with Folders(root, make=True) as folders:
        parent, name = folders.parent(key)
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            place = f"{root}/{key}"
            raise IsADirectoryError(errno.EISDIR, "a folder is where a file has to be", place)
        if not replace:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), f"{root}/{key}")
        if not stat.S_ISREG(found.st_mode):
            os.unlink(name, dir_fd=parent)


def set_time(root: str, key: str, modified: int) -> None:
    """Give a file its time, in microseconds since the epoch."""
    with Folders(root, make=False) as folders:
        parent, name = folders.parent(key)
        times = (modified * 1000, modified * 1000)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)


def delete_files(root: str, keys: Sequence[str]) -> list[OSError | None]:
    """Delete files, and the folders that are empty then.

    Returns:
        For each key, None or what failed; one that is gone already is a success.
    """
    results: list[OSError | None] = []
    with Folders(root, make=False) as folders:
        for key in keys:
            try:
                parent, name = folders.parent(key)
                os.unlink(name, dir_fd=parent)
            except FileNotFoundError:
                results.append(None)
            except OSError as error:
                error.filename = f"{root}/{key}"
                results.append(error.with_traceback(None))
            else:
                results.append(None)
        for place in sorted({key.rpartition("/")[0] for key in keys} - {""}, reverse=True):
            _remove_empty(folders, place)
    return results


def _remove_empty(folders: Folders, place: str) -> None:
    while place:
        try:
            parent, name = folders.parent(place)
            os.rmdir(name, dir_fd=parent)
        except OSError:
            return  # something is in it, or it is gone
        place = place.rpartition("/")[0]
