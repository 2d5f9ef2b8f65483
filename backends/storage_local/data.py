"""Data files: the exact bytes of objects too large for their record.

A data file is written in ``tmp/`` under the lock of its writer, renamed into place under the
bucket's shared lock, and never changed again; its name is the id of the write.
"""

from __future__ import annotations

import contextlib
import errno
import os
from types import TracebackType

from storage_local import syscalls
from storage_local.bucket import Bucket
from storage_local.handles import Handle

_PREALLOCATE = 1 << 20


def open_shard(bucket: Bucket, name: str, *, make: bool = False) -> Handle:
    """Directory of a data file.

    Raises:
        FileNotFoundError: it does not exist, and ``make`` is not given.
    """
    shard = name[:2]
    try:
        return Handle(os.open(shard, syscalls.DIRECTORY, dir_fd=bucket.data.fd))
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):
        syscalls.mkdir(shard, dir_fd=bucket.data.fd)
    if bucket.options.durable:
        syscalls.fsync(bucket.data.fd)
    return Handle(os.open(shard, syscalls.DIRECTORY, dir_fd=bucket.data.fd))


def open_data(bucket: Bucket, name: str) -> int:
    """A descriptor of a data file, for reading.

    Raises:
        FileNotFoundError: it is gone.
    """
    shard = open_shard(bucket, name)
    return os.open(name, syscalls.READ, dir_fd=shard.fd)


def remove_data(bucket: Bucket, name: str) -> None:
    """Remove a data file that no record names any more. What it follows is done, so it does
    not fail: a file that can not be removed is left to fsck."""
    with contextlib.suppress(OSError):
        shard = open_shard(bucket, name)
        syscalls.unlink(name, dir_fd=shard.fd)


def link_data(bucket: Bucket, source: str, target_bucket: Bucket, target: str) -> bool:
    """Give a data file a second name, to belong to another record; False if the file system
    can not (any more). The caller holds the target bucket's shared lock.

    A name that is there already was left by a crash of the same move: names are ids of
    writes, so it is the same bytes.
    """
    origin = open_shard(bucket, source)
    shard = open_shard(target_bucket, target, make=True)
    try:
        with contextlib.suppress(FileExistsError):
            syscalls.link(source, target, src_dir_fd=origin.fd, dst_dir_fd=shard.fd)
    except OSError as error:
        if error.errno in {errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP}:
            return False
        raise
    if target_bucket.options.durable:
        syscalls.fsync(shard.fd)
    return True


class NewData:
    """A data file in the making: ``with NewData(bucket, name, size) as new: …``.

    Unless it was published, the end of the block removes it.
    """

    def __init__(self, bucket: Bucket, name: str, size: int | None = None) -> None:
        self._bucket = bucket
        self.name = name
        self._size = size
        self.fd = -1
        self._published = False

    def __enter__(self) -> NewData:
        self.fd = syscalls.create_locked(self.name, self._bucket.tmp.fd)
        try:
            if self._size is not None and self._size >= _PREALLOCATE:
                # One extent instead of many, and a full disk shows before the work is done.
                syscalls.fallocate(self.fd, 0, self._size)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def sync(self) -> None:
        """Bring the bytes to the disk, if the profile is durable."""
        if self._bucket.options.durable:
            syscalls.fsync(self.fd)

    def publish(self) -> None:
        """Move the file to its place. The caller holds the bucket's shared lock. From then on
        the file belongs to the record; see `storage_local.commit.publish`."""
        shard = open_shard(self._bucket, self.name, make=True)
        syscalls.rename(self.name, self.name, src_dir_fd=self._bucket.tmp.fd, dst_dir_fd=shard.fd)
        self._published = True
        if self._bucket.options.durable:
            syscalls.fsync(shard.fd)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not self._published:
                with contextlib.suppress(FileNotFoundError):
                    syscalls.unlink(self.name, dir_fd=self._bucket.tmp.fd)
        finally:
            os.close(self.fd)
