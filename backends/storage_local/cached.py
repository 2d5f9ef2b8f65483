"""Reads that wait for nothing: of what the kernel has in memory, for event loops.

Each step either is done at once or gives up, so that the caller goes the long way in a thread.
Names are looked up by openat2(2) with RESOLVE_CACHED (Linux 5.12), bytes are read by preadv2(2)
with RWF_NOWAIT. Not every kernel, C library and file system has both: tmpfs, NFS and FUSE do
not read so. Each bucket is asked once, and where it can not be nothing is tried again.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

from storage_core.errors import StorageError
from storage_core.model import NO_CONDITIONS, ObjectInfo
from storage_core.requests import GetRequest, HeadRequest
from storage_local import reader, syscalls
from storage_local.bucket import BUCKET_FILE, Bucket
from storage_local.conditions import check_read
from storage_local.names import sort_key
from storage_local.record import HEAD_SIZE, Record, plain_object

_OPENAT2 = 437  # on the architectures with the common table of numbers; elsewhere it is none
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_CACHED = 0x20
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)  # not where Python was built on an old C library

Open = Callable[[bytes, int], int]


def get(bucket: Bucket, request: GetRequest) -> reader.LocalStream | None:
    """A stream over an object, None if it can not be had at once or at all."""
    if request.version is not None or not _works(bucket):
        return None
    try:
        raw = _read_record(bucket, request.key, bucket.options.inline_size + HEAD_SIZE)
        if raw is None:
            return None
        if request.range is None and request.conditions is NO_CONDITIONS:
            plain = plain_object(raw)
            if plain is not None:
                data, crc = plain
                versions = bucket.options.versions
                return reader.LocalStream(raw, request.key, versions, 0, len(data), data, crc)
        record = Record(raw)
        if not record.live:
            return None
        if request.conditions is not NO_CONDITIONS:
            check_read(request.conditions, record)
        return reader.opened(bucket, request, record, _open_data)
    except (OSError, StorageError):
        return None


def head(bucket: Bucket, request: HeadRequest) -> ObjectInfo | None:
    """What is told of an object, None if it can not be had at once or at all."""
    if request.version is not None or not _works(bucket):
        return None
    try:
        raw = _read_record(bucket, request.key, bucket.options.inline_size + HEAD_SIZE)
        record = None if raw is None else Record(raw)
        if record is None or not record.live:
            return None
        if request.conditions is not NO_CONDITIONS:
            check_read(request.conditions, record)
        return record.info(request.key, versions=bucket.options.versions)
    except (OSError, StorageError):
        return None


def _works(bucket: Bucket) -> bool:
    """Whether such reads are possible in a bucket."""
    if bucket.reads_at_once is None:
        bucket.reads_at_once = _NOWAIT != 0 and possible(BUCKET_FILE, bucket.fd)
    return bucket.reads_at_once


def possible(name: str, folder: int) -> bool:
    """Whether the kernel, and the file system of a file, know reads that do not wait."""
    try:
        # Opened in the ordinary way: a file system of another program may take its time over it,
        # during which the interpreter must not stand still.
        fd = os.open(name, syscalls.READ, dir_fd=folder)
    except OSError:
        return False
    try:
        os.preadv(fd, [bytearray(1)], 0, _NOWAIT)
    except BlockingIOError:
        pass  # it is not in memory, but could be
    except (OSError, NotImplementedError):
        return False
    finally:
        os.close(fd)
    try:
        os.close(_open(b".", folder))
    except OSError:
        return False
    return True


def _read_record(bucket: Bucket, key: str, most: int) -> bytes | None:
    found = bucket.objects.at_hand(sort_key(key))
    if found is None:
        return None
    name, leaf = found
    fd = _open(os.fsencode(name), leaf.fd)
    try:
        size = os.fstat(fd).st_size
        if size > most:
            return None
        buffer = bytearray(size)
        return bytes(buffer) if os.preadv(fd, [buffer], 0, _NOWAIT) == size else None
    finally:
        os.close(fd)


def _open_data(bucket: Bucket, name: str) -> int:
    return _open(f"{name[:2]}/{name}".encode(), bucket.data.fd)


def _open(name: bytes, dir_fd: int) -> int:
    """Open a file for reading without a wait.

    Raises:
        OSError: it can not be had so; the reason is not told.
    """
    fd = _openat2()(name, dir_fd)
    if fd < 0:
        raise BlockingIOError
    return fd


@functools.cache
def _openat2() -> Open:
    """openat2(2), which `os` does not have."""
    try:
        import ctypes
    except ImportError:  # Python can be built without it
        return lambda *_: -1

    class How(ctypes.Structure):
        _fields_ = (
            ("flags", ctypes.c_uint64),
            ("mode", ctypes.c_uint64),
            ("resolve", ctypes.c_uint64),
        )

    how = How(syscalls.READ, 0, _RESOLVE_NO_SYMLINKS | _RESOLVE_CACHED)
    size = ctypes.sizeof(how)
    reference = ctypes.byref(how)
    # The interpreter's lock is kept: without a wait there is nothing to let others go on for.
    syscall = ctypes.PyDLL(None).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = [
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
    ]

    def call(name: bytes, dir_fd: int) -> int:
        return int(syscall(_OPENAT2, dir_fd, name, reference, size))

    return call
