"""Every system call that changes the disk, under one roof.

The modules of this package call these names through the module (``syscalls.rename(...)``),
never `os` itself, so that the crash tests can stop the process at each step, or record the
steps and replay them with what was not synced left out. There is no indirection: the names
are the functions of `os`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct

from storage_core.model import Buffer

# Nothing is ever opened through a symbolic link, and no pipe that stands where a file was
# makes anyone wait.
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
DIRECTORY = READ | os.O_DIRECTORY

create = os.open
write = os.write
fsync = os.fsync
rename = os.rename
link = os.link
unlink = os.unlink
mkdir = os.mkdir
rmdir = os.rmdir
ftruncate = os.ftruncate
fallocate = os.posix_fallocate
copy_file_range = os.copy_file_range

_FICLONE = 0x40049409  # linux/fs.h
_FICLONERANGE = 0x4020940D
_CLONE_RANGE = struct.Struct("qQQQ")
_NO_CLONES = frozenset(
    {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM}
)
_REMOVALS = 100


def clone(source: int, target: int) -> bool:
    """Make ``target`` share all blocks of ``source`` (FICLONE); False if it can not here."""
    return _cloned(target, _FICLONE, source)


def clone_range(source: int, target: int, offset: int, length: int) -> bool:
    """Make ``target`` begin with ``length`` bytes of ``source`` from ``offset``, sharing their
    blocks (FICLONERANGE); False if it can not here, or they do not lie on whole blocks."""
    if not length:
        return False  # it would stand for all up to the end
    return _cloned(target, _FICLONERANGE, _CLONE_RANGE.pack(source, offset, length, 0))


def _cloned(target: int, request: int, argument: int | bytes) -> bool:
    try:
        fcntl.ioctl(target, request, argument)
    except OSError as error:
        if error.errno in _NO_CLONES:
            return False
        raise
    return True


def create_locked(name: str, dir_fd: int, mode: int = 0o666) -> int:
    """Create a file and take its lock, which tells fsck that it is in use.

    Between the two steps fsck may take it for a dead writer's and remove it; then again.
    """
    while True:
        fd = create(name, CREATE, mode, dir_fd=dir_fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                return fd
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                unlink(name, dir_fd=dir_fd)
            os.close(fd)
            raise
        os.close(fd)


def write_all(fd: int, data: Buffer) -> None:
    """Write all of a buffer, however little one call takes."""
    done = write(fd, data)
    if done < len(data):
        view = memoryview(data)
        while done < len(view):
            done += write(fd, view[done:])


def copy_range(source: int, target: int, offset: int, length: int) -> None:
    """Append ``length`` bytes of ``source`` from ``offset`` to ``target``, in the kernel where
    it can.

    Raises:
        EOFError: the source ended early.
    """
    done = 0
    while done < length:
        step = min(length - done, 1 << 30)
        try:
            moved = copy_file_range(source, target, step, offset_src=offset + done)
        except OSError as error:
            if error.errno not in {
                errno.EXDEV,
                errno.EINVAL,
                errno.EOPNOTSUPP,
                errno.ENOSYS,
                errno.EPERM,
            }:
                raise
            piece = os.pread(source, min(step, 1 << 20), offset + done)
            write_all(target, piece)
            moved = len(piece)
        if not moved:
            raise EOFError(f"{length - done} bytes are missing")
        done += moved


def remove_tree(name: str, dir_fd: int) -> None:
    """Remove a directory and all below it, following no symbolic link. Missing is fine.

    What others put in meanwhile is removed too, unless they go on and on: then it stays.
    """
    for _ in range(_REMOVALS):
        try:
            _empty(name, dir_fd)
            rmdir(name, dir_fd=dir_fd)
        except FileNotFoundError:
            return
        except NotADirectoryError:
            with contextlib.suppress(FileNotFoundError):
                unlink(name, dir_fd=dir_fd)
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
        else:
            return


def _empty(name: str, dir_fd: int) -> None:
    fd = os.open(name, DIRECTORY, dir_fd=dir_fd)
    try:
        for entry in os.listdir(fd):
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISDIR(os.stat(entry, dir_fd=fd, follow_symlinks=False).st_mode):
                    remove_tree(entry, fd)
                else:
                    unlink(entry, dir_fd=fd)
    finally:
        os.close(fd)
