"""Reading: get and head, without locks, and the stream over a data file."""

from __future__ import annotations

import os
from collections.abc import Callable

from storage_core.errors import IntegrityError
from storage_core.model import NO_CONDITIONS, ObjectInfo
from storage_core.requests import GetRequest, HeadRequest
from storage_core.streams import FileSlice, ObjectStream
from storage_local.bucket import Bucket
from storage_local.commit import missing
from storage_local.conditions import check_read
from storage_local.data import open_data
from storage_local.names import sort_key
from storage_local.record import HEAD_SIZE, Record, is_version, plain_object


class LocalStream(ObjectStream):
    """Bytes of one object: in memory, or of its data file.

    The file stays whole while it is open, whatever happens to the object meanwhile.
    """

    __slots__ = ("_fd", "_info", "_key", "_position", "_raw", "_versions")

    def __init__(
        self,
        raw: bytes,
        key: str,
        versions: bool,
        start: int,
        length: int,
        data: bytes | None,
        crc: int | None,
        fd: int = -1,
    ) -> None:
        self.checksum = None if crc is None else ("crc32c", crc.to_bytes(4, "big"))
        self.start = start
        self.length = length
        self.data = data
        self._raw = raw
        self._key = key
        self._versions = versions
        self._info: ObjectInfo | None = None
        self._fd = fd
        self._position = start

    @property
    def info(self) -> ObjectInfo:
        if self._info is None:
            record = Record(self._raw, trusted=True)
            self._info = record.info(self._key, versions=self._versions)
        return self._info

    @property
    def whole(self) -> bool:
        return self.checksum is not None

    @property
    def file(self) -> FileSlice | None:
        return None if self._fd < 0 else FileSlice(self._fd, self.start, self.length)

    async def read(self, size: int) -> bytes:
        left = self.start + self.length - self._position
        if left <= 0:
            return b""
        if self.data is None:
            piece = os.pread(self._fd, min(size, left), self._position)
        else:
            piece = self.data[-left:][:size]
        self._advance(len(piece), left)
        return piece

    async def readinto(self, buffer: memoryview) -> int:
        if self.data is not None:
            return await super().readinto(buffer)
        left = self.start + self.length - self._position
        if left <= 0:
            return 0
        size = os.preadv(self._fd, [buffer[:left]], self._position)
        self._advance(size, left)
        return size

    def _advance(self, size: int, left: int) -> None:
        if not size:
            raise IntegrityError(f"the data file of the object ends {left} bytes early; run fsck")
        self._position += size

    async def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def close_now(self) -> bool:
        # The last one to close a file that was replaced waits until its blocks are free.
        if self._fd >= 0 and not os.fstat(self._fd).st_nlink:
            return False
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        return True

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def find(bucket: Bucket, key: str, version: str | None, first: int = HEAD_SIZE) -> Record:
    """The record of an object, or of one version of it.

    Raises:
        ObjectNotFoundError: there is none, it is a delete marker, or expired.
    """
    if version is not None and not is_version(version):
        raise missing(version)
    raw = bucket.objects.read(sort_key(key), first)
    record = None if raw is None else Record(raw)
    if version is not None and (record is None or record.version != version):
        raw = bucket.versions.read(sort_key(key, version), first)
        if raw is None:
            # It may have been promoted between the two looks.
            raw = bucket.objects.read(sort_key(key), first)
        record = None if raw is None else Record(raw)
        if record is not None and record.version != version:
            record = None
    if record is None or not record.live:
        raise missing(version)
    return record


def get(bucket: Bucket, request: GetRequest) -> LocalStream:
    """Open an object for reading; see `Driver.get`."""
    key, options = request.key, bucket.options
    # Above `HEAD_SIZE` always: inline bytes of another profile's choice are read too.
    first = max(options.inline_size, 1) + HEAD_SIZE
    if request.version is None and request.range is None and request.conditions is NO_CONDITIONS:
        raw = bucket.objects.read(sort_key(key), first)
        if raw is not None and (found := plain_object(raw)) is not None:
            data, crc = found
            return LocalStream(raw, key, options.versions, 0, len(data), data, crc)
    while True:
        record = find(bucket, key, request.version, first)
        if request.conditions is not NO_CONDITIONS:
            check_read(request.conditions, record)
        try:
            return opened(bucket, request, record, open_data)
        except FileNotFoundError:
            check_replaced(bucket, key, request.version, record)


def check_replaced(bucket: Bucket, key: str, version: str | None, seen: Record) -> None:
    """To be called when the data file of a record is not there: returns if the object was
    replaced since, so that it is to be found anew.

    Raises:
        ObjectNotFoundError: it was deleted since.
        IntegrityError: it is the same, so its data file has vanished.
    """
    if find(bucket, key, version).id == seen.id:
        raise IntegrityError(
            "the data file of the object has vanished; run fsck", code="ENOENT"
        ) from None


def opened(
    bucket: Bucket,
    request: GetRequest,
    record: Record,
    open_file: Callable[[Bucket, str], int],
) -> LocalStream:
    """The stream over a record's object; ``open_file`` opens the data file of a name.

    Raises:
        FileNotFoundError: its data file is gone, perhaps because it was replaced.
    """
    size = record.size
    start, stop = (0, size) if request.range is None else request.range.resolve(size)
    length = stop - start
    crc = record.crc if length == size else None
    versions = bucket.options.versions
    if record.inline:
        data = record.data
        if len(data) != size:
            raise IntegrityError("the record of the object is cut off; run fsck")
        if length != size:
            data = data[start:stop]
        return LocalStream(record.raw, request.key, versions, start, length, data, crc)
    fd = open_file(bucket, record.id.hex())
    stream = LocalStream(record.raw, request.key, versions, start, length, None, crc, fd)
    if (found := os.fstat(fd).st_size) != size:
        raise IntegrityError(
            f"the data file of the object has {found} bytes, {size} were stored; run fsck"
        )
    return stream


def head(bucket: Bucket, request: HeadRequest) -> ObjectInfo:
    """Tell of an object; see `Driver.head`."""
    record = find(bucket, request.key, request.version)
    if request.conditions is not NO_CONDITIONS:
        check_read(request.conditions, record)
    return record.info(request.key, versions=bucket.options.versions)
