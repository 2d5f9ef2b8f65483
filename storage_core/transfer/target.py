"""Where a download goes: a file that appears under its name when it is complete.

It is written under another name beside its place and gets its own at the end, so that nobody
ever sees a part of it, and a file that is to be replaced is there until then.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from storage_core.checksum import Buffer
from storage_core.runtime.strands import Stopped
from storage_core.transfer.journal import JOURNAL
from storage_core.transfer.nameless import name_it, open_nameless

PARTIAL: Final = ".storage-part"
"""How names of incomplete files end."""
_LONGEST: Final = 255 - len("." + PARTIAL + JOURNAL)
"""Bytes of a name that more can be added to."""
_PREALLOCATED: Final = frozenset({"ext4", "xfs", "overlay"})
"""File systems that reserve space at once. Others write it, or gain nothing by it."""
_FICLONE: Final = 0x40049409  # linux/fs.h


class Place(NamedTuple):
    """Where a file is to be.

    Attributes:
        path: The file, a symbolic link followed.
        mode: `os.stat` mode of the one that is there, None if there is none.
        shown: As the caller wrote it, for errors.
        replace: Whether one that is there, now or at the end, is to be replaced.
    """

    path: str
    mode: int | None
    shown: str
    replace: bool

    @classmethod
    def of(cls, path: str | os.PathLike[str], replace: bool) -> Place:
        """Look at a place.

        Raises:
            FileExistsError: there is a file, and it is not to be replaced.
            IsADirectoryError: there is a folder.
        """
        found = shown = os.fspath(path)
        mode: int | None
        try:
            mode = os.lstat(found).st_mode
            if stat.S_ISLNK(mode):
                found = os.path.realpath(found)
                mode = os.stat(found).st_mode
        except FileNotFoundError:
            mode = None
        if mode is not None:
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), shown)
            if not replace:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), shown)
        return cls(found, mode, shown, replace)

    @property
    def regular(self) -> bool:
        """Whether a file is to be made. What is there and is none, such as a device or a pipe, is
        written to as it is, from front to back."""
        return self.mode is None or stat.S_ISREG(self.mode)

    @property
    def folder(self) -> str:
        """Where it lies."""
        return os.path.dirname(self.path) or os.curdir

    @property
    def partial(self) -> str:
        """The incomplete file of a download that can be resumed."""
        folder, slash, name = self.path.rpartition(os.sep)
        if len(os.fsencode(name)) > _LONGEST:
            name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
        return f"{folder}{slash}.{name}{PARTIAL}"

    @property
    def random(self) -> str:
        """A name for the incomplete file of any other."""
        folder, slash, _ = self.path.rpartition(os.sep)
        return f"{folder}{slash}.storage-{os.urandom(8).hex()}{PARTIAL}"

    @property
    def journal(self) -> str:
        """What tells of `partial`."""
        return self.partial + JOURNAL

    def error(self, error: OSError) -> OSError:
        """The same failure of the place, not of a name that says nothing to anybody."""
        if error.errno is None:
            return error
        return OSError(error.errno, error.strerror, self.shown)


class Target:
    """A file being written, from several threads at a time.

    One of `publish`, `leave` and `discard` ends it; each may follow another one that failed.

    Args:
        place: Where it is to be.
        partial: Its name until then; None where it has none, as the kernel removes it at the end
            of the process, or where the place itself is written to.
        descriptor: Open for writing, and for reading where the place is a file's.
    """

    def __init__(self, place: Place, partial: str | None, descriptor: int) -> None:
        self.place = place
        self.partial = partial
        self.descriptor = descriptor
        self._lock = threading.Lock()
        self._writing = 0

    @classmethod
    def create(cls, place: Place, partial: str | None = None) -> Target:
        """Begin to write.

        Args:
            place: A pipe is waited for.
            partial: The name of the incomplete file, which must not exist. Without it there is
                none until the file is complete, or a random one where that can not be.

        Raises:
            OSError: it can not be made; it names the place.
        """
        try:
            if not place.regular:
                flags = os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC
                return cls(place, None, os.open(place.path, flags))
            # The mode of a new file is the caller's umask's; that of another one is taken over.
            mode = 0o666 if place.mode is None else 0o600
            descriptor = -1 if partial is not None else open_nameless(place.folder, mode)
            if descriptor < 0:
                partial = partial or place.random
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                descriptor = os.open(partial, flags, mode)
        except OSError as error:
            raise place.error(error) from None
        target = cls(place, partial, descriptor)
        try:
            if place.mode is not None:
                os.fchmod(descriptor, stat.S_IMODE(place.mode))
        except BaseException:
            target.discard()
            raise
        return target

    @classmethod
    def resume(cls, place: Place, size: int) -> Target | None:
        """Go on with the incomplete file of an earlier run; None if there is none of that
        size, or one that others may write to."""
        try:
            flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(place.partial, flags)
        except OSError:
            return None
        found = os.fstat(descriptor)
        if (
            stat.S_ISREG(found.st_mode)
            and found.st_uid == os.geteuid()
            and found.st_nlink == 1
            and found.st_size == size
        ):
            return cls(place, place.partial, descriptor)
        os.close(descriptor)
        return None

    def allocate(self, size: int) -> None:
        """Give the file its size, and where that helps its space too.

        Raises:
            OSError: there is not enough space; it names the place.
        """
        try:
            if _preallocates(os.fstat(self.descriptor).st_dev):
                os.posix_fallocate(self.descriptor, 0, size)
            else:
                os.ftruncate(self.descriptor, size)
        except OSError as error:
            raise self.place.error(error) from None

    def clone(self, source: int, size: int) -> bool:
        """Share the blocks of the first bytes of another file, where the file system can: a copy
        in no time."""
        import fcntl

        try:
            fcntl.ioctl(self.descriptor, _FICLONE, source)
        except OSError:
            return False
        found = os.fstat(self.descriptor).st_size
        if found > size:
            os.ftruncate(self.descriptor, size)
        return found >= size

    def write(self, data: Buffer, offset: int) -> None:
        """Write at an offset; a pipe or device gets what comes next.

        Raises:
            Stopped: the target has ended meanwhile.
            OSError: it can not be written; it names the place.
        """
        with self._lock:
            if self.descriptor < 0:
                raise Stopped
            self._writing += 1
        try:
            view = memoryview(data)
            while view:
                if self.place.regular:
                    size = os.pwrite(self.descriptor, view, offset)
                else:
                    size = os.write(self.descriptor, view)
                view, offset = view[size:], offset + size
        except OSError as error:
            raise self.place.error(error) from None
        finally:
            with self._lock:
                self._writing -= 1

    def publish(self) -> None:
        """The file is complete: give it its name.

        Raises:
            FileExistsError: another process was quicker, and it is not to be replaced.
            OSError: it can not be; it names the place.
        """
        place = self.place
        try:
            if self.partial is None and place.regular and self._named():
                self._close()
                return
            partial = self.partial
            self._close()
            if partial is None:
                return
            if place.replace:
                os.replace(partial, place.path)
            else:
                os.link(partial, place.path)  # fails where there is one by now
                os.unlink(partial)
        except OSError as error:
            raise place.error(error) from None
        self.partial = None

    def _named(self) -> bool:
        """Give a file that has no name its own, if it is a new one's; else a random one, for it
        to replace the file that is there."""
        place, descriptor = self.place, self.descriptor

        if place.mode is None or not place.replace:
            try:
                name_it(descriptor, place.path)
            except FileExistsError:
                if not place.replace:
                    raise
            else:
                return True
        name = place.random
        name_it(descriptor, name)
        self.partial = name
        return False

    def leave(self) -> None:
        """Keep the incomplete file for another run."""
        with contextlib.suppress(OSError):
            self._close()

    def discard(self) -> None:
        """Remove the incomplete file; may be called twice."""
        self.leave()
        partial, self.partial = self.partial, None
        if partial is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)

    def _close(self) -> None:
        # A thread that was given up may be in the middle of a write; its number of a file must
        # not become that of another one.
        with self._lock:
            descriptor, self.descriptor = self.descriptor, -1
        while self._writing:
            time.sleep(0.001)
        if descriptor >= 0:
            os.close(descriptor)


@lru_cache(maxsize=64)
def _preallocates(device: int) -> bool:
    """Whether the file system of a device is one of `_PREALLOCATED`. For others the C library
    would write all blocks instead."""
    place = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return False
    for line in lines:
        mount, _, rest = line.partition(" - ")
        if mount.split(" ", 3)[2] == place:
            return rest.split(" ", 1)[0] in _PREALLOCATED
    return False
