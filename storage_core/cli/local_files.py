"""Local files: written whole or not at all, and folders read as keys."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from storage_core.errors import InvalidKeyError

if TYPE_CHECKING:
    from types import TracebackType


class NewFile:
    """A file that appears under its name when it is complete, and not at all if it never is.

    It is written beside its place and renamed at the end of the ``with`` block. What is no
    regular file, such as a device or a pipe, is written to directly; a symbolic link is
    followed.

    Args:
        place: Where the file is to be.
        replace: Replace one that exists.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.
        IsADirectoryError: there is a folder of that name.
    """

    def __init__(self, place: Path, *, replace: bool = True) -> None:
        self._place = Path(os.path.realpath(place))
        self._replace = replace
        self._temporary: str | None = None
        mode = self._existing_mode(place)
        if mode is not None and not stat.S_ISREG(mode):
            self.file: IO[bytes] = self._place.open("wb", buffering=0)
            return
        try:
            descriptor, self._temporary = tempfile.mkstemp(
                prefix=".storage-", suffix=".part", dir=self._place.parent
            )
        except OSError as error:  # not of the temporary name, which says nothing to anybody
            raise OSError(error.errno, error.strerror, str(place)) from None
        self.file = open(descriptor, "wb", buffering=0)  # noqa: SIM115 - closed by __exit__
        os.fchmod(descriptor, 0o666 & ~_umask() if mode is None else stat.S_IMODE(mode))

    def _existing_mode(self, place: Path) -> int | None:
        try:
            mode = self._place.stat().st_mode
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
        if not self._replace:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
        return mode

    def __enter__(self) -> IO[bytes]:
        return self.file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        temporary = self._temporary
        try:
            self.file.close()
            if temporary is not None and kind is None:
                self._publish(temporary)
        finally:
            if self._temporary is not None:
                os.unlink(self._temporary)

    def _publish(self, temporary: str) -> None:
        if self._replace:
            os.replace(temporary, self._place)
            self._temporary = None
        else:
            os.link(temporary, self._place)  # fails if another process was quicker


def _umask() -> int:
    # There is no way to ask for it; nothing else runs in this process meanwhile.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write all of it; an unbuffered file may take less at once."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def files_below(folder: Path, skipped: Callable[[Path], None]) -> Iterator[tuple[Path, str]]:
    """The regular files of a tree in the order of their names, with their places relative to
    it, segments separated by ``/``.

    Args:
        folder: Root of the tree.
        skipped: Told of what is neither file nor folder; symbolic links are not followed.

    Raises:
        OSError: a folder can not be read.
    """
    for entry in sorted(os.scandir(folder), key=lambda found: found.name):
        place = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            for below, relative in files_below(place, skipped):
                yield below, f"{entry.name}/{relative}"
        elif entry.is_file(follow_symlinks=False):
            yield place, entry.name
        else:
            skipped(place)


def place_for(folder: Path, relative: str) -> Path:
    """Where the object of a key goes below a folder, each segment a name.

    Raises:
        InvalidKeyError: the key has no such place: an empty, ``.`` or ``..`` segment, or one
            the file system does not take.
    """
    segments = relative.split("/")
    if not all(_is_name(segment) for segment in segments):
        raise InvalidKeyError(
            "the key has a segment that can not be the name of a file; get it by itself, under"
            " another name"
        )
    return folder.joinpath(*segments)


def _is_name(segment: str) -> bool:
    if segment in {"", ".", ".."} or "\0" in segment:
        return False
    return sys.platform != "win32" or not set(segment) & set('\\:*?"<>|')
